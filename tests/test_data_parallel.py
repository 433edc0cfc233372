"""Does the layer train under DDP and FSDP2, alone and beside its own sharding, as on one device?"""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Replicate
from torch.nn.parallel import DistributedDataParallel
from worlds import World, mesh_of

import per_step_dense as psd
from bench.collectives import Collectives
from per_step_dense.distributed import parallelize

T, I, HIDDEN, O = 8, 4, 12, 5  # noqa: E741
SAMPLES, RATE = 16, 0.05


def model_of(**options: Any) -> nn.Module:
    return nn.Sequential(
        psd.PerStepDense(T, I, HIDDEN, activation="gelu", **options),
        psd.PerStepDense(T, HIDDEN, O, **options),
    )


def batch(step: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(step)
    x = torch.randn(SAMPLES, T, I, generator=generator, dtype=torch.float64)
    target = torch.randn(SAMPLES, T, O, generator=generator, dtype=torch.float64)
    return x.to(dtype), target.to(dtype)


def trained_alone(model: nn.Module, max_norm: float | None) -> tuple[list[Tensor], list[float]]:
    """Parameters after three steps on the whole batch, and the norms that were clipped."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    norms = []
    for step in range(3):
        optimizer.zero_grad()
        x, target = batch(step)
        (model(x) - target).square().mean().backward()
        if max_norm is not None:
            norms.append(float(nn.utils.clip_grad_norm_(model.parameters(), max_norm)))
        optimizer.step()
    return [parameter.detach() for parameter in model.parameters()], norms


def trained_together(
    model: nn.Module, index: int, parts: int, max_norm: float | None
) -> tuple[list[Tensor], list[float], dict[str, int]]:
    """The same, on this process's part of the batch; with what the last step communicated."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    norms = []
    for step in range(3):
        optimizer.zero_grad()
        x, target = (tensor.chunk(parts)[index] for tensor in batch(step))
        with Collectives() as counted:
            (model(x) - target).square().mean().backward()
        if max_norm is not None:
            norm = nn.utils.clip_grad_norm_(model.parameters(), max_norm)
            norms.append(float(norm.full_tensor() if isinstance(norm, DTensor) else norm))
        optimizer.step()
    full = [p.full_tensor() if isinstance(p, DTensor) else p for p in model.parameters()]
    return [parameter.detach() for parameter in full], norms, counted.counts


def ranks() -> tuple[int, int]:
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def ddp(max_norm: float | None, gradient_as_bucket_view: bool) -> dict[str, int]:
    model = model_of(dtype=torch.float64)
    expected, expected_norms = trained_alone(copy.deepcopy(model), max_norm)
    wrapped = DistributedDataParallel(model, gradient_as_bucket_view=gradient_as_bucket_view)
    got, norms, counted = trained_together(wrapped, *ranks(), max_norm)
    torch.testing.assert_close(got, expected)
    assert norms == pytest.approx(expected_norms)
    return counted


@pytest.mark.parametrize("max_norm", [None, 0.1], ids=["free", "clipped"])
@pytest.mark.parametrize("gradient_as_bucket_view", [False, True])
def test_ddp(world: World, max_norm: float | None, gradient_as_bucket_view: bool) -> None:
    for counted in world.run(ddp, max_norm, gradient_as_bucket_view):
        assert counted == {"all_reduce": 1}  # all gradients, in one bucket


def ddp_accumulates() -> dict[str, int]:
    """no_sync: gradients of several batches are exchanged once."""
    model = DistributedDataParallel(model_of())
    rank, size = ranks()
    halves = [tensor.chunk(size)[rank].chunk(2) for tensor in batch(0, torch.float32)]
    with Collectives() as counted:
        with model.no_sync():
            (model(halves[0][0]) - halves[1][0]).square().mean().backward()
        (model(halves[0][1]) - halves[1][1]).square().mean().backward()
    alone = copy.deepcopy(model.module)
    alone.zero_grad()
    x, target = batch(0, torch.float32)
    ((alone(x) - target).square().mean() * 2).backward()
    for parameter, reference in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, reference.grad)
    return counted.counts


def test_ddp_accumulates_without_communication(two: World) -> None:
    assert two.run(ddp_accumulates) == [{"all_reduce": 1}] * 2


def fsdp(max_norm: float | None, reshard: bool) -> dict[str, int]:
    model = model_of(dtype=torch.float64)
    expected, expected_norms = trained_alone(copy.deepcopy(model), max_norm)
    mesh = mesh_of(torch.distributed.get_world_size())
    for layer in model:
        fully_shard(layer, mesh=mesh, reshard_after_forward=reshard)
    fully_shard(model, mesh=mesh)
    assert all(p.to_local().numel() * mesh.size() == p.numel() for p in model.parameters())
    got, norms, counted = trained_together(model, *ranks(), max_norm)
    torch.testing.assert_close(got, expected)
    assert norms == pytest.approx(expected_norms)
    return counted


