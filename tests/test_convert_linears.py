"""Can a declared ModuleList of nn.Linear be called, and is one of unequal ones refused?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from convertible import (
    BATCH,
    IN,
    LINEARS,
    OUT,
    STEPS,
    Forecaster,
    calls_of_this_package,
)
from torch import Tensor, nn

import per_step_dense as psd


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    return calls_of_this_package(monkeypatch)


def test_a_list_is_called_and_stays_a_list(calls: list[tuple[int, ...]]) -> None:
    layers = nn.ModuleList(nn.Linear(IN, OUT) for _ in range(STEPS)).double()
    layers[1].weight.requires_grad_(False)
    psd.convert(layers, linears=[""], verbose=False)
    for leading in [(), (BATCH,), (2, BATCH), (0,)]:
        x = torch.randn(*leading, STEPS, IN, dtype=torch.float64, requires_grad=True)
        expected = torch.stack([each(x[..., t, :]) for t, each in enumerate(layers)], -2)
        torch.testing.assert_close(layers(x), expected)
    assert len(calls) == 4
    layers(x.new_ones(BATCH, STEPS, IN)).sum().backward()
    assert [each.weight.grad is not None for each in layers] == [True, False, True, True, True]
    torch.testing.assert_close(layers[0].weight.grad, torch.full((OUT, IN), BATCH).double())
    assert layers[2] is list(layers)[2] and len(layers[1:3]) == 2
    y = layers[1:3](x.new_ones(2, IN))
    torch.testing.assert_close(y[1], layers[2](x.new_ones(IN)))


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("change", ["hook", "class", "forward", "no bias", "dtype"])
def test_what_becomes_of_a_linear_later_is_respected(
    change: str, calls: list[tuple[int, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    layers = nn.ModuleList(nn.Linear(IN, OUT) for _ in range(STEPS))
    psd.convert(layers, linears=[""], verbose=False)
    x = torch.randn(BATCH, STEPS, IN)
    if change == "hook":
        layers[2].register_forward_hook(lambda module, inputs, y: 2 * y)
    elif change == "class":
        layers[2] = nn.Sequential(nn.Linear(IN, OUT), nn.ReLU())
    elif change == "forward":
        monkeypatch.setattr(layers[2], "forward", lambda x: x @ torch.ones(IN, OUT))
    elif change == "no bias":
        layers[2].bias = None
    else:
        layers.to(torch.complex64)
        x = x.to(torch.complex64)
    expected = torch.stack([each(x[:, t]) for t, each in enumerate(layers)], 1)
    torch.testing.assert_close(layers(x), expected)
    assert not calls
    with pytest.raises(ValueError, match=r"x must be \(\*, T, I\) with T = 5, the number of modu"):
        layers(x[:, 1:])


def test_a_linear_that_gets_another_dtype_is_cast_by_itself(calls: list[tuple[int, ...]]) -> None:
    layers = nn.ModuleList(nn.Linear(IN, OUT) for _ in range(STEPS))
    psd.convert(layers, linears=[""], verbose=False)
    layers[2].half()
    x = torch.randn(BATCH, STEPS, IN)
    with torch.autocast("cpu", torch.bfloat16):
        expected = torch.stack([each(x[:, t]) for t, each in enumerate(layers)], 1)
        y = layers(x)
    assert y.dtype == torch.bfloat16 and not calls
    torch.testing.assert_close(y, expected)


def with_hook(linear: nn.Linear) -> nn.Linear:
    linear.register_forward_pre_hook(lambda module, inputs: None)
    return linear


class Scaled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * super().forward(input)


@pytest.mark.parametrize(
    ("make", "kind", "text"),
    [
        (
            lambda: nn.Linear(IN + 1, OUT),
            ValueError,
            "third[2] must have in_features = 3 as third[0] has; got in_features = 4",
        ),
        (
            lambda: nn.Linear(IN, OUT + 1),
            ValueError,
            "third[2] must have out_features = 4 as third[0] has; got out_features = 5",
        ),
        (
            lambda: nn.Linear(IN, OUT, bias=False),
            ValueError,
            "third[2] must have bias = True as third[0] has; got bias = False",
        ),
        (
            lambda: nn.Linear(IN, OUT, device="meta"),
            ValueError,
            "third[2] must have device = cpu as third[0] has; got device = meta",
        ),
        (
            lambda: nn.Linear(IN, OUT, dtype=torch.float64),
            TypeError,
            "third[2] must have dtype = torch.float32 as third[0] has; got dtype = torch.float64",
        ),
        (nn.ReLU, TypeError, "third[2] must be an initialised nn.Linear; got ReLU"),
        (
            lambda: nn.LazyLinear(OUT),
            TypeError,
            "third[2] must be an initialised nn.Linear; got LazyLinear",
        ),
        (
            lambda: with_hook(nn.Linear(IN, OUT)),
            ValueError,
            "third[2] must be a plain nn.Linear, which is no longer called; "
            "it has hooks of its own",
        ),
        (
            lambda: Scaled(IN, OUT),
            ValueError,
            "third[2] must be a plain nn.Linear, which is no longer called; "
            "it has a forward of its own",
        ),
        (
            lambda: nn.utils.parametrizations.orthogonal(nn.Linear(IN, OUT)),
            ValueError,
            "third[2] must be a plain nn.Linear; it is parametrized",
        ),
    ],
)
def test_a_list_of_unequal_linears_is_refused_and_nothing_converted(
    make: Callable[[], nn.Module], kind: type[Exception], text: str
) -> None:
    model = Forecaster()
    model.third[2] = make()
    check_refused(model, LINEARS, kind, text)


def check_refused(model: nn.Module, linears: Any, kind: type[Exception], text: str) -> None:
    classes = [type(each) for each in model.modules()]
    with pytest.raises(kind) as raised:
        psd.convert(model, linears=linears)
    assert str(raised.value) == f"per_step_dense: {text}"
    assert [type(each) for each in model.modules()] == classes


def test_other_lists_are_refused() -> None:
    model = Forecaster()
    model.third = nn.ModuleList()
    check_refused(model, LINEARS, ValueError, "third must hold at least one nn.Linear; got none")
    model.third = nn.ModuleList([nn.Linear(IN, OUT, dtype=torch.complex64)])
    text = "third[0] must be float32, float64, float16 or bfloat16; got complex64"
    check_refused(model, LINEARS, TypeError, text)


@pytest.mark.parametrize(
    ("linears", "kind", "text"),
    [
        ("third", TypeError, "linears must be an iterable of names of modules; got str"),
        (3, TypeError, "linears must be an iterable of names of modules; got int"),
        ([3], TypeError, "linears must be an iterable of names of modules; got one of type int"),
        (
            ["thrid"],
            ValueError,
            "linears must name modules of Forecaster; it has none that is named 'thrid'",
        ),
        (
            ["third", "second"],
            TypeError,
            "linears must name modules of type nn.ModuleList; 'second' is a Conv1d",
        ),
    ],
)
def test_other_names_are_refused(linears: Any, kind: type[Exception], text: str) -> None:
    check_refused(Forecaster(), linears, kind, text)


def test_a_list_with_a_forward_of_its_own_is_refused() -> None:
    class Summed(nn.ModuleList):
        def forward(self, x: Tensor) -> Tensor:
            return sum(each(x) for each in self)

    model = nn.Sequential(Summed([nn.Linear(IN, OUT)]))
    text = "linears must name modules of type nn.ModuleList; '0' is a Summed"
    check_refused(model, ["0"], TypeError, text)


@pytest.mark.parametrize("module", [None, [nn.Linear(3, 4)], nn.Linear])
def test_what_is_no_module_is_refused(module: Any) -> None:
    with pytest.raises(TypeError) as raised:
        psd.convert(module)
    kind = type(module).__name__
    assert str(raised.value) == f"per_step_dense: module must be a torch.nn.Module; got {kind}"
