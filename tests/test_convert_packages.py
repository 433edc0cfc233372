"""Do the libraries' own layers give what they gave, once converted?"""

from __future__ import annotations

import copy
import importlib
import importlib.util
import io
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from convertible import calls_of_this_package, check_same
from torch import Tensor, nn

import per_step_dense as psd
from per_step_dense._conversion import in_place

INSTALL = "needs pip install '.[interop]'"


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    monkeypatch.setattr(in_place, "_is_left_to_matmul", lambda x: False)
    return calls_of_this_package(monkeypatch)


@pytest.fixture(scope="module")
def mbrl() -> Iterator[ModuleType]:
    """mbrl.models.util, without what the rest of mbrl wants installed.

    It depends on old versions, of which pip finds no set that goes together. So the Makefile
    downloads its wheel, and the packages' __init__ files, which import all of it, are left out.
    """
    wheels = sorted(Path(sys.prefix).glob("wheels/mbrl-*.whl"))
    found = importlib.util.find_spec("mbrl")
    if found is not None and found.submodule_search_locations:
        root = Path(next(iter(found.submodule_search_locations)))
    elif wheels:
        root = wheels[-1] / "mbrl"
    else:
        pytest.skip("needs mbrl's wheel in the environment's folder wheels: the Makefile gets it")
    for name in ("mbrl", "mbrl.models", "mbrl.util"):
        package = ModuleType(name)
        package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
        sys.modules[name] = package
        if "." in name:
            setattr(sys.modules["mbrl"], name.split(".")[1], package)
    yield importlib.import_module("mbrl.models.util")
    for name in [name for name in sys.modules if name.split(".")[0] == "mbrl"]:
        del sys.modules[name]


def module_of(package: str) -> Any:
    return pytest.importorskip(package, reason=INSTALL)


def rtdl_nlinear(**keywords: Any) -> nn.Module:
    return module_of("rtdl_num_embeddings")._NLinear(7, 3, 4, **keywords)


def periodic() -> nn.Module:
    return module_of("rtdl_num_embeddings").PeriodicEmbeddings(7, 5, lite=False)


def piecewise(version: str) -> nn.Module:
    rtdl = module_of("rtdl_num_embeddings")
    bins = rtdl.compute_bins(torch.randn(100, 7), n_bins=6)
    return rtdl.PiecewiseLinearEmbeddings(bins, 5, activation=True, version=version)


def delu_nlinear(*arguments: Any, **keywords: Any) -> nn.Module:
    return module_of("delu").nn.NLinear(*arguments, **keywords)


def linear_ensemble(**keywords: Any) -> nn.Module:
    return module_of("tabm").LinearEnsemble(3, 4, k=7, **keywords)


