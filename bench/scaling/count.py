"""The model's messages, counted: every strategy run by processes with Gloo between them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate
from torch.nn.parallel import DistributedDataParallel

import per_step_dense as psd
from per_step_dense.distributed import parallelize

from ..collectives import Collectives, payload_by_kind
from .model import STRATEGIES, Layer, Mesh, Strategy, messages_of

LAYER: Final = Layer(batch=8, steps=8, in_features=12, out_features=16)


def pairs_for(processes: int) -> Iterator[tuple[str, Mesh]]:
    """The strategies that so many processes can run, with their meshes."""
    for name, strategy in STRATEGIES.items():
        if strategy.data is None:
            yield name, Mesh(model=processes)
        elif strategy.cut is None:
            yield name, Mesh(data=processes)
        elif processes == 4:
            yield name, Mesh(data=2, model=2)


def modelled(name: str, mesh: Mesh) -> dict[str, int]:
    """Payload bytes of a training step by the collective's kind, as the model has them."""
    messages = messages_of(LAYER, STRATEGIES[name], mesh)
    return payload_by_kind((message.kind, message.payload_bytes) for message in messages)


def counted(name: str, mesh: Mesh) -> dict[str, int]:
    """The same, as this process sees them. Needs a process group of the mesh's size."""
    strategy = STRATEGIES[name]
    model = _built(strategy, mesh)
    batch, steps, features = LAYER.batch // mesh.data, LAYER.steps, LAYER.in_features
    if strategy.cut == "steps" and not strategy.is_whole:
        steps //= mesh.model
    if strategy.cut == "in":
        features //= mesh.model
    x = torch.randn(batch, steps, features, requires_grad=True)
    optimizer = torch.optim.AdamW(model.parameters())
    seen = Collectives()
    with seen:
        model(x).square().sum().backward()
        optimizer.step()
    return seen.payload_bytes


def _built(strategy: Strategy, sizes: Mesh) -> nn.Module:
    mesh = init_device_mesh("cpu", (sizes.data, sizes.model), mesh_dim_names=("data", "model"))
    layer = psd.PerStepDense(LAYER.steps, LAYER.in_features, LAYER.out_features)
    if strategy.cut is not None:
        layouts = Replicate() if strategy.is_whole else None
        parallelize(
            layer, mesh["model"], strategy.cut, input_layouts=layouts, output_layouts=layouts
        )
    if strategy.data == "DDP":
        return DistributedDataParallel(layer)
    if strategy.data == "FSDP2":
        fully_shard(layer, mesh=mesh["data"])
        # Inside a model: what is outermost would not let go of its weights after the forward.
        model = nn.Sequential(layer)
        fully_shard(model, mesh=mesh["data"])
        return model
    return layer
