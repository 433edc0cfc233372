"""Does a converted module give what it gave, and stay what it was?

With layers written here, under the names that libraries have for theirs; those are in
test_convert_packages.py.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import per_step_dense as psd
from per_step_dense import _ops
from per_step_dense._conversion import in_place

STEPS, IN, OUT, BATCH = 5, 3, 4, 6


class NLinear(nn.Module):
    """Steps before features, any batch."""

    def __init__(self, steps: int = STEPS, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(steps, IN, OUT))
        self.bias = nn.Parameter(torch.randn(steps, OUT)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        y = torch.einsum("...ti,tio->...to", x, self.weight)
        return y if self.bias is None else y + self.bias


class EnsembleLinear(nn.Module):
    """Members first, with a mode in which it is scaled."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(STEPS, IN, OUT))
        if bias:
            self.bias = nn.Parameter(torch.randn(STEPS, 1, OUT))
        self.has_bias = bias
        self.is_doubled = False

    def forward(self, input: Tensor) -> Tensor:
        y = input @ self.weight
        if self.has_bias:
            y = y + self.bias
        return 2 * y if self.is_doubled else y


class Forecaster(nn.Module):
    """A layer of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.first = NLinear()
        self.second = nn.Conv1d(STEPS * OUT, STEPS * IN, 1, groups=STEPS)
        self.third = nn.ModuleList(nn.Linear(IN, OUT) for _ in range(STEPS))

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x).relu()
        x = self.second(x.reshape(-1, STEPS * OUT, 1)).reshape(-1, STEPS, IN).relu()
        if isinstance(self.third, in_place.InPlace):
            return self.third(x)
        return torch.stack([each(x[:, t]) for t, each in enumerate(self.third)], 1)


LINEARS = ("third",)
KINDS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "steps": (NLinear, (BATCH, STEPS, IN)),
    "steps, no bias": (lambda: NLinear(bias=False), (BATCH, STEPS, IN)),
    "steps, no batch": (NLinear, (STEPS, IN)),
    "steps, batches": (NLinear, (2, BATCH, STEPS, IN)),
    "steps, nothing": (NLinear, (0, STEPS, IN)),
    "one step": (lambda: NLinear(steps=1), (BATCH, 1, IN)),
    "members": (EnsembleLinear, (STEPS, BATCH, IN)),
    "members, one batch": (EnsembleLinear, (BATCH, IN)),
    "members, no bias": (lambda: EnsembleLinear(bias=False), (STEPS, BATCH, IN)),
    "convolution": (
        lambda: nn.Conv1d(STEPS * IN, STEPS * OUT, 1, groups=STEPS),
        (BATCH, STEPS * IN, 1),
    ),
    "convolution, no batch": (
        lambda: nn.Conv1d(STEPS * IN, STEPS * OUT, 1, groups=STEPS),
        (STEPS * IN, 1),
    ),
    "convolution, no bias": (
        lambda: nn.Conv1d(
            STEPS * IN, STEPS * OUT, 1, groups=STEPS, bias=False, padding="same", dilation=2
        ),
        (BATCH, STEPS * IN, 1),
    ),
}


@pytest.fixture(autouse=True)
def of_members_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(in_place, "_is_left_to_matmul", lambda x: False)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The shapes of x in the calls of this package."""
    shapes: list[tuple[int, ...]] = []

    def noted(x: Tensor, *arguments: Any) -> Tensor:
        shapes.append(tuple(x.shape))
        return psd.per_step_dense(x, *arguments)

    monkeypatch.setattr(in_place, "per_step_dense", noted)
    return shapes


def check_same(
    module: nn.Module, original: nn.Module, x: Tensor, device: torch.device | str = "cpu"
) -> None:
    """Outputs and all gradients, in float64."""
    module, original = module.to(device, torch.float64), original.to(device, torch.float64)
    xs = [x.to(device, torch.float64).requires_grad_() for _ in range(2)]
    results = [each(x_of) for each, x_of in zip((module, original), xs, strict=True)]
    torch.testing.assert_close(*results)
    assert results[0].is_contiguous() or not isinstance(original, nn.Conv1d)
    weights = torch.randn_like(results[0])
    for y in results:
        (y.sin() * weights).sum().backward()
    torch.testing.assert_close(xs[0].grad, xs[1].grad)
    gradients = {name: p.grad for name, p in module.named_parameters()}
    assert gradients.keys() == dict(original.named_parameters()).keys()
    for name, parameter in original.named_parameters():
        torch.testing.assert_close(gradients[name], parameter.grad)


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
    monkeypatch.undo()
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


# A whole model


def converted_forecaster() -> tuple[Forecaster, Forecaster]:
    original = Forecaster()
    model = copy.deepcopy(original)
    psd.convert(model, linears=LINEARS, verbose=False)
    return model, original


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
        f"  first: {__name__}.NLinear, {sizes}",
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
    assert type(model.first).__name__ == "NLinear" and type(model.first).__module__ == __name__


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


# A list of Linears


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


# What is left alone


def test_nothing_to_convert(capsys: pytest.CaptureFixture[str]) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Conv1d(4, 4, 3, groups=2), nn.ModuleList())
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


class Impostors:
    """Classes with a known name that compute something else, at least sometimes."""

    @staticmethod
    def of(forward: Callable[..., Tensor], **attributes: Any) -> nn.Module:
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


def failing(self: Any, x: Tensor) -> Tensor:
    raise RuntimeError


def a_tuple(self: Any, x: Tensor) -> Any:
    return NLinear.forward(self, x), None


@pytest.mark.parametrize(
    "forward",
    [activated, activated_in_training, with_noise, with_one_bias, failing, a_tuple],
    ids=lambda forward: forward.__name__,
)
def test_what_computes_something_else(
    forward: Callable[..., Tensor], capsys: pytest.CaptureFixture[str]
) -> None:
    module = Impostors.of(forward)
    nn.init.zeros_(module.weight)  # of these it might be right
    nn.init.zeros_(module.bias)
    state = torch.random.get_rng_state()
    assert left_alone(module, capsys) == "on random numbers it computes something else"
    assert torch.equal(torch.random.get_rng_state(), state)


def test_what_reads_more_than_it_should(capsys: pytest.CaptureFixture[str]) -> None:
    def masked(self: Any, x: Tensor) -> Tensor:
        return NLinear.forward(self, x * self.mask)

    def of_modes(self: Any, x: Tensor) -> Tensor:
        return activated(self, x) if "relu" in self.modes else NLinear.forward(self, x)

    module = NLinear()
    module.register_buffer("mask", torch.ones(IN).double())
    assert left_alone(Impostors.of(masked, mask=torch.ones(IN).double()), capsys)
    masked_by_buffer = Impostors.of(masked)
    masked_by_buffer.register_buffer("mask", torch.ones(IN).double())
    assert left_alone(masked_by_buffer, capsys) == "its forward also reads mask"
    assert left_alone(Impostors.of(of_modes, modes=[]), capsys) == "its forward also reads modes"


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
    assert type(module)._reading.dims == (3,)  # type: ignore[attr-defined]
    with pytest.raises(RuntimeError):
        module(torch.randn(STEPS, IN))
