"""Keras 3's EinsumDense on TensorFlow."""

from __future__ import annotations

import os
from functools import partial
from typing import Final

from .protocol import Work
from .server import Arrays, Prepared
from .tensorflow_layer import on_cpu, prepared

os.environ["KERAS_BACKEND"] = "tensorflow"  # the import reads it

import keras

_ACTIVATIONS: Final = {
    None: None,
    "relu": keras.activations.relu,
    "gelu": partial(keras.activations.gelu, approximate=False),
    "gelu_tanh": partial(keras.activations.gelu, approximate=True),
    "silu": keras.activations.silu,
    "tanh": keras.activations.tanh,
    "sigmoid": keras.activations.sigmoid,
}


def prepare(work: Work, arrays: Arrays) -> Prepared:
    """Its kernel is (T, I, O) by the equation."""
    on_cpu(work.threads)
    layer = keras.layers.EinsumDense(
        "bti,tio->bto",
        output_shape=(work.shapes["weight"][0], work.shapes["weight"][2]),
        activation=_ACTIVATIONS[work.activation],
        bias_axes="to" if "bias" in arrays else None,
        dtype=work.dtype,
    )
    layer.build(work.shapes["x"])
    layer.set_weights([arrays[name] for name in ("weight", "bias") if name in arrays])
    return prepared(work, arrays, layer, [variable.value for variable in layer.trainable_variables])
