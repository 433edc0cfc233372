"""Do layers that are built from Keras's compute what those did?

The truth is what tf_keras computed (``keras2``), or the Keras layer itself.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from keras2 import stored
from torch import Tensor

from per_step_dense import LocallyConnected1d, PerStepDense

LAYERS = [each for each in stored.read(stored.LAYERS) if each.config["padding"] == "valid"]
OURS: dict[str, Any] = {"linear": None, "relu": "relu", "gelu": "gelu", "swish": "silu"}
OURS |= {"tanh": "tanh", "sigmoid": "sigmoid"}
CASES: list[Any] = [
    (each, activation)
    for each in LAYERS
    for activation in each.config["activations"]
    if activation in OURS
]


def name_of(case: tuple[stored.Stored, str]) -> str:
    config = case[0].config
    parts = [f"{config['implementation']}-{config['data_format']}"]
    parts.append(f"k{config['kernel_size']}-s{config['strides']}")
    return "-".join([*parts, "bias" if config["use_bias"] else "no_bias", case[1]])


def sizes_of(each: stored.Stored) -> dict[str, Any]:
    """The keywords of ``from_keras``."""
    config = each.config
    return {
        "in_steps": 9,
        "in_features": 2,
        "kernel_size": config["kernel_size"],
        "stride": config["strides"],
        "data_format": config["data_format"],
        "implementation": config["implementation"],
    }


def assert_equal(actual: Tensor, expected: np.ndarray[Any, Any]) -> None:
    torch.testing.assert_close(actual.detach(), torch.tensor(expected), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("case", CASES, ids=name_of)
def test_results_and_gradients_are_keras_2s(case: tuple[stored.Stored, str]) -> None:
    each, activation = case
    sizes, arrays = sizes_of(each), each.arrays
    layer = LocallyConnected1d.from_keras(each.weights, **sizes, activation=OURS[activation])
    x, dy, y, dx = (
        torch.tensor(arrays[name]).mT
        if sizes["data_format"] == "channels_first"
        else torch.tensor(arrays[name])
        for name in ("x", "dy", f"{activation}/y", f"{activation}/dx")
    )
    x.requires_grad_()
    actual = layer(x)
    gradients = torch.autograd.grad(actual, [x, *layer.parameters()], dy)
    assert_equal(actual, y.numpy())
    assert_equal(gradients[0], dx.numpy())
    # A gradient of the weights is one of Keras's, put in the place of the weights.
    names = ("dkernel", "dbias") if each.config["use_bias"] else ("dkernel",)
    in_keras = [arrays[f"{activation}/{name}"] for name in names]
    expected = LocallyConnected1d.from_keras(in_keras, **sizes)
    for gradient, parameter in zip(gradients[1:], expected.parameters(), strict=True):
        assert_equal(gradient, parameter.detach().numpy())


@pytest.mark.parametrize("number", [0, 2, 4])
def test_training_stays_with_keras_2(number: int) -> None:
    run = list(stored.read(stored.TRAINING))[number]
    assert "kernel_regularizer" not in run.config
    sizes = {"in_steps": 9, "in_features": 2, "kernel_size": 3, "stride": 2}
    sizes["implementation"] = run.config["implementation"]
    layer = LocallyConnected1d.from_keras(run.weights, **sizes, activation="tanh")
    optimizer = torch.optim.SGD(layer.parameters(), run.config["rate"])
    x, target = torch.tensor(run.arrays["x"]), torch.tensor(run.arrays["target"])
    for step in range(5):
        loss = torch.nn.functional.mse_loss(layer(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert_equal(loss, run.arrays[f"{step}/loss"])
        weights = [run.arrays[f"{step}/{name}"] for name in ("kernel", "bias")]
        expected = LocallyConnected1d.from_keras(weights, **sizes)
        for one, other in zip(layer.parameters(), expected.parameters(), strict=True):
            assert_equal(one, other.detach().numpy())


OF_ONE_STEP = {"kernel_size": 1, "strides": 1, "data_format": "channels_last", "implementation": 1}


@pytest.mark.parametrize(
    "each",
    [each for each in LAYERS if each.config.items() >= OF_ONE_STEP.items()],
    ids=["bias", "no_bias"],
)
def test_per_step_dense_of_windows_of_one_step(each: stored.Stored) -> None:
    layer = PerStepDense.from_keras(each.weights, activation="relu")
    assert (layer.steps, layer.in_features, layer.out_features) == (9, 2, 3)
    assert_equal(layer(torch.tensor(each.arrays["x"])), each.arrays["relu/y"])


def test_sizes_that_follow_need_not_be_given() -> None:
    def sizes(shape: tuple[int, ...], **known: Any) -> tuple[int, ...]:
        layer = LocallyConnected1d.from_keras([torch.zeros(shape)], **known)
        return layer.in_steps, layer.in_features, layer.out_features, layer.kernel_size

    assert sizes((10, 12, 8), kernel_size=3) == (12, 4, 8, 3)
    assert sizes((10, 12, 8), in_features=4) == (12, 4, 8, 3)
    assert sizes((5, 12, 8), kernel_size=3, stride=2, in_steps=12) == (12, 4, 8, 3)
    assert sizes((12, 4, 10, 8), implementation=2) == (12, 4, 8, 3)
    assert sizes((12, 4, 5, 8), implementation=2, kernel_size=3, stride=2) == (12, 4, 8, 3)
    first = {"implementation": 2, "data_format": "channels_first"}
    assert sizes((4, 12, 8, 10), **first) == (12, 4, 8, 3)


def test_weights_are_copies_of_their_dtype() -> None:
    kernel, bias = np.ones((10, 4, 8), np.float64), np.ones((10, 8), np.float64)
    layer = PerStepDense.from_keras([kernel, bias])
    kernel[:], bias[:] = 2, 2
    assert layer.weight.dtype == layer.bias.dtype == torch.float64
    assert layer.weight.eq(1).all() and layer.bias.eq(1).all()
    assert layer.weight.requires_grad and layer.bias.requires_grad
    kernel = torch.ones(10, 4, 8, dtype=torch.bfloat16, requires_grad=True)
    layer = PerStepDense.from_keras((kernel,))
    assert layer.weight.dtype == torch.bfloat16 and layer.weight.data_ptr() != kernel.data_ptr()
    half = LocallyConnected1d.from_keras([np.ones((10, 4, 8), np.float16)], kernel_size=2)
    assert half.weight.dtype == torch.float16


K1: dict[str, Any] = {"kernel_size": 3}
REFUSALS: list[Any] = [
    # implementation 1
    ([(10, 12, 8)], {}, ValueError, "kernel_size or in_features must be given with implementation"),
    ([(10, 12, 8)], {"kernel_size": 5}, ValueError, "k * I = 5 * 2 rows; got 12"),
    ([(10, 12, 8)], {"in_features": 5}, ValueError, "k * I = 2 * 5 rows; got 12"),
    ([(10, 12, 8)], {"in_features": 50}, ValueError, "k * I = 1 * 50 rows; got 12"),
    ([(10, 12, 8)], {"kernel_size": 3, "in_features": 3}, ValueError, "k * I = 3 * 3 rows; got 12"),
    (
        [(5, 12, 8)],
        {**K1, "stride": 2},
        ValueError,
        "in_steps must be given where stride is 2: 5 windows fit into 11 to 12 steps; got None",
    ),
    (
        [(10, 12, 8)],
        {**K1, "in_steps": 13},
        ValueError,
        "T = 11 output steps, of 13 with windows of 3 every 1; got 10",
    ),
    (
        [(10, 12, 8)],
        {**K1, "in_steps": 2},
        ValueError,
        "kernel_size must be at most the steps of the input, 2; got 3",
    ),
    ([(12, 8)], K1, ValueError, "kernel must be (T, k * I, O), of rows (k, I) with implementation"),
    (
        [(12, 8)],
        {**K1, "data_format": "channels_first"},
        ValueError,
        "kernel must be (T, k * I, O), of rows (I, k) with implementation 1; got (12, 8)",
    ),
    ([(0, 12, 8)], K1, ValueError, "with implementation 1; got (0, 12, 8)"),
    ([(10, 12, 8), (8,)], K1, ValueError, "bias must be (T, O) = (10, 8); got (8,)"),
    ([(10, 12, 8), (8, 10)], K1, ValueError, "bias must be (T, O) = (10, 8); got (8, 10)"),
    # implementation 2
    ([(10, 12, 8)], {"implementation": 2}, ValueError, "kernel must be (L, I, T, O) with impleme"),
    (
        [(12, 4, 5, 8)],
        {"implementation": 2, "stride": 2},
        ValueError,
        "kernel_size must be given where stride is 2 with implementation 2; got None",
    ),
    (
        [(12, 4, 13, 8)],
        {"implementation": 2},
        ValueError,
        "kernel must have T = 12 output steps, of 12 with windows of 1 every 1; got 13",
    ),
    (
        [(12, 4, 10, 8)],
        {"implementation": 2, "in_steps": 11},
        ValueError,
        "in_steps must be 12, as the kernel has it; got 11",
    ),
    (
        [(12, 4, 10, 8)],
        {"implementation": 2, "in_features": 8},
        ValueError,
        "in_features must be 4, as the kernel has it; got 8",
    ),
    (
        [(12, 4, 10, 8)],
        {"implementation": 2, "kernel_size": 2},
        ValueError,
        "kernel must have T = 11 output steps, of 12 with windows of 2 every 1; got 10",
    ),
    # implementation 3
    (
        [(960,)],
        {"implementation": 3, "in_steps": 12, "kernel_size": 3},
        ValueError,
        "in_steps, in_features and kernel_size must be given with implementation 3; "
        "got (12, None, 3)",
    ),
    (
        [(961,)],
        {"implementation": 3, "in_steps": 12, "kernel_size": 3, "in_features": 4},
        ValueError,
        "kernel must have a multiple of T * k * I = 10 * 3 * 4 weights; got 961",
    ),
    (
        [(0,)],
        {"implementation": 3, "in_steps": 12, "kernel_size": 3, "in_features": 4},
        ValueError,
        "kernel must be (T * k * I * O,) with implementation 3; got (0,)",
    ),
    # of all
    ([(10, 12, 8)], {**K1, "implementation": 4}, ValueError, "implementation must be 1, 2 or 3"),
    (
        [(10, 12, 8)],
        {**K1, "data_format": "channels_middle"},
        ValueError,
        "data_format must be 'channels_last' or 'channels_first'; got 'channels_middle'",
    ),
    ([(10, 12, 8)], {"kernel_size": 0}, ValueError, "kernel_size must be an int of at least 1"),
    ([(10, 12, 8)], {**K1, "stride": 0}, ValueError, "stride must be an int of at least 1; got 0"),
    ([(10, 12, 8)], {**K1, "in_steps": 1.5}, TypeError, "in_steps must be an int of at least 1"),
    ([(10, 12, 8)], {**K1, "activation": "elu"}, ValueError, "activation must be None or one of"),
    ([], K1, ValueError, "as get_weights() gives them; got 0 arrays"),
    ([(1,), (1,), (1,)], K1, ValueError, "as get_weights() gives them; got 3 arrays"),
]


@pytest.mark.parametrize(
    ("shapes", "keywords", "error", "text"), REFUSALS, ids=[case[-1] for case in REFUSALS]
)
def test_weights_that_do_not_fit_are_refused(
    shapes: list[tuple[int, ...]], keywords: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        LocallyConnected1d.from_keras([np.zeros(shape, np.float32) for shape in shapes], **keywords)
    assert str(raised.value).startswith("per_step_dense: ")
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("weights", "text"),
    [
        (np.zeros((10, 12, 8)), "weights must be [kernel, bias] or [kernel], as get_weights() giv"),
        (None, "weights must be [kernel, bias] or [kernel], as get_weights() gives them; got None"),
        ([[1.0]], "kernel must be a NumPy array or a tensor; got list"),
        ([None], "kernel must be a NumPy array or a tensor; got NoneType"),
        ([np.zeros((10, 12, 8), np.int32)], "kernel must be float32, float64, float16 or bfloat16"),
        ([np.array(["a"])], "kernel must be an array of numbers"),
        (
            [np.zeros((10, 12, 8), np.float32), np.zeros((10, 8))],
            "bias must have the dtype of kernel, torch.float32; got torch.float64",
        ),
    ],
)
def test_what_are_no_weights_is_refused(weights: Any, text: str) -> None:
    with pytest.raises(TypeError) as raised:
        LocallyConnected1d.from_keras(weights, kernel_size=3)
    assert text in str(raised.value)


def test_per_step_dense_refuses_other_shapes() -> None:
    with pytest.raises(ValueError, match=r"kernel must be \(T, k \* I, O\)"):
        PerStepDense.from_keras([np.zeros((4, 8), np.float32)])
    with pytest.raises(ValueError, match=r"bias must be \(T, O\) = \(10, 8\); got \(8,\)"):
        PerStepDense.from_keras([np.zeros((10, 4, 8)), np.zeros(8)])


def test_a_layer_of_a_keras_of_old() -> None:
    """Keras before 2.3 knew no implementations, and before 2.12 no ``get_build_config``."""

    class LocallyConnected1D:
        built, trainable, name = True, False, "old"
        kernel_size, strides, padding, data_format = (3,), (2,), "valid", "channels_last"
        filters, input_shape = 8, (None, 12, 4)

        def activation(self) -> None: ...

        def get_weights(self) -> list[Any]:
            return [np.ones((5, 12, 8), np.float32), np.ones((5, 8), np.float32)]

    old = LocallyConnected1D()
    old.activation = SimpleNamespace(__name__="relu", __module__="keras.activations")  # type: ignore
    layer = LocallyConnected1d.from_keras(old)
    assert (layer.in_steps, layer.stride, layer.activation) == (12, 2, "relu")
    assert not layer.weight.requires_grad and not layer.bias.requires_grad
    assert layer(torch.ones(12, 4)).eq(13).all()
    old.get_weights = lambda: [np.ones((5, 4, 8), np.float32)]  # type: ignore[method-assign]
    with pytest.raises(ValueError) as raised:
        LocallyConnected1d.from_keras(old)
    assert str(raised.value) == (
        "per_step_dense: kernel must be (5, 12, 8) with implementation 1, 'channels_last' and "
        "windows of 3 out of 12 steps; got (5, 4, 8)"
    )
