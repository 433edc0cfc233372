"""Trains a forecaster on several processes, from checkpoint to checkpoint.

    torchrun --standalone --nproc-per-node 2 examples/train_distributed.py

The model is LTSF-Linear's "individual" one (Zeng et al. 2023, "Are Transformers Effective for Time
Series Forecasting?", its NLinear): every channel of a multivariate series has a linear map of its
own, from the last values to the next ones, which is a PerStepDense over the channels. Each process
has some of the channels, their weights and their series, and nothing is communicated in a step.
With --data-parallel 2, pairs of processes share their channels and divide every batch (FSDP2).

Killed at any time, it goes on from its last checkpoint when started again, also with another number
of processes, and ends with the same weights: what it draws depends on the iteration alone. With
--max-restarts 3, torchrun starts it again by itself.

On GPUs it runs over NCCL, on CPUs over Gloo, which torchrun can only start again where
TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1 (or else Gloo finds the addresses of the dead). Torch's Gloo
groups may abort a process while it exits: what it had to do is done by then, and saved.
"""

from __future__ import annotations

import argparse
import math
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.checkpoint.stateful import Stateful
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard

from per_step_dense import PerStepDense
from per_step_dense.distributed import parallelize

LENGTH, NOISE = 2000, 0.1
CHECKPOINTS_KEPT = 2


class Forecaster(nn.Module):
    """From (batch, channels, window) to (batch, channels, horizon), each channel by itself."""

    def __init__(self, channels: int, window: int, horizon: int) -> None:
        super().__init__()
        self.head = PerStepDense(channels, window, horizon)

    def forward(self, x: Tensor) -> Tensor:
        last = x[..., -1:]
        y: Tensor = self.head(x - last)
        return y + last


def series_of(channel: int) -> Tensor:
    """A channel's values, (LENGTH,): a trend, two seasons of periods of its own, and noise."""
    generator = torch.Generator().manual_seed(channel)
    phases = 2 * math.pi * torch.rand(2, generator=generator)
    periods = torch.tensor([24.0, 168.0]) * (1 + torch.rand(2, generator=generator))
    t = torch.arange(LENGTH)
    seasons = torch.sin(2 * math.pi * t[:, None] / periods + phases).sum(1)
    return 1e-3 * t + seasons + NOISE * torch.randn(LENGTH, generator=generator)


def windows_of(series: Tensor, size: int, iteration: int, batch: int) -> Tensor:
    """Windows of all channels, (batch, channels, size), as this iteration draws them."""
    generator = torch.Generator().manual_seed(iteration)
    starts = torch.randint(LENGTH - size + 1, (batch,), generator=generator)
    return series.unfold(1, size, 1)[:, starts.to(series.device)].transpose(0, 1)


class Training(Stateful):
    """All that a checkpoint holds. DCP calls the two methods."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self.model, self.optimizer, self.iteration = model, optimizer, 0

    def state_dict(self) -> dict[str, Any]:
        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer, "iteration": self.iteration}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        set_state_dict(
            self.model,
            self.optimizer,
            model_state_dict=state_dict["model"],
            optim_state_dict=state_dict["optimizer"],
        )
        self.iteration = state_dict["iteration"]


def complete_checkpoints(folder: Path) -> list[Path]:
    """The oldest first. DCP writes a checkpoint's metadata when all else is on the disk."""
    return sorted(metadata.parent for metadata in folder.glob("*/.metadata"))


def resume(training: Training, folder: Path) -> None:
    """Loads the last complete checkpoint, if there is any."""
    found = complete_checkpoints(folder) if dist.get_rank() == 0 else []
    last = [found[-1] if found else None]
    dist.broadcast_object_list(last)  # what one process has seen, for disks may lag behind
    if last[0] is not None:
        dcp.load({"training": training}, checkpoint_id=last[0])


def save(training: Training, folder: Path) -> None:
    """Writes a checkpoint, then removes those that it makes superfluous."""
    dcp.save({"training": training}, checkpoint_id=folder / f"{training.iteration:08}")
    if dist.get_rank() == 0:
        for old in complete_checkpoints(folder)[:-CHECKPOINTS_KEPT]:
            shutil.rmtree(old)


