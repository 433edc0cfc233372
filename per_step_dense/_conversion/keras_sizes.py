"""The sizes of a LocallyConnected1D of Keras 2, as far as its kernel says them."""

from __future__ import annotations

from dataclasses import dataclass, fields

from torch import Tensor

from .._checks import check_is_among, checked_size
from .._geometry import DATA_FORMATS, IMPLEMENTATIONS, Geometry, out_steps_of
from .._types import DataFormat, Implementation


@dataclass(frozen=True)
class Known:
    """What is known besides a kernel; the keywords of ``LocallyConnected1d.from_keras``.

    Raises:
        ValueError: a size below 1, an unknown data format or implementation.
        TypeError: a size that is no int.
    """

    in_steps: int | None = None
    in_features: int | None = None
    kernel_size: int | None = None
    stride: int = 1
    data_format: DataFormat = "channels_last"
    implementation: Implementation = 1

    def __post_init__(self) -> None:
        for name in ("in_steps", "in_features", "kernel_size"):
            if getattr(self, name) is not None:
                checked_size(name, getattr(self, name))
        checked_size("stride", self.stride)
        check_is_among("data_format", self.data_format, DATA_FORMATS)
        check_is_among("implementation", self.implementation, IMPLEMENTATIONS)

    def check_is_nothing(self) -> None:
        """Raises ValueError if anything is known."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                raise ValueError(
                    f"per_step_dense: {field.name} must not be given with a layer, which has its "
                    f"own; got {value!r}"
                )

    def geometry_of(self, kernel: Tensor) -> Geometry:
        """The geometry that such a kernel is of.

        Raises:
            ValueError: the kernel does not fit what is known, or too little is.
        """
        find = {1: self._of_rows, 2: self._of_dense, 3: self._of_sparse}[self.implementation]
        return find(kernel)

    def _of_rows(self, kernel: Tensor) -> Geometry:
        rows_are = "(I, k)" if self.data_format == "channels_first" else "(k, I)"
        _check_dim(kernel, 3, f"(T, k * I, O), of rows {rows_are}", 1)
        out_steps, rows, out_features = kernel.shape
        if self.kernel_size is not None:
            kernel_size = self.kernel_size
            in_features = rows // kernel_size if self.in_features is None else self.in_features
        elif self.in_features is not None:
            kernel_size, in_features = max(1, rows // self.in_features), self.in_features
        else:
            raise ValueError(
                "per_step_dense: kernel_size or in_features must be given with implementation 1: "
                f"the kernel's {rows} rows are their product; got neither"
            )
        if kernel_size * in_features != rows:
            raise ValueError(
                f"per_step_dense: kernel must have k * I = {kernel_size} * {in_features} rows; "
                f"got {rows}"
            )
        in_steps = self.in_steps
        if in_steps is None:
            in_steps = (out_steps - 1) * self.stride + kernel_size
            if self.stride > 1:
                raise ValueError(
                    f"per_step_dense: in_steps must be given where stride is {self.stride}: "
                    f"{out_steps} windows fit into {in_steps} to {in_steps + self.stride - 1} "
                    "steps; got None"
                )
        self._check_out_steps(in_steps, kernel_size, out_steps)
        return self._geometry(in_steps, in_features, out_features, kernel_size)

    def _of_dense(self, kernel: Tensor) -> Geometry:
        is_last = self.data_format == "channels_last"
        _check_dim(kernel, 4, "(L, I, T, O)" if is_last else "(I, L, O, T)", 2)
        shape = tuple(kernel.shape)
        if not is_last:
            shape = (shape[1], shape[0], shape[3], shape[2])
        in_steps, in_features, out_steps, out_features = shape
        for name, given, own in (
            ("in_steps", self.in_steps, in_steps),
            ("in_features", self.in_features, in_features),
        ):
            if given not in (None, own):
                raise ValueError(
                    f"per_step_dense: {name} must be {own}, as the kernel has it; got {given}"
                )
        kernel_size = self.kernel_size
        if kernel_size is None:
            if self.stride > 1:
                raise ValueError(
                    f"per_step_dense: kernel_size must be given where stride is {self.stride} "
                    "with implementation 2; got None"
                )
            kernel_size = max(1, in_steps - out_steps + 1)
        self._check_out_steps(in_steps, kernel_size, out_steps)
        return self._geometry(in_steps, in_features, out_features, kernel_size)

    def _of_sparse(self, kernel: Tensor) -> Geometry:
        _check_dim(kernel, 1, "(T * k * I * O,)", 3)
        sizes = (self.in_steps, self.in_features, self.kernel_size)
        if self.in_steps is None or self.in_features is None or self.kernel_size is None:
            raise ValueError(
                "per_step_dense: in_steps, in_features and kernel_size must be given with "
                f"implementation 3; got {sizes}"
            )
        out_steps = out_steps_of(self.in_steps, self.kernel_size, self.stride)
        an_output = out_steps * self.kernel_size * self.in_features
        if kernel.numel() == 0 or kernel.numel() % an_output:
            raise ValueError(
                f"per_step_dense: kernel must have a multiple of T * k * I = {out_steps} * "
                f"{self.kernel_size} * {self.in_features} weights; got {kernel.numel()}"
            )
        out_features = kernel.numel() // an_output
        return self._geometry(self.in_steps, self.in_features, out_features, self.kernel_size)

    def _check_out_steps(self, in_steps: int, kernel_size: int, out_steps: int) -> None:
        expected = out_steps_of(in_steps, kernel_size, self.stride)
        if out_steps != expected:
            raise ValueError(
                f"per_step_dense: kernel must have T = {expected} output steps, of {in_steps} "
                f"with windows of {kernel_size} every {self.stride}; got {out_steps}"
            )

    def _geometry(
        self, in_steps: int, in_features: int, out_features: int, kernel_size: int
    ) -> Geometry:
        return Geometry(
            in_steps,
            in_features,
            out_features,
            kernel_size,
            self.stride,
            data_format=self.data_format,
            implementation=self.implementation,
        )


def _check_dim(kernel: Tensor, dim: int, shape: str, implementation: int) -> None:
    if kernel.dim() != dim or 0 in kernel.shape:
        raise ValueError(
            f"per_step_dense: kernel must be {shape} with implementation {implementation}; "
            f"got {tuple(kernel.shape)}"
        )
