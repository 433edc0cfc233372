"""Keras 2's LocallyConnected1D, of tf_keras or of ``per_step_dense.keras``, or its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .._checks import checked_size
from .._geometry import DATA_FORMATS, IMPLEMENTATIONS, Geometry, check_is_among, out_steps_of
from .._types import Activation, DataFormat, Implementation
from . import Parameters
from .keras_activations import ours
from .keras_weights import read_weights


@dataclass(frozen=True)
class LocallyConnected:
    """What was read; channels last, whatever the layer was."""

    geometry: Geometry
    parameters: Parameters  # (T, k * I, O) and (T, O)
    activation: Activation | None


def read_locally_connected(
    weights_or_layer: Sequence[Any] | Any,
    *,
    in_steps: int | None = None,
    in_features: int | None = None,
    kernel_size: int | None = None,
    stride: int = 1,
    activation: Activation | None = None,
    data_format: DataFormat = "channels_last",
    implementation: Implementation = 1,
) -> LocallyConnected:
    """A layer says everything itself; see ``LocallyConnected1d.from_keras``."""
    if hasattr(weights_or_layer, "get_weights"):
        _check_not_given(
            in_steps=in_steps,
            in_features=in_features,
            kernel_size=kernel_size,
            stride=None if stride == 1 else stride,
            activation=activation,
            data_format=None if data_format == "channels_last" else data_format,
            implementation=None if implementation == 1 else implementation,
        )
        return _read_layer(weights_or_layer)
    kernel, bias = read_weights(weights_or_layer)
    check_is_among("implementation", implementation, IMPLEMENTATIONS)
    check_is_among("data_format", data_format, DATA_FORMATS)
    sizes = _Sizes(
        None if in_steps is None else checked_size("in_steps", in_steps),
        None if in_features is None else checked_size("in_features", in_features),
        None if kernel_size is None else checked_size("kernel_size", kernel_size),
        checked_size("stride", stride),
        data_format,
    )
    find = {1: sizes.of_rows, 2: sizes.of_dense, 3: sizes.of_sparse}[implementation]
    geometry = find(kernel)
    return LocallyConnected(geometry, packed(geometry, kernel, bias), activation)


def packed(geometry: Geometry, kernel: Tensor, bias: Tensor | None) -> Parameters:
    """Those of a dense layer per step, of an implementation's own.

    Raises:
        ValueError: a kernel or bias that does not fit the geometry.
    """
    expected = geometry.kernel_shape
    if tuple(kernel.shape) != expected:
        raise ValueError(
            f"per_step_dense: kernel must be {expected} with implementation "
            f"{geometry.implementation}, {geometry.data_format!r} and windows of "
            f"{geometry.kernel_size} out of {geometry.in_steps} steps; got {tuple(kernel.shape)}"
        )
    steps, features = geometry.out_steps, geometry.out_features
    if bias is not None and bias.shape != (steps, features):
        raise ValueError(
            f"per_step_dense: bias must be (T, O) = ({steps}, {features}); got {tuple(bias.shape)}"
        )
    if not geometry.is_packed:
        positions = torch.from_numpy(geometry.positions()).to(kernel.device)
        kernel = kernel.flatten()[positions]
    if bias is not None and geometry.is_channels_first:
        bias = bias.reshape(features, steps).mT  # Keras's own: reshaped, not transposed
    return Parameters(kernel, bias)


def check_is_layer(layer: Any, name: str) -> None:
    """Raises unless it is a built Keras layer of that name."""
    if not any(each.__name__ == name for each in type(layer).__mro__):
        raise TypeError(f"per_step_dense: layer must be a Keras {name}; got {type(layer).__name__}")
    if not layer.built:
        raise ValueError(
            f"per_step_dense: layer must be built, by a first call or layer.build(input_shape); "
            f"got {layer.name!r}, which has no weights"
        )


def _read_layer(layer: Any) -> LocallyConnected:
    check_is_layer(layer, "LocallyConnected1D")
    in_steps, in_features = _input_shape(layer)[1:]
    if layer.data_format == "channels_first":
        in_steps, in_features = in_features, in_steps
    (kernel_size,), (stride,) = layer.kernel_size, layer.strides
    if layer.padding != "valid" and kernel_size > 1:  # one step needs no padding
        raise ValueError(
            "per_step_dense: layer must have padding = 'valid' (pad the input, "
            f"{kernel_size // 2} steps before it, to convert another); got {layer.padding!r}"
        )
    geometry = Geometry(
        in_steps,
        in_features,
        layer.filters,
        kernel_size,
        stride,
        data_format=layer.data_format,
        implementation=getattr(layer, "implementation", 1),  # older than 2.3
    )
    parameters = packed(geometry, *read_weights(layer.get_weights()))
    trained = {"is_weight_trained": layer.trainable, "is_bias_trained": layer.trainable}
    return LocallyConnected(geometry, replace(parameters, **trained), ours(layer.activation))


def _input_shape(layer: Any) -> tuple[Any, ...]:
    if hasattr(layer, "get_build_config"):
        return tuple(layer.get_build_config()["input_shape"])
    return tuple(layer.input_shape)  # older than 2.12


def _check_not_given(**keywords: object) -> None:
    given = [name for name, value in keywords.items() if value is not None]
    if given:
        raise ValueError(
            f"per_step_dense: {given[0]} must not be given with a layer, which has its own; "
            f"got {keywords[given[0]]!r}"
        )


@dataclass(frozen=True)
class _Sizes:
    """What is known besides a kernel; each method finds the rest in one implementation's."""

    in_steps: int | None
    in_features: int | None
    kernel_size: int | None
    stride: int
    data_format: DataFormat

    def of_rows(self, kernel: Tensor) -> Geometry:
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
        return self._geometry(in_steps, in_features, out_features, kernel_size, 1)

    def of_dense(self, kernel: Tensor) -> Geometry:
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
        return self._geometry(in_steps, in_features, out_features, kernel_size, 2)

    def of_sparse(self, kernel: Tensor) -> Geometry:
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
        return self._geometry(self.in_steps, self.in_features, out_features, self.kernel_size, 3)

    def _check_out_steps(self, in_steps: int, kernel_size: int, out_steps: int) -> None:
        expected = out_steps_of(in_steps, kernel_size, self.stride)
        if out_steps != expected:
            raise ValueError(
                f"per_step_dense: kernel must have T = {expected} output steps, of {in_steps} "
                f"with windows of {kernel_size} every {self.stride}; got {out_steps}"
            )

    def _geometry(
        self, in_steps: int, in_features: int, out_features: int, kernel_size: int, which: int
    ) -> Geometry:
        return Geometry(
            in_steps,
            in_features,
            out_features,
            kernel_size,
            self.stride,
            data_format=self.data_format,
            implementation=which,
        )


def _check_dim(kernel: Tensor, dim: int, shape: str, implementation: int) -> None:
    if kernel.dim() != dim or 0 in kernel.shape:
        raise ValueError(
            f"per_step_dense: kernel must be {shape} with implementation {implementation}; "
            f"got {tuple(kernel.shape)}"
        )
