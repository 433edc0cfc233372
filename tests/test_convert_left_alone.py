"""Is what computes something else left as it is, with a word about why?"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from convertible import (
    BATCH,
    IN,
    OUT,
    STEPS,
    NLinear,
    check_same,
)
from torch import Tensor, nn

import per_step_dense as psd


def test_nothing_to_convert(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(
        nn.Linear(3, 4), nn.Conv1d(4, 4, 3, groups=2), nn.Conv1d(4, 4, 1), nn.ModuleList()
    )
    classes = [type(each) for each in model.modules()]
    assert psd.convert(model) == []
    assert capsys.readouterr().out == "per_step_dense: nothing to convert in Sequential\n"
    assert [type(each) for each in model.modules()] == classes


def left_alone(module: nn.Module, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of it."""
    kind = type(module)
    assert psd.convert(nn.Sequential(module)) == [] and type(module) is kind
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "per_step_dense: nothing to convert in Sequential",
        "per_step_dense: left alone",
    ]
    start = f"  0: {kind.__module__}.{kind.__qualname__}, for "
    assert len(lines) == 3 and lines[2].startswith(start)
    return lines[2].removeprefix(start)


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        (
            {"stride": 2},
            "it does not have stride = 1, for a dense layer per step sees one position; got 2",
        ),
        (
            {"padding": 1},
            "it does not have padding = 0, for a dense layer per step sees one position; got 1",
        ),
        ({"dtype": torch.complex64}, "its weight is complex64"),
    ],
)
def test_other_convolutions(
    keywords: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert left_alone(nn.Conv1d(6, 10, 1, groups=2, **keywords), capsys) == text


def test_convolutions_of_another_class(capsys: pytest.CaptureFixture[str]) -> None:
    class Squared(nn.Conv1d):
        def _conv_forward(self, *arguments: Any) -> Tensor:
            return super()._conv_forward(*arguments).square()

    class Same(nn.Conv1d):
        pass

    assert left_alone(Squared(6, 10, 1, groups=2), capsys) == "it has a forward of its own"
    text = left_alone(nn.LazyConv1d(10, 1, groups=2), capsys)
    assert text == "its weight is a UninitializedParameter"
    module, original = Same(6, 10, 1, groups=2), nn.Conv1d(6, 10, 1, groups=2)
    original.load_state_dict(module.state_dict())
    assert len(psd.convert(module)) == 1
    check_same(module, original, torch.randn(BATCH, 6, 1))


def test_parametrized_modules(capsys: pytest.CaptureFixture[str]) -> None:
    for module in (NLinear(), nn.Conv1d(6, 10, 1, groups=2)):
        module = nn.utils.parametrizations.weight_norm(module)
        assert left_alone(module, capsys) == "it is parametrized"


def test_modules_whose_forward_is_another(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noted(NLinear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    assert left_alone(Noted(), capsys) == "it has a forward of its own"
    module = NLinear()
    monkeypatch.setattr(module, "forward", lambda x: x)
    assert left_alone(module, capsys) == "it has a forward of its own"

    class Renamed(NLinear):
        pass

    assert len(psd.convert(Renamed(), verbose=False)) == 1


def impostor(forward: Callable[..., Tensor], **attributes: Any) -> nn.Module:
    """Of a class with a known name that computes something else, at least sometimes."""
    module = type("NLinear", (NLinear,), {"forward": forward})()
    for name, value in attributes.items():
        setattr(module, name, value)
    return module


def of_twice_the_weight(self: Any, x: Tensor) -> Tensor:
    return x @ (2 * self.weight) + self.bias


def activated(self: Any, x: Tensor) -> Tensor:
    return NLinear.forward(self, x).relu()


def activated_in_training(self: Any, x: Tensor) -> Tensor:
    y = NLinear.forward(self, x)
    return y.relu() if self.training else y


def with_noise(self: Any, x: Tensor) -> Tensor:
    return NLinear.forward(self, x) + torch.randn(()) * 1e-3


def with_one_bias(self: Any, x: Tensor) -> Tensor:
    return torch.einsum("...ti,tio->...to", x, self.weight) + self.bias[0]


def with_one_more_dimension(self: Any, x: Tensor) -> Tensor:
    return NLinear.forward(self, x).unsqueeze(0)


def that_empties_x(self: Any, x: Tensor) -> Tensor:
    y = NLinear.forward(self, x)
    x.zero_()
    return y


def failing(self: Any, x: Tensor) -> Tensor:
    raise RuntimeError


def a_tuple(self: Any, x: Tensor) -> Any:
    return NLinear.forward(self, x), None


@pytest.mark.parametrize(
    "forward",
    [
        of_twice_the_weight,
        activated,
        activated_in_training,
        with_noise,
        with_one_bias,
        with_one_more_dimension,
        that_empties_x,
        failing,
        a_tuple,
    ],
    ids=lambda forward: forward.__name__,
)
def test_what_computes_something_else(
    forward: Callable[..., Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    module = impostor(forward)
    nn.init.zeros_(module.weight)  # of these it might be right
    nn.init.zeros_(module.bias)
    state = torch.random.get_rng_state()
    assert left_alone(module, capsys) == "on random numbers it computes something else"
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_fails_under_autocast(capsys: pytest.CaptureFixture[str]) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        assert not torch.is_autocast_enabled("cpu")
        return NLinear.forward(self, x)

    assert left_alone(impostor(forward), capsys) == "it fails under autocast"


def test_what_warns_is_converted_all_the_same() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        warnings.warn("of something", stacklevel=2)
        return NLinear.forward(self, x)

    assert len(psd.convert(impostor(forward), verbose=False)) == 1


def test_what_reads_more_than_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    def masked(self: Any, x: Tensor) -> Tensor:
        return NLinear.forward(self, x * self.mask)

    def of_modes(self: Any, x: Tensor) -> Tensor:
        return activated(self, x) if "relu" in self.modes else NLinear.forward(self, x)

    masked_by_attribute = impostor(masked, mask=torch.ones(IN).double())
    assert left_alone(masked_by_attribute, capsys) == "its forward also reads mask"
    masked_by_buffer = impostor(masked)
    masked_by_buffer.register_buffer("mask", torch.ones(IN).double())
    assert left_alone(masked_by_buffer, capsys) == "its forward also reads mask"
    assert left_alone(impostor(of_modes, modes=[]), capsys) == "its forward also reads modes"


def test_other_shapes(capsys: pytest.CaptureFixture[str]) -> None:
    module = NLinear()
    module.bias = nn.Parameter(torch.zeros(OUT))
    assert left_alone(module, capsys) == ("its bias is (4,), not (*steps, O) or (*steps, 1, O)")
    module.weight = nn.Parameter(torch.zeros(IN, OUT))
    assert left_alone(module, capsys) == "its weight is (3, 4), not (*steps, I, O)"
    del module.weight
    assert left_alone(module, capsys) == "it has no parameter weight"


def test_the_trial_runs_no_hook_and_leaves_the_module_as_it_is() -> None:
    class NLinear(nn.Module):  # the name is what counts
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(STEPS, IN, OUT))
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls = self.calls + 1
            return torch.einsum("...ti,tio->...to", x, self.weight)

    module = NLinear()
    module.register_forward_hook(lambda *_: pytest.fail("a hook ran"))
    psd.convert(module, verbose=False)
    assert module.calls == 0 and not module.weight.any() and module.weight.grad is None


def test_a_batch_as_large_as_the_steps_are_many_is_tried() -> None:
    class EnsembleLinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(STEPS, IN, OUT))

        def forward(self, x: Tensor) -> Tensor:
            if x.size(0) != STEPS:
                return torch.einsum("bi,tio->tbo", x, self.weight)
            return torch.einsum("tbi,tio->tbo", x, self.weight)

    module = EnsembleLinear()
    psd.convert(module, verbose=False)
    assert type(module)._psd_reading.dims == (3,)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        module(torch.randn(STEPS, IN))


def test_of_many_steps_no_batch_as_large_is_tried() -> None:
    steps, sizes = 2100, []

    class NLinear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(steps, 1, 1))

        def forward(self, x: Tensor) -> Tensor:
            sizes.append(x.numel())
            return torch.einsum("...ti,tio->...to", x, self.weight)

    module = NLinear()
    psd.convert(module, verbose=False)
    assert max(sizes) == 6 * steps  # (2, 3) samples
    x = torch.randn(2, steps, 1)
    torch.testing.assert_close(module(x), x * module.weight[:, 0])
