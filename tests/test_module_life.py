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


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_safetensors_of_a_grid_hold_its_bits(
    tmp_path: Path, device: torch.device, dtype: torch.dtype
) -> None:
    files = pytest.importorskip("safetensors.torch", reason="needs pip install '.[interop]'")
    grid = psd.PerStepDense((2, 3), I, O, device=device, dtype=dtype)
    files.save_file(grid.state_dict(), str(tmp_path / "grid.safetensors"))
    stored = files.load_file(str(tmp_path / "grid.safetensors"))
    assert sorted(stored) == ["bias", "weight"]
    loaded = psd.PerStepDense((2, 3), I, O, device=device, dtype=dtype)
    loaded.load_state_dict(stored)
    assert all(map(torch.equal, loaded.parameters(), grid.parameters()))


def test_weights_of_another_size_are_refused() -> None:
    layer = psd.PerStepDense(T, I, O)
    with pytest.raises(RuntimeError, match=r"size mismatch for weight: .*\[6, 4, 3\]"):
        layer.load_state_dict(psd.PerStepDense(T + 1, I, O).state_dict())
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "bias"'):
        psd.PerStepDense(T, I, O, bias=False).load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "bias"'):
        layer.load_state_dict({"weight": layer.weight})
    with pytest.raises(RuntimeError, match=r"size mismatch for bias: .*\[6, 3\].*\[2, 3, 3\]"):
        psd.PerStepDense((2, 3), I, O).load_state_dict(psd.PerStepDense(6, I, O).state_dict())


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


class PerUnit(nn.Module):
    """A direction of each column, and how long it is: nn.Linear's weight_norm at every step."""

    def forward(self, length: Tensor, direction: Tensor) -> Tensor:
        return direction * (length / torch.linalg.vector_norm(direction, dim=-2, keepdim=True))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return torch.linalg.vector_norm(weight, dim=-2, keepdim=True), weight


def stacked(linears: nn.ModuleList, x: Tensor) -> Tensor:
    return torch.stack([linear(x[:, t]) for t, linear in enumerate(linears)], 1)


@pytest.mark.parametrize("each", ["step", "unit"])
def test_weight_norm_is_that_of_a_loop_of_linears(device: torch.device, each: str) -> None:
    layer = psd.PerStepDense(T, I, O, device=device, dtype=torch.float64)
    linears = layer.to_linears()
    if each == "step":
        parametrizations.weight_norm(layer, dim=0)
    else:
        parametrize.register_parametrization(layer, "weight", PerUnit())
    for linear in linears:
        parametrizations.weight_norm(linear, dim=None if each == "step" else 0)
    models = (layer, *linears)
    x = input_on(device, torch.float64)
    for _ in range(3):
        outputs = layer(x), stacked(linears, x)
        torch.testing.assert_close(*outputs)
        for y in outputs:
            y.square().sum().backward()
        ours, *theirs = (model.parametrizations.weight for model in models)
        lengths = torch.stack([one.original0.grad for one in theirs])
        gradient = ours.original0.grad
        torch.testing.assert_close(gradient, lengths.view_as(gradient))
        directions = torch.stack([one.original1.grad.mT for one in theirs])
        torch.testing.assert_close(ours.original1.grad, directions)
        for model in models:
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= 0.01 * parameter.grad
            model.zero_grad()


def test_a_single_steps_spectral_norm_is_linears(device: torch.device) -> None:
    layer = psd.PerStepDense(1, I, O, device=device, dtype=torch.float64)
    (linear,) = layer.to_linears()
    for model, options in ((layer, {"dim": 2}), (linear, {})):
        torch.manual_seed(3)  # of the power iteration's first vectors
        parametrizations.spectral_norm(model, **options)
    x = torch.randn(6, 1, I, device=device, dtype=torch.float64)
    y, exact = layer(x), linear(x)
    torch.testing.assert_close(y, exact)
    y.square().sum().backward()
    exact.square().sum().backward()
    gradient = layer.parametrizations.weight.original.grad[0]
    torch.testing.assert_close(gradient, linear.parametrizations.weight.original.grad.mT)


def test_orthogonal_is_each_steps(device: torch.device) -> None:
    layer = parametrizations.orthogonal(psd.PerStepDense(T, I, O, device=device).double())
    products = layer.weight.mT @ layer.weight  # (T, O, O), where O < I
    unit = torch.eye(O, dtype=torch.float64, device=device).expand(T, O, O)
    torch.testing.assert_close(products, unit)
    assert not torch.allclose(layer.weight[0], layer.weight[1])


def test_spectral_norm_is_that_of_all_steps_as_rows(device: torch.device) -> None:
    """torch normalises the weight as a matrix, whose rows are the steps."""
    layer, x = layer_on(device).double(), input_on(device, torch.float64)
    normed = parametrizations.spectral_norm(copy.deepcopy(layer), n_power_iterations=200).eval()
    scale = torch.linalg.matrix_norm(layer.weight.flatten(1), 2)
    layer.weight.data.div_(scale.detach())
    torch.testing.assert_close(normed(x), layer(x), rtol=1e-6, atol=1e-8)
    assert (torch.linalg.matrix_norm(normed.weight, 2) < 1).all()


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


@pytest.mark.usefixtures("deterministic")
@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize(
    "dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str
)
def test_every_dtype_gives_the_same_bits_twice(
    device: torch.device, dtype: torch.dtype, activation: str | None
) -> None:
    options = {"activation": activation, "device": device, "dtype": dtype}
    layer = psd.PerStepDense((2, 3), 16, 8, bias=activation is None, **options)
    x = torch.randn(2048, 2, 3, 16, device=device, dtype=dtype, requires_grad=True)

    def results() -> tuple[Tensor, ...]:
        y = layer(x)
        return (y, *torch.autograd.grad(y.sum(), (x, *layer.parameters())))

    first = results()
    assert all(result.isfinite().all() and result.any() for result in first)
    assert all(map(torch.equal, results(), first))


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


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(
    tmp_path: Path, device: torch.device
) -> None:
    batches = [input_on(device) for _ in range(6)]

    def train(
        model: psd.PerStepDense, optimizer: torch.optim.Optimizer, data: list[Tensor]
    ) -> None:
        for x in data:
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()

    layer = layer_on(device)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    train(layer, optimizer, batches[:3])
    state = {"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}
    torch.save(state, tmp_path / "checkpoint.pt")
    train(layer, optimizer, batches[3:])

    resumed = layer_on(device)
    optimizer = torch.optim.Adam(resumed.parameters())
    state = torch.load(tmp_path / "checkpoint.pt", map_location=device, weights_only=True)
    resumed.load_state_dict(state["layer"])
    optimizer.load_state_dict(state["optimizer"])
    assert not torch.equal(resumed.weight, layer.weight)
    train(resumed, optimizer, batches[3:])
    assert all(map(torch.equal, resumed.parameters(), layer.parameters()))


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
