"""The geometry of Keras 2's LocallyConnected1D: its sizes, and where it keeps which weight.

After tf_keras/src/layers/locally_connected and the functions ``conv_output_length``,
``conv_connected_inputs`` and ``conv_kernel_idxs`` of tf_keras/src/utils/conv_utils.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ._checks import check_is_among

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Index = NDArray[np.int64]

IMPLEMENTATIONS: Final = (1, 2, 3)
PADDINGS: Final = ("valid", "same")
DATA_FORMATS: Final = ("channels_last", "channels_first")


def check_padding(padding: object, implementation: int) -> None:
    """Raises ValueError unless the implementation has such a padding."""
    check_is_among("padding", padding, PADDINGS)
    if padding == "same" and implementation == 1:
        raise ValueError(
            "per_step_dense: padding must be 'valid' with implementation 1 "
            "(2 and 3 have 'same'); got 'same'"
        )


def out_steps_of(in_steps: int, kernel_size: int, stride: int) -> int:
    """How many windows fit; raises ValueError where none does."""
    if kernel_size > in_steps:
        raise ValueError(
            f"per_step_dense: kernel_size must be at most the steps of the input, {in_steps}; "
            f"got {kernel_size}"
        )
    return (in_steps - kernel_size) // stride + 1


@dataclass(frozen=True)
class Geometry:
    """One layer's: L steps of I features in, T steps of O features out, windows of k steps.

    Raises:
        ValueError: a padding that the implementation has not; a kernel larger than the input.
    """

    in_steps: int  # L
    in_features: int  # I
    out_features: int  # O
    kernel_size: int  # k
    stride: int = 1
    padding: str = "valid"
    data_format: str = "channels_last"
    implementation: int = 1

    def __post_init__(self) -> None:
        check_is_among("implementation", self.implementation, IMPLEMENTATIONS)
        check_is_among("data_format", self.data_format, DATA_FORMATS)
        check_padding(self.padding, self.implementation)
        if self.padding == "valid":
            out_steps_of(self.in_steps, self.kernel_size, self.stride)

    @property
    def is_channels_first(self) -> bool:
        """Whether the layer's input is (B, I, L)."""
        return self.data_format == "channels_first"

    @property
    def out_steps(self) -> int:
        """T. With ``"same"`` every stride-th step is the centre of a window."""
        if self.padding == "same":
            return -(-self.in_steps // self.stride)
        return out_steps_of(self.in_steps, self.kernel_size, self.stride)

    @property
    def pads(self) -> tuple[int, int]:
        """Zero steps before and after the input, for all windows to be whole."""
        if self.padding == "valid":
            return 0, 0
        before = self.kernel_size // 2
        last_end = (self.out_steps - 1) * self.stride - before + self.kernel_size
        return before, max(0, last_end - self.in_steps)

    @property
    def kernel_shape(self) -> tuple[int, ...]:
        """Of the layer's own kernel."""
        ins, outs = (self.in_steps, self.in_features), (self.out_steps, self.out_features)
        if self.implementation == 1:
            return self.out_steps, self.kernel_size * self.in_features, self.out_features
        if self.implementation == 2:
            return (*ins[::-1], *outs[::-1]) if self.is_channels_first else (*ins, *outs)
        _, connected, _ = self._connections()
        return (int(connected.sum()) * self.in_features * self.out_features,)

    @property
    def is_packed(self) -> bool:
        """Whether the kernel is what a dense layer per step needs, (T, k * I, O), as it is."""
        return self.implementation == 1 and not self.is_channels_first

    def positions(self) -> Index:
        """Where in the flattened kernel the weights of a dense layer per step are.

        Returns:
            (T, k * I, O). Of a window that reaches beyond the input, which is zero there, the
            weights outside are given the position of the nearest one inside.
        """
        import numpy as np

        t = np.arange(self.out_steps).reshape(-1, 1, 1, 1)
        j = np.arange(self.kernel_size).reshape(-1, 1, 1)
        i = np.arange(self.in_features).reshape(-1, 1)
        o = np.arange(self.out_features)
        at = {1: self._rows_at, 2: self._dense_at, 3: self._sparse_at}[self.implementation]
        whole = np.broadcast_to(at(t, j, i, o), np.broadcast_shapes(*map(np.shape, (t, j, i, o))))
        return np.array(whole.reshape(self.out_steps, -1, self.out_features))

    def _rows_at(self, t: Index, j: Index, i: Index, o: Index) -> Index:
        row = i * self.kernel_size + j if self.is_channels_first else j * self.in_features + i
        return (t * self.kernel_size * self.in_features + row) * self.out_features + o

    def _dense_at(self, t: Index, j: Index, i: Index, o: Index) -> Index:
        import numpy as np

        first, connected, _ = self._connections()
        step = np.clip(t * self.stride - self.pads[0] + j, first[t], first[t] + connected[t] - 1)
        axes = (i, step, o, t) if self.is_channels_first else (step, i, t, o)
        at: Index = np.ravel_multi_index(np.broadcast_arrays(*axes), self.kernel_shape)
        return at

    def _sparse_at(self, t: Index, j: Index, i: Index, o: Index) -> Index:
        """Of connected pairs alone, sorted by the output's index and then by the input's."""
        import numpy as np

        first, connected, before = self._connections()
        step = np.clip(t * self.stride - self.pads[0] + j - first[t], 0, connected[t] - 1)
        at: Index
        if self.is_channels_first:  # (O, T, I, connected steps)
            steps_before = o * connected.sum() + before[t]
            at = steps_before * self.in_features + i * connected[t] + step
        else:  # (T, O, connected steps, I)
            steps_before = before[t] * self.out_features + o * connected[t]
            at = (steps_before + step) * self.in_features + i
        return at

    def _connections(self) -> tuple[Index, Index, Index]:
        """Of each window: its first step, how many there are, and those of all windows before."""
        import numpy as np

        start = np.arange(self.out_steps) * self.stride - self.pads[0]
        first = np.maximum(start, 0)
        connected = np.minimum(start + self.kernel_size, self.in_steps) - first
        return first, connected, np.cumsum(connected) - connected
