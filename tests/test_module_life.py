"""Does the layer live with what people do to modules? (Copies: test_module.py.)"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

import per_step_dense as psd

T, I, O = 5, 4, 3  # noqa: E741


def layer_on(device: torch.device, **keywords: object) -> psd.PerStepDense:
    return psd.PerStepDense(T, I, O, activation="gelu", device=device, **keywords)


def input_on(device: torch.device, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(6, T, I, device=device, dtype=dtype)


# Stored weights


def test_safetensors(tmp_path: Path, device: torch.device) -> None:
    save = pytest.importorskip(
        "safetensors.torch", reason="needs pip install '.[interop]'"
    ).save_model
    from safetensors.torch import load_model

    layer, loaded, x = layer_on(device), layer_on(device), input_on(device)
    save(layer, str(tmp_path / "layer.safetensors"))
    load_model(loaded, str(tmp_path / "layer.safetensors"))
    assert torch.equal(loaded(x), layer(x))


def test_weights_of_another_size_are_refused() -> None:
    layer = psd.PerStepDense(T, I, O)
    with pytest.raises(RuntimeError, match=r"size mismatch for weight: .*\[6, 4, 3\]"):
        layer.load_state_dict(psd.PerStepDense(T + 1, I, O).state_dict())
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "bias"'):
        psd.PerStepDense(T, I, O, bias=False).load_state_dict(layer.state_dict())


def test_assigned_weights_are_those_that_were_loaded() -> None:
    layer, source = psd.PerStepDense(T, I, O, device="meta"), psd.PerStepDense(T, I, O)
    layer.load_state_dict(source.state_dict(), assign=True)
    x = torch.randn(2, T, I)
    assert torch.equal(layer(x), source(x))


# Parametrizations


@pytest.mark.parametrize("dim", [0, 2, None], ids=["a step", "a column", "all"])
def test_weight_norm(device: torch.device, dim: int | None) -> None:
    layer, x = layer_on(device), input_on(device)
    expected = layer(x)
    normed = parametrizations.weight_norm(copy.deepcopy(layer), dim=dim)
    torch.testing.assert_close(normed(x), expected)
    magnitude = normed.parametrizations.weight.original0
    with torch.no_grad():
        magnitude.mul_(2)
    layer.weight.data.mul_(2)
    torch.testing.assert_close(normed(x), layer(x))
    normed(x).sum().backward()
    assert magnitude.grad is not None and (magnitude.grad != 0).any()


def test_spectral_norm_is_that_of_all_steps_as_rows(device: torch.device) -> None:
    """torch normalises the weight as a matrix, whose rows are the steps."""
    layer, x = layer_on(device).double(), input_on(device, torch.float64)
    normed = parametrizations.spectral_norm(copy.deepcopy(layer), n_power_iterations=200).eval()
    scale = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    layer.weight.data.div_(scale.detach())
    torch.testing.assert_close(normed(x), layer(x), rtol=1e-6, atol=1e-8)


class Symmetric(nn.Module):
    """Each step's matrix is its upper triangle and that mirrored."""

    def forward(self, weight: Tensor) -> Tensor:
        return weight.triu() + weight.triu(1).mT


def test_a_parametrization_of_ones_own(device: torch.device) -> None:
    layer = psd.PerStepDense(T, I, I, device=device)
    parametrize.register_parametrization(layer, "weight", Symmetric())
    x = input_on(device)
    y = layer(x)
    torch.testing.assert_close(y, psd.per_step_dense(x, layer.weight.mT, layer.bias))
    y.sum().backward()
    gradient = layer.parametrizations.weight.original.grad
    assert gradient.triu().count_nonzero() and not gradient.tril(-1).count_nonzero()


# Devices and dtypes


