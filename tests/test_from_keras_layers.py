"""Are Keras's layers, LocallyConnected1D and EinsumDense, taken over as they are?"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from keras_backend import keras

from per_step_dense import LocallyConnected1d, PerStepDense
from per_step_dense.keras import LocallyConnected1D

RANDOM = np.random.default_rng(0)


@pytest.fixture(params=["per_step_dense.keras", "tf_keras"])
def layer_class(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """The Keras 3 layer, and that of Keras 2 itself."""
    if request.param == "per_step_dense.keras":
        return LocallyConnected1D
    if find_spec("tf_keras") is None:
        pytest.skip("needs pip install tensorflow tf-keras")
    import tf_keras

    return tf_keras.layers.LocallyConnected1D


def built(layer: Any, *shape: int) -> Any:
    layer.build((None, *shape))
    layer.set_weights([RANDOM.normal(size=each.shape) for each in layer.get_weights()])
    return layer


def random(*shape: int) -> np.ndarray[Any, Any]:
    return RANDOM.normal(size=shape).astype(np.float32)


def assert_same(ours: Any, theirs: Any, x: np.ndarray[Any, Any], is_first: bool = False) -> None:
    y = theirs(x)
    expected = y.detach() if isinstance(y, torch.Tensor) else torch.tensor(y.numpy())
    given = torch.tensor(x).mT if is_first else torch.tensor(x)
    torch.testing.assert_close(
        ours(given).detach(), expected.mT if is_first else expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize("implementation", [1, 2, 3])
@pytest.mark.parametrize(("kernel_size", "strides"), [(1, 1), (3, 1), (2, 3)])
def test_a_locally_connected_layer_needs_no_keywords(
    layer_class: Callable[..., Any],
    data_format: str,
    implementation: int,
    kernel_size: int,
    strides: int,
) -> None:
    keywords = {"data_format": data_format, "implementation": implementation}
    is_first = data_format == "channels_first"
    layer = layer_class(3, kernel_size, strides, activation="gelu", **keywords)
    shape = (4, 9) if is_first else (9, 4)
    built(layer, *shape)
    ours = LocallyConnected1d.from_keras(layer)
    assert (ours.in_steps, ours.in_features, ours.out_features) == (9, 4, 3)
    assert (ours.kernel_size, ours.stride, ours.activation) == (kernel_size, strides, "gelu")
    assert_same(ours, layer, random(5, *shape), is_first)
    if kernel_size == 1:
        assert_same(PerStepDense.from_keras(layer), layer, random(5, *shape), is_first)


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        (None, None),
        ("linear", None),
        ("relu", "relu"),
        ("gelu", "gelu"),
        ("swish", "silu"),
        ("silu", "silu"),
        ("tanh", "tanh"),
        ("sigmoid", "sigmoid"),
    ],
)
def test_activations_are_taken_over(
    layer_class: Callable[..., Any], theirs: str | None, expected: str | None
) -> None:
    layer = built(layer_class(3, 1, activation=theirs), 9, 4)
    ours = PerStepDense.from_keras(layer)
    assert ours.activation == expected
    assert_same(ours, layer, random(5, 9, 4))


@pytest.mark.parametrize("activation", ["softmax", "elu", "leaky_relu", lambda x: x])
def test_activations_that_the_op_has_not_are_refused(activation: Any) -> None:
    def relu(x: Any) -> Any:  # not Keras's
        return x

    for each in (activation, relu):
        layer = built(LocallyConnected1D(3, 1, activation=each), 9, 4)
        with pytest.raises(ValueError, match="the layer's activation must be linear, relu, gelu"):
            PerStepDense.from_keras(layer)


def test_without_a_bias_and_not_trained(layer_class: Callable[..., Any]) -> None:
    layer = built(layer_class(3, 2, use_bias=False, trainable=False), 9, 4)
    ours = LocallyConnected1d.from_keras(layer)
    assert ours.bias is None and not ours.weight.requires_grad
    assert_same(ours, layer, random(5, 9, 4))


def test_layers_that_cannot_be_taken_are_refused(layer_class: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match=r"layer must be built, by a first call or layer\.build"):
        LocallyConnected1d.from_keras(layer_class(3, 2))
    same = built(layer_class(3, 2, padding="same", implementation=2), 9, 4)
    with pytest.raises(ValueError, match=r"layer must have padding = 'valid' .*; got 'same'"):
        LocallyConnected1d.from_keras(same)
    one = built(layer_class(3, 1, padding="same", implementation=2), 9, 4)
    assert_same(PerStepDense.from_keras(one), one, random(5, 9, 4))
    layer = built(layer_class(3, 2, 2), 9, 4)
    with pytest.raises(ValueError, match=r"layer must have kernel_size = 1 \(Locally.*; got 2"):
        PerStepDense.from_keras(layer)
    with pytest.raises(ValueError, match=r"layer must have strides = 1 \(Locally.*; got 2"):
        PerStepDense.from_keras(built(layer_class(3, 1, 2), 9, 4))
    for keywords in (
        {"in_steps": 9},
        {"in_features": 4},
        {"kernel_size": 2},
        {"stride": 2},
        {"activation": "relu"},
        {"data_format": "channels_first"},
        {"implementation": 2},
    ):
        ((name, value),) = keywords.items()
        with pytest.raises(ValueError) as raised:
            LocallyConnected1d.from_keras(layer, **keywords)
        assert str(raised.value) == (
            f"per_step_dense: {name} must not be given with a layer, which has its own; "
            f"got {value!r}"
        )
    dense = keras.layers.Dense(3)
    for convert in (LocallyConnected1d.from_keras, PerStepDense.from_keras):
        with pytest.raises(TypeError, match="must be a Keras LocallyConnected1D; got Dense"):
            convert(dense)


@pytest.mark.parametrize(
    ("equation", "shape", "output_shape", "bias_axes"),
    [
        ("bti,tio->bto", (9, 4), (9, 3), "to"),
        ("abc,bcd->abd", (9, 4), (9, 3), None),
        ("bti,toi->bto", (9, 4), (9, 3), "to"),
        ("bti,iot->bto", (9, 4), (9, 3), "o"),
        ("bti,oit->bto", (9, 4), (9, 3), "t"),
        ("...ti,tio->...to", (9, 4), (9, 3), "to"),
        ("bsti,tio->bsto", (5, 9, 4), (5, 9, 3), "to"),
        ("bhwi,hwio->bhwo", (2, 3, 4), (2, 3, 5), "hwo"),
        ("bhwi,iwoh->bhwo", (2, 3, 4), (2, 3, 5), "wo"),
    ],
)
def test_an_einsum_dense(
    equation: str, shape: tuple[int, ...], output_shape: tuple[int, ...], bias_axes: str | None
) -> None:
    layer = keras.layers.EinsumDense(equation, output_shape, "tanh", bias_axes)
    built(layer, *shape)
    ours = PerStepDense.from_einsum_dense(layer)
    assert ours.activation == "tanh"
    assert (ours.bias is None) == (bias_axes is None)
    assert_same(ours, layer, random(6, *shape))


def test_an_einsum_dense_with_lora_and_in_bfloat16() -> None:
    layer = keras.layers.EinsumDense("bti,tio->bto", (9, 3))
    built(layer, 9, 4)
    layer.enable_lora(2)
    layer.lora_kernel_b.assign(random(*layer.lora_kernel_b.shape))
    assert_same(PerStepDense.from_einsum_dense(layer), layer, random(5, 9, 4))
    layer = keras.layers.EinsumDense("bti,tio->bto", (9, 3), dtype="bfloat16", trainable=False)
    ours = PerStepDense.from_einsum_dense(built(layer, 9, 4))
    assert ours.weight.dtype == torch.bfloat16 and not ours.weight.requires_grad
    assert ours.weight.eq(layer.kernel.value).all()


def test_an_einsum_dense_whose_activation_was_taken_away() -> None:
    layer = built(keras.layers.EinsumDense("bti,tio->bto", (9, 3), activation="elu"), 9, 4)
    layer.activation = None
    ours = PerStepDense.from_einsum_dense(layer)
    assert ours.activation is None
    assert_same(ours, layer, random(5, 9, 4))


@pytest.mark.parametrize(
    ("equation", "shape", "output_shape"),
    [
        ("bti,io->bto", (9, 4), (9, 3)),  # shared by the steps
        ("bti,tio->bot", (9, 4), (3, 9)),
        ("bit,tio->bto", (4, 9), (9, 3)),
        ("btij,tijo->bto", (9, 4, 2), (9, 3)),
        ("bti,tiop->btop", (9, 4), (9, 3, 2)),
        ("bti,ti->bt", (9, 4), (9,)),
        ("tbi,tio->tbo", (9, 5, 4), (5, 3)),
    ],
)
def test_other_equations_are_refused(
    equation: str, shape: tuple[int, ...], output_shape: tuple[int, ...]
) -> None:
    layer = keras.layers.EinsumDense(equation, output_shape)
    layer.build((5, *shape) if equation[0] == "b" else shape)
    with pytest.raises(ValueError) as raised:
        PerStepDense.from_einsum_dense(layer)
    assert "layer must have an equation such as 'bti,tio->bto'" in str(raised.value)
    assert str(raised.value).endswith(f"got {equation!r}")


def test_what_is_no_einsum_dense_is_refused() -> None:
    with pytest.raises(TypeError, match="layer must be a Keras EinsumDense; got Dense"):
        PerStepDense.from_einsum_dense(keras.layers.Dense(3))
    with pytest.raises(TypeError, match="layer must be a Keras EinsumDense; got str"):
        PerStepDense.from_einsum_dense("bti,tio->bto")
    with pytest.raises(ValueError, match="layer must be built"):
        PerStepDense.from_einsum_dense(keras.layers.EinsumDense("bti,tio->bto", (9, 3)))
    layer = keras.layers.EinsumDense("bti,tio->bto", (9, 3), activation="softmax")
    layer.build((None, 9, 4))
    with pytest.raises(ValueError, match="the layer's activation must be linear"):
        PerStepDense.from_einsum_dense(layer)
