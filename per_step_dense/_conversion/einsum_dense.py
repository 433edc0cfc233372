"""Keras's EinsumDense, where its equation is that of a dense layer per step."""

from __future__ import annotations

import re
from typing import Any

from .._types import Activation
from . import Parameters
from .keras_activations import ours
from .keras_layers import check_is_layer
from .keras_weights import as_tensor


def read_einsum_dense(layer: Any) -> tuple[Parameters, Activation | None]:
    """The parameters as (*steps, I, O) and (*steps, O), and the activation."""
    check_is_layer(layer, "EinsumDense")
    order = _kernel_order(layer.equation)
    kernel = as_tensor("kernel", layer.kernel).permute(order)
    bias = None
    if layer.bias is not None:  # expanded where steps or outputs share a part of it
        bias = as_tensor("bias", layer.bias).expand(*kernel.shape[:-2], kernel.size(-1))
    parameters = Parameters(kernel, bias, layer.trainable, layer.trainable)
    return parameters, ours(layer.activation)


def _kernel_order(equation: str) -> list[int]:
    """Of the kernel's dimensions, those of the steps, of the input and of the output.

    Raises:
        ValueError: the equation is another one.
    """
    x, kernel, y = re.split(",|->", equation.replace(" ", ""))  # Keras lets no other form through
    steps = "".join(letter for letter in x if letter in kernel and letter in y)
    batch = "".join(letter for letter in x if letter not in kernel)
    ins = "".join(letter for letter in x if letter in kernel and letter not in y)
    outs = "".join(letter for letter in y if letter in kernel and letter not in x)
    is_one = (
        len(steps) > 0
        and len(ins) == len(outs) == 1
        and x == batch + steps + ins
        and y == batch + steps + outs
    )
    if is_one:
        return [kernel.index(letter) for letter in steps + ins + outs]
    raise ValueError(
        "per_step_dense: layer must have an equation such as 'bti,tio->bto' or "
        "'...ti,tio->...to': batch, steps and one dimension of features, in this order; "
        f"got {equation!r}"
    )