@pytest.mark.parametrize(
    ("move", "dtype"),
    [
        (lambda m: m.half(), torch.float16),
        (lambda m: m.bfloat16(), torch.bfloat16),
        (lambda m: m.double(), torch.float64),
        (lambda m: m.to(torch.float16), torch.float16),
        (lambda m: m.to(torch.zeros(1, dtype=torch.bfloat16)), torch.bfloat16),
    ],
    ids=["half", "bfloat16", "double", "to", "to a tensor's"],
)
def test_a_layer_trains_in_the_dtype_it_was_moved_to(
    device: torch.device, move: Callable[[nn.Module], nn.Module], dtype: torch.dtype
) -> None:
    layer = move(layer_on(device)).to(device)
    x = input_on(device, dtype)
    y = layer(x)
    y.float().square().sum().backward()
    assert (y.dtype, layer.weight.grad.dtype, layer.bias.grad.dtype) == (dtype,) * 3
    exact = copy.deepcopy(layer).double()
    exact.zero_grad()
    exact(x.double()).square().sum().backward()
    torch.testing.assert_close(layer.weight.grad.double(), exact.weight.grad, rtol=0.05, atol=0.05)


# Determinism


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("batch", [6, 4096])
def test_nothing_here_is_refused_for_lack_of_determinism(device: torch.device, batch: int) -> None:
    layer, x = layer_on(device), torch.randn(batch, T, I, device=device, requires_grad=True)

    def gradients() -> tuple[Tensor, ...]:
        return torch.autograd.grad(layer(x).square().sum(), (x, *layer.parameters()))

    first = gradients()
    for _ in range(3):
        assert all(map(torch.equal, gradients(), first))


# Training


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "SGD": lambda *args, **kw: torch.optim.SGD(*args, lr=0.1, momentum=0.9, **kw),
    "Adam": lambda *args, **kw: torch.optim.Adam(*args, lr=0.01, **kw),
    "AdamW": lambda *args, **kw: torch.optim.AdamW(*args, lr=0.01, weight_decay=0.1, **kw),
}


@pytest.mark.parametrize("how", ["foreach", "fused", "neither"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_the_steps_of_a_loop_of_linears(
    device: torch.device, name: str, how: str
) -> None:
    layer = psd.PerStepDense(T, I, O, device=device)
    linears = layer.to_linears()
    keywords = {} if how == "neither" else {how: True}
    optimizers = [OPTIMIZERS[name](m.parameters(), **keywords) for m in (layer, linears)]
    for _ in range(5):
        x = input_on(device)
        losses = (
            layer(x).square().sum(),
            torch.stack([linear(x[:, t]) for t, linear in enumerate(linears)], 1).square().sum(),
        )
        for optimizer, loss in zip(optimizers, losses, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    weights = torch.stack([linear.weight.mT for linear in linears])
    torch.testing.assert_close(layer.weight, weights, rtol=1e-4, atol=1e-5)
    biases = torch.stack([linear.bias for linear in linears])
    torch.testing.assert_close(layer.bias, biases, rtol=1e-4, atol=1e-5)


def test_clipped_gradients_are_those_of_a_loop_of_linears(device: torch.device) -> None:
    layer, x = psd.PerStepDense(T, I, O, device=device), input_on(device)
    linears = layer.to_linears()
    layer(x).square().sum().backward()
    torch.stack([linear(x[:, t]) for t, linear in enumerate(linears)]).square().sum().backward()
    norms = [nn.utils.clip_grad_norm_(m.parameters(), 0.5) for m in (layer, linears)]
    torch.testing.assert_close(*norms)
    clipped = torch.stack([linear.weight.grad.mT for linear in linears])
    torch.testing.assert_close(layer.weight.grad, clipped)


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointing_computes_the_same_gradients(
    device: torch.device, use_reentrant: bool
) -> None:
    layers = nn.Sequential(*(psd.PerStepDense(T, I, I, activation="gelu") for _ in range(3)))
    layers.to(device)
    x = input_on(device).requires_grad_()
    expected = torch.autograd.grad(layers(x).sum(), (x, *layers.parameters()))
    y = torch.utils.checkpoint.checkpoint(layers, x, use_reentrant=use_reentrant)
    y.sum().backward()
    found = (x.grad, *(parameter.grad for parameter in layers.parameters()))
    assert all(map(torch.equal, found, expected))
