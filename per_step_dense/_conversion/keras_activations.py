"""Which of Keras's activations are among the op's."""

from __future__ import annotations

from typing import Any, Final

from .._types import Activation

_OURS: Final[dict[str, Activation | None]] = {
    "linear": None,
    "relu": "relu",
    "gelu": "gelu",  # exact, unless it is told otherwise
    "silu": "silu",
    "swish": "silu",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
}
_KERAS: Final = ("keras", "tf_keras", "tensorflow")


def is_ours(activation: Any) -> bool:
    """Whether that function of Keras's, or None, is an activation of the op's, or none at all."""
    if activation is None:
        return True
    package = getattr(activation, "__module__", "").partition(".")[0]
    return package in _KERAS and getattr(activation, "__name__", None) in _OURS


def ours(activation: Any) -> Activation | None:
    """Its name here.

    Raises:
        ValueError: it is not one of the op's.
    """
    if not is_ours(activation):
        name = getattr(activation, "__name__", type(activation).__name__)
        raise ValueError(
            "per_step_dense: the layer's activation must be linear, relu, gelu, silu, tanh or "
            "sigmoid of Keras's (convert layer.get_weights(), and apply another one behind the "
            f"layer); got {name}"
        )
    return None if activation is None else _OURS[activation.__name__]
