"""Keras for tests, on the backend that KERAS_BACKEND names, torch by default."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

if find_spec("keras") is None:
    pytest.skip("needs pip install '.[keras]'", allow_module_level=True)

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras

BACKEND = keras.config.backend()
Array = np.ndarray[Any, Any]


def as_numpy(value: Any) -> Array:
    return keras.ops.convert_to_numpy(value)


def outputs_and_gradients(layer: Any, x: Array, dy: Array) -> list[Array]:
    """y, and the gradients of sum(dy * y): of x, the kernel and, where there is one, the bias."""
    compute = {"torch": _by_torch, "jax": _by_jax, "tensorflow": _by_tensorflow}[BACKEND]
    return [as_numpy(each) for each in compute(layer, x, dy)]


def _by_torch(layer: Any, x: Array, dy: Array) -> list[Any]:
    import torch

    inputs = torch.tensor(x, requires_grad=True)
    y = layer(inputs)
    leaves = [inputs, *(variable.value for variable in layer.trainable_variables)]
    return [y.detach(), *torch.autograd.grad(y, leaves, torch.tensor(dy))]


def _by_jax(layer: Any, x: Array, dy: Array) -> list[Any]:
    import jax

    def function(inputs: Any, variables: Any) -> Any:
        return layer.stateless_call(variables, [], inputs)[0]

    @jax.jit
    def both(inputs: Any, variables: Any, dy: Any) -> Any:
        y, pull_back = jax.vjp(function, inputs, variables)
        dx, dvariables = pull_back(dy)
        return [y, dx, *dvariables]

    return both(x, [variable.value for variable in layer.trainable_variables], dy)


def _by_tensorflow(layer: Any, x: Array, dy: Array) -> list[Any]:
    import tensorflow as tf

    inputs = tf.constant(x)
    variables = [variable.value for variable in layer.trainable_variables]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        y = layer(inputs)
    gradients = tape.gradient(y, [inputs, *variables], output_gradients=tf.constant(dy))
    return [y, *map(tf.convert_to_tensor, gradients)]
