"""Does PerStepDense refuse what does not fit, naming the argument, what was expected, what came?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from per_step_dense import PerStepDense

SIZE = "must be an int of at least 1; got"
STEPS = "steps must be an int of at least 1, or a tuple of them; got"
NAMES = "relu, gelu, gelu_tanh, silu, tanh, sigmoid"
DTYPES = "dtype must be None, float32, float64, float16 or bfloat16; got"


BUILD_REFUSALS: list[Any] = [
    ((0, 4, 8), {}, ValueError, f"{STEPS} 0"),
    ((-3, 4, 8), {}, ValueError, f"{STEPS} -3"),
    ((True, 4, 8), {}, TypeError, f"{STEPS} bool"),
    ((10.0, 4, 8), {}, TypeError, f"{STEPS} float"),
    (("10", 4, 8), {}, TypeError, f"{STEPS} str"),
    (([2, 3], 4, 8), {}, TypeError, f"{STEPS} list"),
    ((None, 4, 8), {}, TypeError, f"{STEPS} NoneType"),
    (((), 4, 8), {}, ValueError, f"{STEPS} ()"),
    (((2, 0), 4, 8), {}, ValueError, f"steps[1] {SIZE} 0"),
    (((2.0, 3), 4, 8), {}, TypeError, f"steps[0] {SIZE} float"),
    (((2, False), 4, 8), {}, TypeError, f"steps[1] {SIZE} bool"),
    ((10, 0, 8), {}, ValueError, f"in_features {SIZE} 0"),
    ((10, -4, 8), {}, ValueError, f"in_features {SIZE} -4"),
    ((10, 4.0, 8), {}, TypeError, f"in_features {SIZE} float"),
    ((10, True, 8), {}, TypeError, f"in_features {SIZE} bool"),
    ((10, 4, 0), {}, ValueError, f"out_features {SIZE} 0"),
    ((10, 4, -8), {}, ValueError, f"out_features {SIZE} -8"),
    ((10, 4, 8.5), {}, TypeError, f"out_features {SIZE} float"),
    ((10, 4, True), {}, TypeError, f"out_features {SIZE} bool"),
    ((10, 4, 8, "relu"), {}, TypeError, "bias must be a bool; got str"),
    ((10, 4, 8), {"bias": None}, TypeError, "bias must be a bool; got NoneType"),
    (
        (10, 4, 8),
        {"activation": "softmax"},
        ValueError,
        f"activation must be None or one of {NAMES}; got 'softmax'",
    ),
    (
        (10, 4, 8),
        {"activation": torch.relu},
        TypeError,
        f"activation must be None or one of {NAMES}; got builtin_function_or_method",
    ),
    ((10, 4, 8), {"dtype": torch.int64}, TypeError, f"{DTYPES} int64"),
    ((10, 4, 8), {"dtype": torch.complex64}, TypeError, f"{DTYPES} complex64"),
    ((10, 4, 8), {"dtype": torch.float8_e4m3fn}, TypeError, f"{DTYPES} float8_e4m3fn"),
    ((10, 4, 8), {"dtype": "float32"}, TypeError, f"{DTYPES} str"),
]


@pytest.mark.parametrize(
    ("arguments", "keywords", "error", "text"),
    BUILD_REFUSALS,
    ids=[case[-1] for case in BUILD_REFUSALS],
)
def test_refuses_to_be_built(
    arguments: Any, keywords: Any, error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        PerStepDense(*arguments, **keywords)
    assert type(raised.value) is error
    assert str(raised.value) == f"per_step_dense: {text}"


@pytest.mark.parametrize(
    ("steps", "shape", "expected"),
    [
        (10, (32, 9, 4), "(*, 10, 4)"),
        (10, (32, 10, 5), "(*, 10, 4)"),
        (10, (10, 32, 4), "(*, 10, 4)"),
        (10, (4,), "(*, 10, 4)"),
        (10, (), "(*, 10, 4)"),
        (1, (32, 10, 4), "(*, 1, 4)"),
        ((10,), (32, 9, 4), "(*, 10, 4)"),
        ((2, 3), (32, 3, 2, 4), "(*, 2, 3, 4)"),
        ((2, 3), (32, 6, 4), "(*, 2, 3, 4)"),
        ((2, 3), (3, 4), "(*, 2, 3, 4)"),
    ],
    ids=str,
)
def test_refuses_an_input_of_another_shape(
    steps: int | tuple[int, ...], shape: tuple[int, ...], expected: str
) -> None:
    with pytest.raises(ValueError) as raised:
        PerStepDense(steps, 4, 8)(torch.zeros(shape))
    assert str(raised.value) == (
        f"per_step_dense: input must be {expected} = (*, *steps, in_features); got {shape}"
    )


@pytest.mark.parametrize(
    ("make_input", "error", "text"),
    [
        (lambda: [[0.0] * 4] * 10, TypeError, "input must be a torch.Tensor; got list"),
        (
            lambda: torch.zeros(10, 4, dtype=torch.int64),
            TypeError,
            "input must be float32, float64, float16 or bfloat16; got int64",
        ),
        (
            lambda: torch.zeros(10, 4).to_sparse(),
            ValueError,
            "input must be a dense tensor; got layout sparse_coo",
        ),
        (
            lambda: torch.zeros(10, 4, dtype=torch.float64),
            TypeError,
            "weight must have the dtype of x, float64; got float32",
        ),
        (
            lambda: torch.zeros(10, 4, device="meta"),
            ValueError,
            "weight must be on the device of x, meta; got cpu",
        ),
    ],
    ids=["list", "int64", "sparse", "other_dtype", "other_device"],
)
@pytest.mark.parametrize("steps", [10, (10,)], ids=str)
def test_refuses_another_kind_of_input(
    steps: int | tuple[int, ...], make_input: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        PerStepDense(steps, 4, 8)(make_input())
    assert type(raised.value) is error
    assert str(raised.value) == f"per_step_dense: {text}"


def _frozen(part: str) -> nn.Linear:
    linear = nn.Linear(4, 5)
    getattr(linear, part).requires_grad_(False)
    return linear


@pytest.mark.parametrize(
    ("make_odd_one", "error", "text"),
    [
        (lambda: nn.Linear(3, 5), ValueError, ("in_features", "4", "3")),
        (lambda: nn.Linear(4, 6), ValueError, ("out_features", "5", "6")),
        (lambda: nn.Linear(4, 5, bias=False), ValueError, ("bias", "True", "False")),
        (
            lambda: nn.Linear(4, 5, dtype=torch.float64),
            TypeError,
            ("dtype", "torch.float32", "torch.float64"),
        ),
        (lambda: nn.Linear(4, 5, device="meta"), ValueError, ("device", "cpu", "meta")),
        (lambda: _frozen("weight"), ValueError, ("weight.requires_grad", "True", "False")),
        (lambda: _frozen("bias"), ValueError, ("bias.requires_grad", "True", "False")),
    ],
    ids=["in", "out", "bias", "dtype", "device", "weight.requires_grad", "bias.requires_grad"],
)
def test_from_linears_names_the_first_that_differs(
    make_odd_one: Callable[[], nn.Linear], error: type[Exception], text: tuple[str, str, str]
) -> None:
    linears = [nn.Linear(4, 5), nn.Linear(4, 5), make_odd_one(), nn.Linear(1, 1)]
    trait, expected, got = text
    with pytest.raises(error) as raised:
        PerStepDense.from_linears(linears)
    assert type(raised.value) is error
    assert str(raised.value) == (
        f"per_step_dense: linears[2] must have {trait} = {expected} as linears[0] has; "
        f"got {trait} = {got}"
    )


LINEARS_REFUSALS: list[Any] = [
    (list, ValueError, "linears must hold at least one nn.Linear; got none"),
    (nn.ModuleList, ValueError, "linears must hold at least one nn.Linear; got none"),
    (
        lambda: nn.Linear(4, 5),
        TypeError,
        "linears must be an iterable of nn.Linear; got Linear",
    ),
    (
        lambda: [nn.Linear(4, 5), nn.Conv1d(4, 5, 1)],
        TypeError,
        "linears[1] must be an initialised nn.Linear; got Conv1d",
    ),
    (
        lambda: nn.Sequential(nn.ReLU(), nn.Linear(4, 5)),
        TypeError,
        "linears[0] must be an initialised nn.Linear; got ReLU",
    ),
    (
        lambda: [nn.LazyLinear(5)],
        TypeError,
        "linears[0] must be an initialised nn.Linear; got LazyLinear",
    ),
    (
        lambda: [nn.Linear(4, 5, dtype=torch.complex64)],
        TypeError,
        f"{DTYPES} complex64",
    ),
]


@pytest.mark.parametrize(
    ("make_linears", "error", "text"), LINEARS_REFUSALS, ids=[case[-1] for case in LINEARS_REFUSALS]
)
@pytest.mark.filterwarnings("ignore:Lazy modules are a new feature")
def test_from_linears_refuses_what_is_none(
    make_linears: Callable[[], Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as raised:
        PerStepDense.from_linears(make_linears())
    assert type(raised.value) is error
    assert str(raised.value) == f"per_step_dense: {text}"


def test_to_linears_refuses_an_activation_and_says_the_way_out() -> None:
    layer = PerStepDense(3, 4, 5, activation="relu")
    with pytest.raises(ValueError) as raised:
        layer.to_linears()
    assert str(raised.value) == (
        "per_step_dense: activation must be None for to_linears, since nn.Linear has none "
        "(set it to None and apply it after each nn.Linear); got 'relu'"
    )
    layer.activation = None
    assert len(layer.to_linears()) == 3
