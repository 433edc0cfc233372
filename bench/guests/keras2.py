"""tf-keras' LocallyConnected1D, which Keras 3 no longer has."""

from __future__ import annotations

from functools import partial
from typing import Final

import tf_keras

from .protocol import Work
from .server import Arrays, Prepared
from .tensorflow_layer import on_cpu, prepared

_ACTIVATIONS: Final = {
    None: None,
    "relu": tf_keras.activations.relu,
    "gelu": partial(tf_keras.activations.gelu, approximate=False),
    "gelu_tanh": partial(tf_keras.activations.gelu, approximate=True),
    "silu": tf_keras.activations.swish,
    "tanh": tf_keras.activations.tanh,
    "sigmoid": tf_keras.activations.sigmoid,
}


def prepare(work: Work, arrays: Arrays) -> Prepared:
    """In implementation 1, the default: its kernel is (T, k * I, O)."""
    on_cpu(work.threads)
    layer = tf_keras.layers.LocallyConnected1D(
        filters=work.shapes["weight"][2],
        kernel_size=work.kernel_size,
        strides=work.stride,
        activation=_ACTIVATIONS[work.activation],
        use_bias="bias" in arrays,
        dtype=work.dtype,
    )
    layer.build(work.shapes["x"])
    layer.set_weights([arrays[name] for name in ("weight", "bias") if name in arrays])
    return prepared(work, arrays, layer, layer.trainable_variables)
