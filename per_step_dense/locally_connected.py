"""Locally connected layers: a window of steps instead of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._checks import check_ends_with, check_is_dense_tensor, checked_size
from ._conversion import keras_layers
from ._conversion.keras_sizes import Known
from ._geometry import out_steps_of
from ._layer import Layer
from ._types import Activation, DataFormat, Implementation
from ._windows import windows_of
from .functional import per_step_dense


class LocallyConnected1d(Layer):
    r"""A convolution over steps whose weights are not shared: each window has a matrix of its own.

    .. math:: y_{b,t,:} = \mathrm{activation}(
        [x_{b,ts,:}, \dots, x_{b,ts+k-1,:}] \, W_t + b_t)

    Channels last. The windows are a view of the input, which the kernels read without a copy (only
    oneDNN, which multiplies bfloat16 on CPUs with AVX-512, makes one). Their gradient is held in
    memory, and is added up to that of the input in one deterministic pass.

    Args:
        in_steps: the number of steps of the input, L.
        in_features: the size of the input at one step, I.
        out_features: the size of the output at one step, O.
        kernel_size: the number of steps in a window, k.
        stride: the number of steps from one window to the next, s.
        bias: whether every window adds a bias of its own.
        activation, device, dtype: as in :class:`PerStepDense`.

    Shape:
        - input: :math:`(*, L, I)`
        - output: :math:`(*, T, O)` with :math:`T = \lfloor (L - k) / s \rfloor + 1`; steps after
          the last whole window have no influence

    Attributes:
        weight: the matrices, of shape :math:`(T, k I, O)`, the rows in the order (step, feature).
        bias: the biases, of shape :math:`(T, O)`, or None.
        in_steps, in_features, out_features, kernel_size, stride, activation: as given.
        out_steps: T.

    Weight and bias start uniform in :math:`\pm 1 / \sqrt{k I}`, as those of
    :class:`torch.nn.Conv1d` do. Keras 2's layer started from smaller ones: its Glorot limits take
    T for a receptive field, :math:`\sqrt{6 / (T (k I + O))}`, though an output sums over
    :math:`k I` terms whatever T is.

    Raises:
        ValueError: a size below 1, a kernel larger than the input, an unknown activation; when
            called, an input whose shape or device does not fit.
        TypeError: an argument of another type, an unsupported dtype; when called, an input that is
            no tensor or has another dtype than the parameters.

    Example:
        >>> layer = LocallyConnected1d(12, 4, 8, kernel_size=3)
        >>> layer(torch.randn(32, 12, 4)).shape
        torch.Size([32, 10, 8])
    """

    in_steps: int
    out_steps: int
    in_features: int
    kernel_size: int
    stride: int

    def __init__(
        self,
        in_steps: int,
        in_features: int,
        out_features: int,
        kernel_size: int,
        stride: int = 1,
        bias: bool = True,
        *,
        activation: Activation | None = None,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        in_steps = checked_size("in_steps", in_steps)
        in_features = checked_size("in_features", in_features)
        out_features = checked_size("out_features", out_features)
        kernel_size = checked_size("kernel_size", kernel_size)
        stride = checked_size("stride", stride)
        out_steps = out_steps_of(in_steps, kernel_size, stride)
        weight_shape = (out_steps, kernel_size * in_features, out_features)
        super().__init__(weight_shape, bias, activation, device, dtype)
        self.in_steps = in_steps
        self.out_steps = out_steps
        self.in_features = in_features
        self.kernel_size = kernel_size
        self.stride = stride

    def forward(self, input: Tensor) -> Tensor:
        """Applies every window's layer to the input; shapes and errors as in the class."""
        check_is_dense_tensor("input", input)
        check_ends_with(
            "input", input, (self.in_steps, self.in_features), "(*, in_steps, in_features)"
        )
        windows = windows_of(input, self.kernel_size, self.stride)  # (*, T, k * I)
        return per_step_dense(windows, self.weight, self.bias, activation=self.activation)

    def extra_repr(self) -> str:
        """What ``repr`` shows between the parentheses."""
        text = (
            f"in_steps={self.in_steps}, in_features={self.in_features}, "
            f"out_features={self.out_features}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, bias={self.bias is not None}"
        )
        return text if self.activation is None else f"{text}, activation={self.activation!r}"

    @classmethod
    def from_keras(
        cls,
        weights_or_layer: Sequence[Any] | Any,
        *,
        in_steps: int | None = None,
        in_features: int | None = None,
        kernel_size: int | None = None,
        stride: int = 1,
        activation: Activation | None = None,
        data_format: DataFormat = "channels_last",
        implementation: Implementation = 1,
    ) -> LocallyConnected1d:
        """Builds a layer from Keras 2's ``LocallyConnected1D``, or from its weights.

        Understands the kernels of all three implementations and both data formats. The layer is
        channels last in any case: where Keras's was channels first it takes ``x.mT``, and gives the
        transpose of what that gave.

        Args:
            weights_or_layer: what ``get_weights()`` gives, ``[kernel, bias]`` or ``[kernel]``, as
                NumPy arrays or tensors; or a built layer, of tf_keras (Keras 2) or of
                :mod:`per_step_dense.keras`, which needs none of the other arguments.
            in_steps: the steps of the input. Implementation 2's kernel has them in its shape, and
                with implementation 1 they follow from the kernel's where stride is 1.
            in_features: the features of the input. With implementation 1 it or ``kernel_size``
                suffices; implementation 2's kernel has it in its shape.
            kernel_size: the steps in a window; with implementation 2 it follows from the kernel's
                shape where stride is 1.
            stride: the layer's ``strides``.
            activation: the layer's, by its name here.
            data_format: the layer's, ``"channels_last"`` or ``"channels_first"``.
            implementation: the layer's: 1, kernels (T, k * I, O), of rows (I, k) with
                ``"channels_first"``; 2, (L, I, T, O), or (I, L, O, T), of which what lies outside
                of the windows is left out; 3, of one dimension.

        Returns:
            A layer with copies of the weights, in their dtype, on the CPU or where the tensors
            were; trainable as the Keras layer was.

        Raises:
            ValueError: weights that do not fit the implementation or the geometry, or do not say
                it; ``padding="same"``, which this layer has not; an activation that it has not.
            TypeError: something else than weights or such a layer.

        Example:
            >>> kernel, bias = torch.randn(10, 3 * 4, 8), torch.randn(10, 8)
            >>> LocallyConnected1d.from_keras([kernel, bias], kernel_size=3)
            LocallyConnected1d(in_steps=12, in_features=4, out_features=8, kernel_size=3, stride=1, bias=True)
        """  # noqa: E501
        known = Known(in_steps, in_features, kernel_size, stride, data_format, implementation)
        read = keras_layers.read_locally_connected(weights_or_layer, known, activation)
        geometry, parameters = read.geometry, read.parameters
        layer = cls(
            geometry.in_steps,
            geometry.in_features,
            geometry.out_features,
            geometry.kernel_size,
            geometry.stride,
            bias=parameters.bias is not None,
            activation=read.activation,
            device="meta",
            dtype=parameters.weight.dtype,
        )
        layer._take(parameters)
        return layer