@pytest.mark.parametrize("max_norm", [None, 0.1], ids=["free", "clipped"])
@pytest.mark.parametrize("reshard", [True, False], ids=["reshard", "keep"])
def test_fsdp(world: World, max_norm: float | None, reshard: bool) -> None:
    gathers = 4 if reshard else 2  # a layer's in the forward, and once more in the backward
    for counted in world.run(fsdp, max_norm, reshard):
        assert counted == {"all_gather": gathers, "reduce_scatter": 2}


def fsdp_in_bfloat16() -> None:
    """The layers compute in bfloat16, and are kept and updated in float32."""
    model = model_of()
    rounded = copy.deepcopy(model).bfloat16()
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    for layer in model:
        fully_shard(layer, mesh=mesh_of(2), mp_policy=policy)
    x, _ = batch(0, torch.float32)
    rank, size = ranks()
    y = model(x.chunk(size)[rank])
    assert y.dtype == torch.bfloat16
    assert torch.equal(y, rounded(x.bfloat16()).chunk(size)[rank])
    y.float().sum().backward()
    means = [torch.zeros(parameter.shape) for parameter in model.parameters()]
    for part in x.chunk(size):  # each process's gradients are rounded, the mean of them is not
        total = rounded(part.bfloat16()).float().sum()
        gradients = torch.autograd.grad(total, rounded.parameters())
        for mean, gradient in zip(means, gradients, strict=True):
            mean += gradient.float() / size
    for parameter, mean in zip(model.parameters(), means, strict=True):
        assert parameter.dtype == parameter.grad.dtype == torch.float32
        torch.testing.assert_close(parameter.grad.full_tensor(), mean)


def test_fsdp_in_bfloat16(two: World) -> None:
    two.run(fsdp_in_bfloat16)


def fsdp_step() -> str:
    layer = psd.PerStepDense(T, I, O)
    x_t = torch.randn(3, I)
    expected = layer.step(x_t, 5)
    fully_shard(layer, mesh=mesh_of(2))
    with pytest.raises(ValueError) as error:
        layer.step(x_t, 5)
    register_fsdp_forward_method(layer, "step")
    torch.testing.assert_close(layer.step(x_t, 5), expected)
    return str(error.value)


def test_a_step_of_an_fsdp_layer(two: World) -> None:
    for text in two.run(fsdp_step):
        assert "register_fsdp_forward_method" in text


class SlicedSteps(nn.Module):
    """Takes all steps, works on this process's, and gives all back."""

    def __init__(self, model: nn.Module, mesh: DeviceMesh) -> None:
        super().__init__()
        self.model, self.mesh = model, mesh

    def forward(self, x: Tensor) -> Tensor:
        return self.model(DTensor.from_local(x, self.mesh, [Replicate()])).full_tensor()


def fsdp_and(over: str, max_norm: float | None) -> dict[str, int]:
    """FSDP2 over one dimension of the mesh, the layers sharded over the other."""
    model = model_of(dtype=torch.float64)
    expected, expected_norms = trained_alone(copy.deepcopy(model), max_norm)
    mesh = mesh_of(2, 2, names=("data", "model"))
    if over == "steps":
        for layer in model:
            parallelize(layer, mesh["model"], use_local_output=False)
        whole: nn.Module = SlicedSteps(model, mesh["model"])
    else:
        parallelize(model[0], mesh["model"], "out")
        parallelize(model[1], mesh["model"], "in")
        whole = model
    for layer in model:
        fully_shard(layer, mesh=mesh["data"])
    fully_shard(whole, mesh=mesh["data"])
    assert all(
        p.to_local().numel() * 4 == p.numel() or p.placements[1] == Replicate()
        for p in model.parameters()
    )
    got, norms, counted = trained_together(whole, mesh["data"].get_local_rank(), 2, max_norm)
    torch.testing.assert_close(got, expected)
    assert norms == pytest.approx(expected_norms)
    return counted


@pytest.mark.parametrize("max_norm", [None, 0.1], ids=["free", "clipped"])
@pytest.mark.parametrize("over", ["steps", "features"])
def test_fsdp_beside_sharded_layers(four: World, over: str, max_norm: float | None) -> None:
    # A layer's weights in the forward and once more in the backward; over steps, the result.
    expected = {"all_gather": 5} if over == "steps" else {"all_gather": 4, "all_reduce": 1}
    for counted in four.run(fsdp_and, over, max_norm):
        assert counted == {**expected, "reduce_scatter": 2}


def uneven_fsdp() -> None:
    """6 steps: 3 on each of two processes, of which two others keep 2 and 1."""
    layer = psd.PerStepDense(6, I, O)
    whole, mesh = copy.deepcopy(layer), mesh_of(2, 2, names=("data", "model"))
    parallelize(layer, mesh["model"])
    fully_shard(layer, mesh=mesh["data"])
    x = torch.randn(4, 6, I)
    k, n = mesh["model"].get_local_rank(), mesh["data"].get_local_rank()
    layer(x.chunk(2)[n].chunk(2, 1)[k]).square().sum().backward()
    whole(x).square().sum().backward()
    for sharded, parameter in zip(layer.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(sharded.grad.full_tensor() * 2, parameter.grad)


def test_fsdp_of_steps_that_it_cannot_divide(four: World) -> None:
    four.run(uneven_fsdp)
