"""Does LocallyConnected1D do in Keras 3 what it did in Keras 2, on whichever backend?

Compared with what tf_keras computed (``keras2``). In this process the backend is torch, or what
KERAS_BACKEND says; ``test_keras_backends.py`` runs this file on the others.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keras2 import stored
from keras_backend import BACKEND, as_numpy, keras, outputs_and_gradients

from per_step_dense.keras import LocallyConnected1D

LAYERS = list(stored.read(stored.LAYERS))
ONES: list[Any] = [  # every activation, of one geometry of each kind
    (each, activation)
    for each in LAYERS
    if len(each.config["activations"]) > 3
    for activation in each.config["activations"][3:]
]
OTHERS: list[Any] = [(each, each.config["activations"][n]) for each in LAYERS for n in range(3)]
if BACKEND != "torch":
    # A compiler takes half a second for each. Left are all kernel sizes and strides of each
    # implementation and padding, with one of the data formats, a bias or none and one activation in
    # turn; and the other activations in implementation 1.
    WITH_BIAS = LAYERS[::2]  # those without follow them
    OTHERS = [
        (LAYERS[2 * turn + turn // 2 % 2], each.config["activations"][turn % 3])
        for turn, each in enumerate(WITH_BIAS)
        if turn % 2 == (each.config["data_format"] == "channels_first")
    ]
    ONES = [case for case in ONES if case[0].config["implementation"] == 1]


def name_of(case: tuple[stored.Stored, str]) -> str:
    config = case[0].config
    parts = [f"{config['implementation']}-{config['data_format']}-{config['padding']}"]
    parts.append(f"k{config['kernel_size']}-s{config['strides']}")
    return "-".join([*parts, "bias" if config["use_bias"] else "no_bias", case[1]])


def layer_of(each: stored.Stored, **changes: Any) -> LocallyConnected1D:
    # Zeros, to be overwritten: jax compiles what draws random values anew for every shape.
    config = {**each.config, "kernel_initializer": "zeros", **changes}
    for not_the_layers in ("activations", "rate"):
        config.pop(not_the_layers, None)
    layer = LocallyConnected1D(**config)
    layer.build(each.arrays["x"].shape)
    layer.set_weights(each.weights)
    return layer


@pytest.mark.parametrize("case", OTHERS + ONES, ids=name_of)
def test_results_and_gradients_are_keras_2s(case: tuple[stored.Stored, str]) -> None:
    each, activation = case
    layer = layer_of(each, activation=activation)
    actual = outputs_and_gradients(layer, each.arrays["x"], each.arrays["dy"])
    names = ["y", "dx", "dkernel", "dbias"][: len(actual)]
    assert len(actual) == (4 if each.config["use_bias"] else 3)
    for name, array in zip(names, actual, strict=True):
        expected = each.arrays[f"{activation}/{name}"]
        assert array.shape == expected.shape
        np.testing.assert_allclose(array, expected, rtol=1e-5, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("number", range(6))
def test_training_stays_with_keras_2(number: int) -> None:
    run = list(stored.read(stored.TRAINING))[number]
    layer = layer_of(run)
    model = keras.Sequential([keras.Input(run.arrays["x"].shape[1:]), layer])
    model.compile(keras.optimizers.SGD(run.config["rate"]), "mse")
    for step in range(5):
        loss = model.train_on_batch(run.arrays["x"], run.arrays["target"])
        np.testing.assert_allclose(as_numpy(loss), run.arrays[f"{step}/loss"], rtol=1e-5)
        for name, weight in zip(("kernel", "bias"), layer.get_weights(), strict=True):
            np.testing.assert_allclose(
                weight, run.arrays[f"{step}/{name}"], rtol=1e-5, atol=1e-5, err_msg=name
            )
    assert np.abs(layer.get_weights()[0] - run.arrays["kernel"]).max() > 0.01, "nothing was learned"


def predicted_by_keras_2(file: Path) -> stored.Arrays:
    (arrays,) = (
        each.arrays for each in stored.read(stored.MODELS) if each.config["file"] == file.name
    )
    return arrays


def test_a_model_that_keras_2_saved_loads() -> None:
    model = keras.models.load_model(stored.QUESTION, compile=False)
    arrays = predicted_by_keras_2(stored.QUESTION)
    assert type(model.layers[0]) is LocallyConnected1D
    assert model.count_params() == 400
    assert np.abs(arrays["y"]).max() > 0
    np.testing.assert_allclose(as_numpy(model(arrays["x"])), arrays["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_weights_that_keras_2_saved_load(implementation: int) -> None:
    file = stored.weights_file(implementation)
    arrays = predicted_by_keras_2(file)
    model = keras.Sequential(
        [
            keras.Input(arrays["x"].shape[1:]),
            LocallyConnected1D(3, 2, implementation=implementation),
            LocallyConnected1D(3, 3, 2, implementation=implementation),
        ]
    )
    before = as_numpy(model(arrays["x"]))
    model.load_weights(file)
    np.testing.assert_allclose(as_numpy(model(arrays["x"])), arrays["y"], rtol=1e-5, atol=1e-5)
    assert np.abs(before - arrays["y"]).max() > 1e-3


def test_a_layer_is_built_by_the_shape_that_older_files_have_in_it() -> None:
    config = {**LocallyConnected1D(8, 3).get_config(), "batch_input_shape": [None, 12, 4]}
    layer = LocallyConnected1D.from_config(config)
    assert [tuple(weight.shape) for weight in layer.weights] == [(10, 12, 8), (10, 8)]


EVERYTHING: dict[str, Any] = {
    "filters": 3,
    "kernel_size": 4,
    "strides": 2,
    "padding": "same",
    "data_format": "channels_first",
    "activation": "tanh",
    "use_bias": False,
    "kernel_initializer": "he_uniform",
    "bias_initializer": "ones",
    "kernel_regularizer": "l2",
    "bias_regularizer": "l1",
    "activity_regularizer": "l1",
    "kernel_constraint": "max_norm",
    "bias_constraint": "non_neg",
    "implementation": 3,
}


def test_every_argument_is_in_the_config() -> None:
    config = LocallyConnected1D(**EVERYTHING, name="mine", dtype="mixed_bfloat16").get_config()
    again = LocallyConnected1D.from_config(config)
    assert again.get_config() == config
    for name in ("filters", "padding", "data_format", "activation", "use_bias", "implementation"):
        assert config[name] == EVERYTHING[name]
    assert (config["kernel_size"], config["strides"]) == ((4,), (2,))
    for name, kind in {
        "kernel_initializer": keras.initializers.HeUniform,
        "bias_initializer": keras.initializers.Ones,
        "kernel_regularizer": keras.regularizers.L2,
        "bias_regularizer": keras.regularizers.L1,
        "activity_regularizer": keras.regularizers.L1,
        "kernel_constraint": keras.constraints.MaxNorm,
        "bias_constraint": keras.constraints.NonNeg,
    }.items():
        assert type(getattr(again, name)) is kind
    assert (again.name, again.compute_dtype) == ("mine", "bfloat16")


def test_defaults_are_keras_2s() -> None:
    layer = LocallyConnected1D(8, 3)
    assert (layer.strides, layer.padding, layer.data_format) == ((1,), "valid", "channels_last")
    assert layer.activation is keras.activations.linear
    assert (layer.use_bias, layer.implementation) == (True, 1)
    assert type(layer.kernel_initializer) is keras.initializers.GlorotUniform
    assert type(layer.bias_initializer) is keras.initializers.Zeros


def test_the_data_format_is_by_default_that_of_the_configuration() -> None:
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_first")
    try:
        assert LocallyConnected1D(8, 3).data_format == "channels_first"
    finally:
        keras.config.set_image_data_format(before)


def test_names_are_taken_in_capitals_and_sizes_in_lists() -> None:
    layer = LocallyConnected1D(8, [3], (2,), "VALID", "Channels_First")
    assert (layer.kernel_size, layer.strides) == ((3,), (2,))
    assert (layer.padding, layer.data_format) == ("valid", "channels_first")


@pytest.mark.parametrize("implementation", [1, 2, 3])
def test_a_saved_model_loads_without_custom_objects(implementation: int, tmp_path: Path) -> None:
    model = keras.Sequential(
        [
            keras.Input((9, 2)),
            LocallyConnected1D(3, 2, activation="gelu", implementation=implementation),
            LocallyConnected1D(2, 3, 2, implementation=implementation, kernel_regularizer="l2"),
        ]
    )
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    x = np.random.default_rng(0).normal(size=(4, 9, 2)).astype(np.float32)
    np.testing.assert_array_equal(as_numpy(model(x)), as_numpy(again(x)))
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "bfloat16", "float16"])
@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_computes_in_the_dtype_of_its_policy(
    policy: str, implementation: int, data_format: str
) -> None:
    (each,) = (
        each
        for each in LAYERS
        if each.config["implementation"] == implementation
        and each.config["data_format"] == data_format
        and each.config["padding"] == "valid"
        and (each.config["kernel_size"], each.config["strides"]) == (3, 2)
        and each.config["use_bias"]
    )
    layer = layer_of(each, dtype=policy)
    y = layer(each.arrays["x"])
    compute = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(y.dtype) == compute
    assert layer.kernel.dtype == ("float32" if policy.startswith("mixed") else compute)
    expected = each.arrays["linear/y"]
    error = np.abs(as_numpy(y).astype(np.float32) - expected).max()
    # The values are multiples of 1/64, exact in either; what is rounded are the results, once on
    # most backends, and sums of a few terms.
    assert error <= 4 * {"float16": 2**-11, "bfloat16": 2**-8}[compute] * np.abs(expected).max()


@pytest.mark.parametrize(
    ("implementation", "fan_in", "fan_out"),
    [(1, 20 * 3 * 4, 20 * 8), (2, 22 * 4 * 20, 22 * 4 * 8), (3, 20 * 3 * 4 * 8, 20 * 3 * 4 * 8)],
)
def test_glorot_limits_are_keras_2s(implementation: int, fan_in: int, fan_out: int) -> None:
    layer = LocallyConnected1D(8, 3, implementation=implementation)
    layer.build((None, 22, 4))
    limit = math.sqrt(6 / (fan_in + fan_out))
    assert 0.98 * limit < np.abs(as_numpy(layer.kernel)).max() <= limit
    assert not as_numpy(layer.bias).any()


def test_regularizers_are_losses() -> None:
    layer = LocallyConnected1D(
        3, 2, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l1"
    )
    layer.build((None, 9, 2))
    layer.bias.assign(keras.ops.full(layer.bias.shape, -2.0))
    x = np.ones((1, 9, 2), np.float32)
    y = as_numpy(layer(x))
    kernel = as_numpy(layer.kernel)
    expected = sorted([0.01 * (kernel**2).sum(), 0.01 * 2 * 8 * 3, 0.01 * np.abs(y).sum()])
    np.testing.assert_allclose(sorted(map(as_numpy, layer.losses)), expected, rtol=1e-5)


def test_what_lies_outside_of_the_windows_is_never_used() -> None:
    layer = LocallyConnected1D(3, 2, implementation=2)
    layer.build((None, 5, 2))
    kernel = np.full(layer.kernel.shape, np.nan, np.float32)  # (L, I, T, O)
    for t in range(4):
        kernel[t : t + 2, :, t] = 1
    layer.set_weights([kernel, np.zeros((4, 3), np.float32)])
    np.testing.assert_array_equal(as_numpy(layer(np.ones((1, 5, 2), np.float32))), 4)


def test_an_activation_may_be_changed_later() -> None:
    layer = LocallyConnected1D(3, 2, activation="softmax")
    x = np.random.default_rng(0).normal(size=(4, 9, 2)).astype(np.float32)
    softmax = as_numpy(layer(x))
    layer.activation = keras.activations.linear
    linear = as_numpy(layer(x))
    exponentials = np.exp(linear)
    np.testing.assert_allclose(softmax, exponentials / exponentials.sum(-1, keepdims=True), 1e-5)


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_in_a_functional_model(data_format: str) -> None:
    is_last = data_format == "channels_last"
    inputs = keras.Input((9, 2) if is_last else (2, 9))
    outputs = LocallyConnected1D(3, 2, 2, data_format=data_format)(inputs)
    assert tuple(outputs.shape) == ((None, 4, 3) if is_last else (None, 3, 4))
    model = keras.Model(inputs, outputs)
    y = model.predict(np.ones((5, *inputs.shape[1:])), verbose=0)
    assert y.shape == (5, *outputs.shape[1:])


REFUSALS: list[Any] = [
    ({"padding": "same"}, "padding must be 'valid' with implementation 1"),
    ({"padding": "causal"}, "padding must be 'valid' or 'same'; got 'causal'"),
    ({"padding": None}, "padding must be 'valid' or 'same'; got None"),
    (
        {"data_format": "channels_middle"},
        "data_format must be 'channels_last' or 'channels_first'; got 'channels_middle'",
    ),
    ({"implementation": 4}, "implementation must be 1, 2 or 3; got 4"),
    ({"implementation": True}, "implementation must be 1, 2 or 3; got True"),
    ({"implementation": "1"}, "implementation must be 1, 2 or 3; got '1'"),
    ({"filters": 0}, "filters must be an int of at least 1; got 0"),
    ({"filters": 2.5}, "filters must be an int of at least 1; got float"),
    ({"filters": None}, "filters must be an int of at least 1; got NoneType"),
    ({"kernel_size": 0}, "kernel_size must be an int of at least 1; got 0"),
    ({"kernel_size": (2, 2)}, "kernel_size must be an int of at least 1 or a tuple of one; got (2"),
    ({"kernel_size": ()}, "kernel_size must be an int of at least 1 or a tuple of one; got ()"),
    ({"strides": 0}, "strides must be an int of at least 1; got 0"),
    ({"strides": (-1,)}, "strides must be an int of at least 1; got -1"),
    ({"activation": "step"}, "step"),
    ({"dilation_rate": 2}, "dilation_rate"),
]


@pytest.mark.parametrize(("changes", "text"), REFUSALS, ids=[text for _, text in REFUSALS])
def test_wrong_arguments_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as raised:
        LocallyConnected1D(**{"filters": 3, "kernel_size": 2, **changes})
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("shape", "text"),
    [
        ((None, 3, 2), "kernel_size must be at most the steps of the input, 3; got 4"),
        ((None, None, 2), "the last two of fixed size, for every step has weights"),
        ((None, 9, None), "the last two of fixed size, for every step has weights"),
        ((None, 9), "must be of 3 dimensions"),
    ],
)
def test_wrong_inputs_are_refused(shape: tuple[int | None, ...], text: str) -> None:
    layer = LocallyConnected1D(3, 4)
    with pytest.raises(ValueError) as raised:
        layer.build(shape)
    assert text in str(raised.value)


def test_inputs_of_another_shape_than_it_was_built_for_are_refused() -> None:
    layer = LocallyConnected1D(3, 4)
    layer.build((None, 9, 2))
    for shape in ((5, 10, 2), (5, 9, 3), (9, 2)):
        with pytest.raises(ValueError, match="is incompatible with the layer"):
            layer(np.ones(shape, np.float32))


def test_weights_of_another_implementation_are_refused() -> None:
    layer = LocallyConnected1D(3, 4, implementation=2)
    layer.build((None, 9, 2))
    with pytest.raises(ValueError, match="shape"):
        layer.set_weights([np.ones((6, 8, 3)), np.ones((6, 3))])