class TabM(nn.Module):
    """One that takes a single tensor, and whose dropout is off."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__()
        self.model = module_of("tabm").TabM.make(
            n_num_features=7,
            cat_cardinalities=[],
            d_out=2,
            d_block=16,
            k=4,
            dropout=0.0,
            num_embeddings=module_of("rtdl_num_embeddings").PeriodicEmbeddings(7, 5, lite=False),
            **keywords,
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], list[str]]] = {
    "rtdl _NLinear": (rtdl_nlinear, (6, 7, 3), [""]),
    "rtdl _NLinear, no bias": (lambda: rtdl_nlinear(bias=False), (6, 7, 3), [""]),
    "rtdl periodic": (periodic, (6, 7), ["linear"]),
    "rtdl piecewise A": (lambda: piecewise("A"), (6, 7), ["linear"]),
    "rtdl piecewise B": (lambda: piecewise("B"), (6, 7), ["linear"]),
    "delu NLinear": (lambda: delu_nlinear(7, 3, 4), (6, 7, 3), [""]),
    "delu NLinear, no batch": (lambda: delu_nlinear(7, 3, 4), (7, 3), [""]),
    "delu NLinear, batches": (lambda: delu_nlinear(7, 3, 4, bias=False), (2, 6, 7, 3), [""]),
    "delu NLinear of a grid": (lambda: delu_nlinear((2, 5), 3, 4), (6, 2, 5, 3), [""]),
    "tabm LinearEnsemble": (linear_ensemble, (6, 7, 3), [""]),
    "tabm LinearEnsemble, no bias": (lambda: linear_ensemble(bias=False), (6, 7, 3), [""]),
    "TabM": (TabM, (6, 7), ["model.num_module.linear", "model.output"]),
    "TabM packed": (
        lambda: TabM(arch_type="tabm-packed"),
        (6, 7),
        [
            "model.num_module.linear",
            "model.backbone.blocks.0.0",
            "model.backbone.blocks.1.0",
            "model.output",
        ],
    ),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_same_values_and_gradients(
    layer: str, calls: list[tuple[int, ...]], device: torch.device
) -> None:
    make, shape, names = LAYERS[layer]
    original = make()
    module = copy.deepcopy(original)
    assert [each.name for each in psd.convert(module, verbose=False)] == names
    check_same(module, original, torch.randn(shape), device)
    assert len(calls) == len(names)


@pytest.mark.parametrize("layer", LAYERS)
def test_state_dicts_both_ways_and_copies(layer: str) -> None:
    make, shape, _ = LAYERS[layer]
    module, other = make(), make()
    for each in (module, other):
        for parameter in each.parameters():
            nn.init.normal_(parameter)
    psd.convert(module, verbose=False)
    x = torch.randn(shape)
    module.load_state_dict(other.state_dict())
    torch.testing.assert_close(module(x), other(x), rtol=1e-4, atol=1e-4)
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(x), other(x), rtol=1e-4, atol=1e-4)
    for again in (copy.deepcopy(module), pickle.loads(pickle.dumps(module)), saved(module)):
        assert torch.equal(again(x), module(x))
        assert [type(each) for each in again.modules()] == [type(each) for each in module.modules()]


def saved(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("layer", LAYERS)
def test_under_autocast(layer: str, calls: list[tuple[int, ...]]) -> None:
    make, shape, names = LAYERS[layer]
    original = make()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    x = torch.randn(shape)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(module(x), original(x), rtol=0.03, atol=0.03)
    assert len(calls) == len(names)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        ("rtdl _NLinear", (2, 6, 7, 3)),
        ("rtdl _NLinear", (7, 3)),
        ("delu NLinear", (6, 1, 3)),
        ("tabm LinearEnsemble", (6, 1, 3)),
        ("tabm LinearEnsemble", (6, 7, 4)),
    ],
)
def test_what_they_refuse_they_still_refuse_in_their_words(
    layer: str, shape: tuple[int, ...]
) -> None:
    original = LAYERS[layer][0]()
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    said = []
    for each in (module, original):
        with pytest.raises((ValueError, AssertionError)) as raised:
            each(torch.randn(shape))
        said.append(str(raised.value))
    assert said[0] == said[1]


def test_mbrl(mbrl: ModuleType, calls: list[tuple[int, ...]], device: torch.device) -> None:
    for bias in (True, False):
        for shape in ((5, 6, 3), (6, 3)):
            original = mbrl.EnsembleLinearLayer(5, 3, 4, bias)
            module = copy.deepcopy(original)
            converted = psd.convert(module, verbose=False)
            assert converted == [psd.Converted("", mbrl.EnsembleLinearLayer, 5, 3, 4)]
            calls.clear()
            check_same(module, original, torch.randn(shape), device)
            assert calls == [(6, 5, 3)]
            assert repr(module).startswith("EnsembleLinearLayer[per_step_dense](num_members=5, ")


def test_mbrl_with_elite_members_alone(mbrl: ModuleType, calls: list[tuple[int, ...]]) -> None:
    original = mbrl.EnsembleLinearLayer(5, 3, 4)
    module = copy.deepcopy(original)
    psd.convert(module, verbose=False)
    for each in (module, original):
        each.set_elite([3, 1])
        each.toggle_use_only_elite()
    assert module(torch.randn(6, 3)).shape == (2, 6, 4)
    check_same(module, original, torch.randn(2, 6, 3))
    again = pickle.loads(pickle.dumps(module))
    check_same(again, copy.deepcopy(again), torch.randn(6, 3))
    assert not calls
    module.toggle_use_only_elite()
    module(torch.randn(6, 3, dtype=torch.float64))
    assert len(calls) == 1


def test_mbrl_state_dicts_both_ways(mbrl: ModuleType) -> None:
    module, other = (mbrl.EnsembleLinearLayer(5, 3, 4) for _ in range(2))
    psd.convert(module, verbose=False)
    module.load_state_dict(other.state_dict())
    x = torch.randn(6, 3)
    torch.testing.assert_close(module(x), other(x))
    mbrl.truncated_normal_init(module)  # which asks for isinstance
    assert not module.bias.any() and module.weight.abs().max() < 1.5
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(module(x), other(x))
