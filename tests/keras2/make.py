"""Writes what is stored: ``python -m keras2.make`` in ``tests``, where tf-keras is installed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from numpy.typing import NDArray

from .stored import LAYERS, MODELS, QUESTION, TRAINING, Arrays, Stored, weights_file, write

BATCH, STEPS, FEATURES, FILTERS = 3, 9, 2, 3
EVERYWHERE = ("linear", "relu", "softmax")
ONCE = ("gelu", "swish", "tanh", "sigmoid", "elu")
"""Activations that one geometry of each kind is computed with."""
TRAINING_STEPS, RATE = 5, 0.1

random = np.random.default_rng(2017)


def main() -> None:
    write(LAYERS, list(layers()))
    write(TRAINING, list(training_runs()))
    write(MODELS, list(models()))


def draw(*shape: int) -> NDArray[Any]:
    """Multiples of 1/64 between -2 and 2: exact in every dtype, and small when compressed."""
    return random.integers(-128, 129, shape).astype(np.float32) / 64


def layers() -> Iterator[Stored]:
    """Every kernel size, stride, bias, data format, implementation and padding."""
    kinds = product((1, 2, 3), ("channels_last", "channels_first"), ("valid", "same"))
    for implementation, data_format, padding in kinds:
        if (implementation, padding) == (1, "same"):
            continue
        for kernel_size, strides, use_bias in product((1, 2, 3, 4), (1, 2, 3), (True, False)):
            is_one = (kernel_size, strides, use_bias) == (3, 2, True)
            config = {
                "filters": FILTERS,
                "kernel_size": kernel_size,
                "strides": strides,
                "padding": padding,
                "data_format": data_format,
                "use_bias": use_bias,
                "implementation": implementation,
            }
            activations = EVERYWHERE + ONCE if is_one else EVERYWHERE
            yield Stored({**config, "activations": activations}, computed(config, activations))


def computed(config: dict[str, Any], activations: tuple[str, ...]) -> Arrays:
    """What goes in, and for each activation y and the gradients of sum(dy * y)."""
    is_last = config["data_format"] == "channels_last"
    shape = (BATCH, STEPS, FEATURES) if is_last else (BATCH, FEATURES, STEPS)
    layer = tf_keras.layers.LocallyConnected1D(**config)
    layer.build(shape)
    weights = [draw(*each.shape) for each in layer.get_weights()]
    x = draw(*shape)
    layer.set_weights(weights)
    z = layer(x)
    while np.abs(z.numpy()).min() < 1e-4:  # where relu's gradient would be a matter of rounding
        x = draw(*shape)
        z = layer(x)
    dy = draw(*z.shape)
    arrays = {"x": x, **dict(zip(("kernel", "bias"), weights, strict=False)), "dy": dy}
    for activation in activations:
        layer.activation = tf_keras.activations.get(activation)
        inputs = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            y = layer(inputs)
        gradients = tape.gradient(
            y, [inputs, *layer.trainable_variables], output_gradients=tf.constant(dy)
        )
        names = ("y", "dx", "dkernel", "dbias")
        for name, array in zip(names, (y, *gradients), strict=False):
            arrays[f"{activation}/{name}"] = array.numpy()
    return arrays


def training_runs() -> Iterator[Stored]:
    """Steps of gradient descent on one batch: the weights and the loss after each of them."""
    extras: tuple[dict[str, Any], ...] = (
        {},
        {
            "kernel_regularizer": {"class_name": "L2", "config": {"l2": 0.01}},
            "bias_regularizer": {"class_name": "L2", "config": {"l2": 0.02}},
            "kernel_constraint": {"class_name": "MaxNorm", "config": {"max_value": 1, "axis": 0}},
            "bias_constraint": {"class_name": "NonNeg", "config": {}},
        },
    )
    for implementation, extra in product((1, 2, 3), extras):
        config = {
            "filters": FILTERS,
            "kernel_size": 3,
            "strides": 2,
            "activation": "tanh",
            "implementation": implementation,
            **extra,
        }
        layer = tf_keras.layers.LocallyConnected1D(**config)
        model = tf_keras.Sequential([tf_keras.Input((STEPS, FEATURES)), layer])
        weights = [draw(*each.shape) / 2 for each in layer.get_weights()]
        layer.set_weights(weights)
        model.compile(tf_keras.optimizers.SGD(RATE), "mse")
        x = draw(BATCH, STEPS, FEATURES)
        target = draw(*model.compute_output_shape(x.shape)) / 2
        arrays = {"x": x, "target": target, "kernel": weights[0], "bias": weights[1]}
        for step in range(TRAINING_STEPS):
            loss = model.train_on_batch(x, target)
            kernel, bias = layer.get_weights()
            arrays |= {f"{step}/loss": np.float32(loss), f"{step}/kernel": kernel}
            arrays[f"{step}/bias"] = bias
        yield Stored({**config, "rate": RATE}, arrays)


def models() -> Iterator[Stored]:
    """Writes models and weights into files; what the models compute is what is given."""
    model = question()
    model.save(QUESTION)
    yield predicted(model, QUESTION.name)
    for implementation in (1, 2, 3):
        model = two_layers(implementation)
        model.save_weights(weights_file(implementation))
        yield predicted(model, weights_file(implementation).name)


def predicted(model: tf_keras.Model, file: str) -> Stored:
    x = draw(BATCH, *model.input_shape[1:])
    return Stored({"file": file}, {"x": x, "y": model(x).numpy()})


def question() -> tf_keras.Model:
    """The question's network, trained a little."""
    tf_keras.backend.clear_session()  # names begin anew, as in a program of its own
    tf_keras.utils.set_random_seed(0)
    model = tf_keras.Sequential(
        [tf_keras.layers.LocallyConnected1D(8, 1, input_shape=(10, 4), activation="relu")]
    )
    model.compile("sgd", "mse")
    teacher = random.normal(size=(10, 4, 8))
    x = random.normal(size=(512, 10, 4)).astype(np.float32)
    y = np.maximum(np.einsum("bti,tio->bto", x, teacher), 0)
    model.fit(x, y, epochs=20, batch_size=32, verbose=0)
    return model


def two_layers(implementation: int) -> tf_keras.Model:
    """For weights files; what is drawn does not matter, but is the same in all of them."""
    tf_keras.backend.clear_session()
    tf_keras.utils.set_random_seed(implementation)
    layer = tf_keras.layers.LocallyConnected1D
    return tf_keras.Sequential(
        [
            tf_keras.Input((STEPS, FEATURES)),
            layer(FILTERS, 2, implementation=implementation, bias_initializer="random_normal"),
            layer(FILTERS, 3, 2, implementation=implementation, bias_initializer="random_normal"),
        ]
    )


if __name__ == "__main__":
    main()
