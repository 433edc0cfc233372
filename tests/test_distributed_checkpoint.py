"""Does a checkpoint of one mesh load into another, or into none, parameters and optimizer?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.distributed.tensor.parallel import parallelize_module
from worlds import World, mesh_of

import per_step_dense as psd
from per_step_dense.distributed import InParallel, OutParallel, StepsParallel

T, I, HIDDEN, O = 8, 4, 12, 4  # noqa: E741
STRATEGIES = ["steps", "features", "fsdp", "fsdp_steps"]


def model_of() -> nn.Module:
    return nn.Sequential(
        psd.PerStepDense(T, I, HIDDEN, activation="gelu"), psd.PerStepDense(T, HIDDEN, O)
    )


def sharded(model: nn.Module, strategy: str) -> nn.Module:
    size = torch.distributed.get_world_size()
    if strategy.startswith("fsdp"):
        mesh = mesh_of(2, size // 2, names=("data", "model"))
        if strategy == "fsdp_steps":
            parallelize_module(model, mesh["model"], {"*": StepsParallel()})
        return fully_shard(model, mesh=mesh["data"])
    styles = {"steps": {"*": StepsParallel()}, "features": {"0": OutParallel(), "1": InParallel()}}
    return parallelize_module(model, mesh_of(size), styles[strategy])


def with_optimizer(model: nn.Module) -> torch.optim.Optimizer:
    """After two steps, on gradients that all processes have."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    for step in range(2):
        for parameter in model.parameters():
            generator = torch.Generator().manual_seed(step)
            gradient = torch.randn(parameter.shape, generator=generator)
            if isinstance(parameter, DTensor):
                mesh, placements = parameter.device_mesh, parameter.placements
                gradient = torch.distributed.tensor.distribute_tensor(gradient, mesh, placements)
            parameter.grad = gradient
        optimizer.step()
    return optimizer


def state_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    parameters, moments = get_state_dict(model, optimizer)
    return {"model": parameters, "optimizer": moments}


def tensors_of(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    """All that is learned, whole."""
    states = [optimizer.state[parameter] for parameter in model.parameters()]
    moments = [state[name] for state in states for name in ("exp_avg", "exp_avg_sq", "step")]
    found = [*model.parameters(), *moments]
    return [
        (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach()
        for tensor in found
    ]


def save(strategy: str, folder: Path) -> list[Tensor]:
    model = sharded(model_of(), strategy)
    optimizer = with_optimizer(model)
    dcp.save(state_of(model, optimizer), checkpoint_id=folder)
    return tensors_of(model, optimizer)


def load(strategy: str | None, folder: Path) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(21)  # other parameters than those saved
    model = model_of() if strategy is None else sharded(model_of(), strategy)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    state = state_of(model, optimizer)
    dcp.load(state, checkpoint_id=folder)
    set_state_dict(
        model,
        optimizer,
        model_state_dict=state["model"],
        optim_state_dict=state["optimizer"],
    )
    return model, optimizer


def load_and_save(strategy: str, before: Path, after: Path) -> list[Tensor]:
    model, optimizer = load(strategy, before)
    dcp.save(state_of(model, optimizer), checkpoint_id=after)
    return tensors_of(model, optimizer)


def without_processes() -> Any:
    return pytest.warns(UserWarning, match="assuming the intent is to .* in a single process")


@pytest.mark.parametrize("to", STRATEGIES)
@pytest.mark.parametrize("of", STRATEGIES)
def test_two_then_four_then_one(two: World, four: World, tmp_path: Path, of: str, to: str) -> None:
    saved = two.run(save, of, tmp_path / "two")
    loaded = four.run(load_and_save, to, tmp_path / "two", tmp_path / "four")
    with without_processes():
        alone = tensors_of(*load(None, tmp_path / "four"))
    assert len(alone) == 4 * (1 + 3)  # of each parameter itself, two moments and the step
    for tensors in (*saved, *loaded):
        assert all(map(torch.equal, tensors, alone))


@pytest.mark.parametrize("to", STRATEGIES)
def test_one_then_two(two: World, tmp_path: Path, to: str) -> None:
    model = model_of()
    optimizer = with_optimizer(model)
    with without_processes():
        dcp.save(state_of(model, optimizer), checkpoint_id=tmp_path / "one")
    for tensors in two.run(load_and_save, to, tmp_path / "one", tmp_path / "two"):
        assert all(map(torch.equal, tensors, tensors_of(model, optimizer)))
