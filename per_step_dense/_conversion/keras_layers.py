"""Keras 2's LocallyConnected1D, of tf_keras or of ``per_step_dense.keras``, or its weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from .._geometry import Geometry
from .._types import Activation
from . import Parameters
from .keras_activations import ours
from .keras_sizes import Known
from .keras_weights import read_weights
from .packing import Packing


@dataclass(frozen=True)
class LocallyConnected:
    """What was read; channels last, whatever the layer was."""

    geometry: Geometry
    parameters: Parameters  # (T, k * I, O) and (T, O)
    activation: Activation | None


def read_locally_connected(
    weights_or_layer: Sequence[Any] | Any,
    known: Known,
    activation: Activation | None,
) -> LocallyConnected:
    """Weights, or a layer, of which nothing else may be known: it says everything itself.

    Raises:
        ValueError, TypeError: as ``LocallyConnected1d.from_keras`` does.
    """
    if hasattr(weights_or_layer, "get_weights"):
        known.check_is_nothing()
        if activation is not None:
            raise ValueError(
                "per_step_dense: activation must not be given with a layer, which has its own; "
                f"got {activation!r}"
            )
        return _read_layer(weights_or_layer)
    kernel, bias = read_weights(weights_or_layer)
    geometry = known.geometry_of(kernel)
    return LocallyConnected(geometry, _packed(geometry, kernel, bias), activation)


def read_windows_of_one_step(
    weights_or_layer: Sequence[Any] | Any, activation: Activation | None
) -> LocallyConnected:
    """The same where every window is a step of its own.

    Raises:
        ValueError, TypeError: as ``PerStepDense.from_keras`` does.
    """
    is_layer = hasattr(weights_or_layer, "get_weights")
    known = Known() if is_layer else Known(kernel_size=1)
    read = read_locally_connected(weights_or_layer, known, activation)
    for name, size in (
        ("kernel_size", read.geometry.kernel_size),
        ("strides", read.geometry.stride),
    ):
        if size != 1:
            raise ValueError(
                f"per_step_dense: layer must have {name} = 1 "
                f"(LocallyConnected1d.from_keras takes others); got {size}"
            )
    return read


def _packed(geometry: Geometry, kernel: Tensor, bias: Tensor | None) -> Parameters:
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
    packing = Packing(geometry)
    return Parameters(packing.weight(kernel), None if bias is None else packing.bias(bias))


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
    parameters = _packed(geometry, *read_weights(layer.get_weights()))
    trained = {"is_weight_trained": layer.trainable, "is_bias_trained": layer.trainable}
    return LocallyConnected(geometry, replace(parameters, **trained), ours(layer.activation))


def _input_shape(layer: Any) -> tuple[Any, ...]:
    if hasattr(layer, "get_build_config"):
        return tuple(layer.get_build_config()["input_shape"])
    return tuple(layer.input_shape)  # older than 2.12