def batches(
    series: Tensor, arguments: argparse.Namespace, mesh: DeviceMesh, first: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Of this process: input (batch, channels, window) and target (batch, channels, horizon)."""
    size = arguments.window + arguments.horizon
    parts, part = mesh["data"].size(), mesh["data"].get_local_rank()
    for iteration in range(first, arguments.iterations):
        windows = windows_of(series, size, iteration, arguments.batch).chunk(parts)[part]
        yield windows[..., : arguments.window], windows[..., arguments.window :]


def train(arguments: argparse.Namespace, mesh: DeviceMesh) -> None:
    """Runs the iterations that are left to do."""
    channels = range(arguments.channels)
    torch.manual_seed(0)
    model = Forecaster(arguments.channels, arguments.window, arguments.horizon)
    model.to(mesh.device_type)
    parallelize(model.head, mesh["steps"])
    if mesh["data"].size() > 1:
        fully_shard(model, mesh=mesh["data"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=arguments.learning_rate)
    training = Training(model, optimizer)
    resume(training, arguments.checkpoints)

    of_process = len(channels) // mesh["steps"].size()
    mine = channels[mesh["steps"].get_local_rank() * of_process :][:of_process]
    series = torch.stack([series_of(channel) for channel in mine]).to(mesh.device_type)
    report(f"from iteration {training.iteration} of {arguments.iterations}")
    since, started = training.iteration, time.perf_counter()
    for x, target in batches(series, arguments, mesh, training.iteration):
        optimizer.zero_grad()
        # The mean over all channels, of which these are a part: the parts add up.
        loss = (model(x) - target).square().mean() / mesh["steps"].size()
        loss.backward()
        optimizer.step()
        training.iteration += 1
        if training.iteration % arguments.report_every == 0:
            total = loss.detach() / mesh["data"].size()
            dist.all_reduce(total)
            seconds = time.perf_counter() - started
            speed = arguments.batch * (training.iteration - since) / seconds
            report(f"iteration {training.iteration}: loss {total:.6f}, {speed:.0f} windows/s")
            since, started = training.iteration, time.perf_counter()
        is_last = training.iteration == arguments.iterations
        if is_last or training.iteration % arguments.checkpoint_every == 0:
            save(training, arguments.checkpoints)
    report(f"done; the noise alone has {NOISE**2:.6f}")


def report(text: str) -> None:
    """Once, however many processes there are."""
    if dist.get_rank() == 0:
        print(text, flush=True)


def main() -> None:
    """Reads the command line, and meets the other processes that torchrun has started."""
    parser = argparse.ArgumentParser(description="Trains a forecaster on several processes.")
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--window", type=int, default=336)
    parser.add_argument("--horizon", type=int, default=96)
    parser.add_argument("--batch", type=int, default=32, help="windows in each iteration")
    parser.add_argument("--iterations", type=int, default=500)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--data-parallel", type=int, default=1, help="processes sharing channels")
    parser.add_argument("--checkpoints", type=Path, default=Path("checkpoints"))
    parser.add_argument("--checkpoint-every", type=int, default=100, help="iterations")
    parser.add_argument("--report-every", type=int, default=20, help="iterations")
    arguments = parser.parse_args()

    device = "cpu"
    if torch.cuda.is_available():
        device = "cuda"
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group()  # NCCL for CUDA tensors, Gloo for the CPU's
    try:
        processes, shared = dist.get_world_size(), arguments.data_parallel
        if shared < 1 or processes % shared or arguments.batch % shared:
            parser.error(
                f"--data-parallel {shared} must divide {processes} processes and "
                f"--batch {arguments.batch}"
            )
        if arguments.window + arguments.horizon > LENGTH:
            parser.error(f"--window and --horizon must have at most {LENGTH} values together")
        sizes = (shared, processes // shared)
        train(arguments, init_device_mesh(device, sizes, mesh_dim_names=("data", "steps")))
    finally:
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
