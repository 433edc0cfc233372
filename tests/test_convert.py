"""Does a converted module give what it gave, and stay what it was?"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from convertible import (
    BATCH,
    IN,
    KINDS,
    LINEARS,
    OUT,
    STEPS,
    EnsembleLinear,
    Forecaster,
    NLinear,
    calls_of_this_package,
    check_same,
    converted_forecaster,
)
from torch import Tensor, nn
from torch.nn.utils import parametrize

import per_step_dense as psd
from per_step_dense import _ops
from per_step_dense._conversion import in_place

is_left_to_matmul = in_place._is_left_to_matmul


@pytest.fixture(autouse=True)
def of_members_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_place, "_is_left_to_matmul", lambda x: False)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    return calls_of_this_package(monkeypatch)


# What it computes


@pytest.mark.parametrize("kind", KINDS)
def test_same_values_and_gradients(
    kind: str, calls: list[tuple[int, ...]], device: torch.device
) -> None:
    make, shape = KINDS[kind]
    original = make()
    module = copy.deepcopy(original)
    assert len(psd.convert(module, verbose=False)) == 1
    check_same(module, original, torch.randn(shape), device)
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        ("steps", (1, 1, 1, BATCH, STEPS, IN)),
        ("members", (1, BATCH, IN)),
        ("members", (2, STEPS, BATCH, IN)),
        ("convolution", (BATCH, STEPS * IN, 7)),
        ("convolution", (STEPS * IN, 7)),
    ],
)
def test_other_inputs_are_the_original_forward_s(
    kind: str, shape: tuple[int, ...], calls: list[tuple[int, ...]]
) -> None:
    original = KINDS[kind][0]()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    check_same(module, original, torch.randn(shape))
    assert not calls


def test_calls_by_keyword_are_the_original_forward_s(calls: list[tuple[int, ...]]) -> None:
    module = NLinear()
    psd.convert(module, verbose=False)
    x = torch.randn(BATCH, STEPS, IN)
    torch.testing.assert_close(module(x=x), module(x))
    assert len(calls) == 1
    with pytest.raises(TypeError, match="takes 2 positional arguments but 3 were given"):
        module(x, x)


def test_a_mode_that_was_not_tried_is_the_original_forward_s(calls: list[tuple[int, ...]]) -> None:
    original = EnsembleLinear()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    original.is_doubled = module.is_doubled = True
    check_same(module, original, torch.randn(STEPS, BATCH, IN))
    assert not calls
    module.is_doubled = False
    module(torch.randn(STEPS, BATCH, IN, dtype=torch.float64))
    assert len(calls) == 1


def test_on_the_cpu_members_are_left_to_matmul(
    monkeypatch: pytest.MonkeyPatch, calls: list[tuple[int, ...]]
) -> None:
    monkeypatch.setattr(in_place, "_is_left_to_matmul", is_left_to_matmul)
    original = EnsembleLinear()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    check_same(module, original, torch.randn(STEPS, BATCH, IN))
    assert not calls


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("kind", ["steps", "members", "convolution"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.complex64])
def test_after_to_another_dtype(
    kind: str, dtype: torch.dtype, calls: list[tuple[int, ...]]
) -> None:
    make, shape = KINDS[kind]
    original = make()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    x = torch.randn(shape).to(dtype)
    y, expected = module.to(dtype)(x), original.to(dtype)(x)
    tolerance = {} if dtype.is_complex else {"rtol": 0.02, "atol": 0.05}
    torch.testing.assert_close(y, expected, **tolerance)
    assert len(calls) == (0 if dtype.is_complex else 1)


@pytest.mark.parametrize("kind", ["steps", "steps, no bias", "members", "convolution"])
def test_under_autocast_the_dtype_is_the_original_s(
    kind: str, calls: list[tuple[int, ...]]
) -> None:
    make, shape = KINDS[kind]
    original = make()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    x = torch.randn(shape)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(x), original(x), rtol=0.02, atol=0.05)
    assert len(calls) == 1


def test_under_autocast_a_bias_within_the_product_promotes_nothing() -> None:
    class LinearEnsemble(EnsembleLinear):
        def forward(self, x: Tensor) -> Tensor:
            return torch.baddbmm(self.bias, x, self.weight)

    original = LinearEnsemble()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    x = torch.randn(STEPS, BATCH, IN)
    with torch.autocast("cpu", torch.bfloat16):
        assert module(x).dtype == original(x).dtype == torch.bfloat16
        torch.testing.assert_close(module(x), original(x), rtol=0.02, atol=0.05)


# A whole model


def test_a_model_of_all_kinds(calls: list[tuple[int, ...]]) -> None:
    model, original = converted_forecaster()
    check_same(model, original, torch.randn(BATCH, STEPS, IN))
    assert len(calls) == 3


def test_what_it_returns_and_prints(capsys: pytest.CaptureFixture[str]) -> None:
    model = Forecaster()
    result = psd.convert(model, linears=LINEARS)
    assert result == [
        psd.Converted("first", NLinear, STEPS, IN, OUT),
        psd.Converted("second", nn.Conv1d, STEPS, OUT, IN),
        psd.Converted("third", nn.ModuleList, STEPS, IN, OUT),
    ]
    sizes = "steps=5, in_features=3, out_features=4"
    assert capsys.readouterr().out.splitlines() == [
        "per_step_dense: converted 3 modules of Forecaster",
        f"  first: convertible.NLinear, {sizes}",
        "  second: torch.nn.modules.conv.Conv1d, steps=5, in_features=4, out_features=3",
        f"  third: torch.nn.modules.container.ModuleList, {sizes}",
    ]
    assert psd.convert(NLinear(), verbose=False) == [psd.Converted("", NLinear, STEPS, IN, OUT)]
    assert not capsys.readouterr().out
    psd.convert(NLinear())
    assert "converted 1 module of NLinear\n  (the module itself): " in capsys.readouterr().out


def test_a_second_time_nothing_is_left(capsys: pytest.CaptureFixture[str]) -> None:
    model, _ = converted_forecaster()
    classes = [type(each) for each in model.modules()]
    assert psd.convert(model, linears=LINEARS) == []
    assert capsys.readouterr().out == "per_step_dense: nothing to convert in Forecaster\n"
    assert [type(each) for each in model.modules()] == classes


def test_stays_what_it_was() -> None:
    model = Forecaster().eval()
    model.first.note = "kept"  # type: ignore[assignment]
    parameters, modules = dict(model.named_parameters()), dict(model.named_modules())
    attributes = {name: dict(vars(each)) for name, each in modules.items()}
    random_state = torch.random.get_rng_state()
    psd.convert(model, linears=LINEARS, verbose=False)
    assert torch.equal(torch.random.get_rng_state(), random_state)
    for name, each in model.named_parameters():
        assert each is parameters[name]
    for name, each in model.named_modules():
        assert each is modules[name] and vars(each) == attributes[name]
    assert isinstance(model.first, NLinear) and isinstance(model.second, nn.Conv1d)
    assert isinstance(model.third, nn.ModuleList) and len(model.third) == STEPS
    assert [type(each) for each in model.third] == [nn.Linear] * STEPS
    assert type(model.first).__name__ == "NLinear" and type(model.first).__module__ == "convertible"


def test_repr_says_so() -> None:
    model, _ = converted_forecaster()
    text = repr(model)
    sizes = "steps=5, in_features=3, out_features=4"
    assert f"(first): NLinear[per_step_dense]({sizes})" in text
    assert "(second): Conv1d[per_step_dense](20, 15, kernel_size=(1,), stride=(1,), gro" in text
    assert "(third): ModuleList[per_step_dense](\n    (0-4): 5 x Linear(" in text


def test_state_dicts_both_ways() -> None:
    model, original = converted_forecaster()
    x = torch.randn(BATCH, STEPS, IN)
    others = Forecaster()
    assert not torch.allclose(model(x), others(x))
    assert list(model.state_dict()) == list(others.state_dict())
    model.load_state_dict(others.state_dict())
    torch.testing.assert_close(model(x), others(x))
    model.load_state_dict(original.state_dict())
    others.load_state_dict(model.state_dict())
    torch.testing.assert_close(others(x), original(x), rtol=0, atol=0)


def test_hooks_fire_as_before() -> None:
    model = Forecaster()
    fired: list[str] = []
    for name in ("first", "second"):
        module = model.get_submodule(name)
        module.register_forward_pre_hook(lambda *_, name=name: fired.append(f"before {name}"))
        module.register_forward_hook(lambda *_, name=name: fired.append(f"after {name}"))
        module.register_full_backward_hook(lambda *_, name=name: fired.append(f"back {name}"))
    model.first.weight.register_hook(lambda g: g * 0)
    psd.convert(model, linears=LINEARS, verbose=False)
    assert not fired
    model(torch.randn(BATCH, STEPS, IN, requires_grad=True)).sum().backward()
    expected = ["before first", "after first", "before second", "after second"]
    assert fired == [*expected, "back second", "back first"]
    assert model.first.weight.grad is not None and not model.first.weight.grad.any()


def test_an_optimizer_goes_on() -> None:
    original = Forecaster()
    model = copy.deepcopy(original)
    optimizers = [torch.optim.Adam(each.parameters(), 0.1) for each in (model, original)]
    for step in range(4):
        if step == 2:
            psd.convert(model, linears=LINEARS, verbose=False)
        x = torch.randn(BATCH, STEPS, IN)
        for each, optimizer in zip((model, original), optimizers, strict=True):
            optimizer.zero_grad()
            each(x).square().mean().backward()
            optimizer.step()
    for one, other in zip(model.parameters(), original.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        *(
            lambda model, protocol=protocol: pickle.loads(pickle.dumps(model, protocol))
            for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        ),
        lambda model: torch.load(saved(model), weights_only=False),
    ],
    ids=["deepcopy", *(f"pickle {p}" for p in range(pickle.HIGHEST_PROTOCOL + 1)), "torch.save"],
)
def test_copies_are_converted_too(
    copied: Callable[[nn.Module], nn.Module], calls: list[tuple[int, ...]]
) -> None:
    model, _ = converted_forecaster()
    model.eval().first.note = "kept"  # type: ignore[assignment]
    again = copied(model)
    x = torch.randn(BATCH, STEPS, IN)
    assert torch.equal(again(x), model(x)) and len(calls) == 6
    assert [type(each) for each in again.modules()] == [type(each) for each in model.modules()]
    assert again.get_submodule("first").note == "kept" and not again.first.training
    with torch.no_grad():
        again.get_parameter("first.weight").zero_()
    assert model.first.weight.all()
    check_same(again, copied(again), x)


def saved(model: nn.Module) -> io.BytesIO:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return file


def test_shallow_copy_shares_parameters() -> None:
    module = NLinear()
    psd.convert(module, verbose=False)
    other = copy.copy(module)
    assert type(other) is type(module) and other.weight is module.weight


def test_a_class_made_of_a_converted_one_s_stays_so() -> None:
    module = NLinear()
    psd.convert(module, verbose=False)
    module.__class__ = kind = type("Other", (type(module),), {})
    assert type(copy.copy(module)) is kind


def test_compiles_into_one_graph() -> None:
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    model, original = converted_forecaster()
    graphs: list[torch.fx.GraphModule] = []

    def counting(graph: torch.fx.GraphModule, inputs: Any) -> Any:
        graphs.append(graph)
        return graph

    model.compile(fullgraph=True, backend=counting)
    check_same(model, original, torch.randn(BATCH, STEPS, IN))
    assert len(graphs) == 1 and graphs[0].code.count("per_step_dense.forward") == 3


def test_exports() -> None:
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    model, original = converted_forecaster()
    x = torch.randn(BATCH, STEPS, IN)
    program = torch.export.export(model, (x,))
    assert str(program.graph).count("per_step_dense.forward") == 3
    torch.testing.assert_close(program.module()(x), original(x))


def test_functional_calls_and_per_sample_gradients() -> None:
    model, original = converted_forecaster()
    xs = torch.randn(3, 2, STEPS, IN)

    def loss(parameters: dict[str, Tensor], x: Tensor, of: nn.Module) -> Tensor:
        return torch.func.functional_call(of, parameters, (x,)).square().sum()

    parameters = dict(original.named_parameters())
    gradients = [
        torch.func.vmap(lambda x, of=each: torch.func.grad(loss)(parameters, x, of))(xs)
        for each in (model, original)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)


def test_a_module_under_two_names_is_converted_once() -> None:
    model = nn.Sequential(NLinear(), nn.ReLU())
    model.append(model[0])
    assert [each.name for each in psd.convert(model, verbose=False)] == ["0"]
    assert model[0] is model[2]


def test_parametrized_afterwards() -> None:
    class Doubled(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return 2 * weight

    module, original = NLinear(), NLinear()
    original.load_state_dict(module.state_dict())
    psd.convert(module, verbose=False)
    for each in (module, original):
        parametrize.register_parametrization(each, "weight", Doubled())
    check_same(module, original, torch.randn(BATCH, STEPS, IN))
    check_same(copy.deepcopy(module), copy.deepcopy(original), torch.randn(BATCH, STEPS, IN))
    parametrize.remove_parametrizations(module, "weight")
    assert isinstance(module, in_place.InPlace)
