"""A model of a training step of one layer: arithmetic, memory traffic and messages, by strategy.

The layer stands inside a model, so that its input needs a gradient, and is trained in float32 (with
products in TF32) by AdamW, whose two moments are as large as the parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

ITEM_BYTES: Final = 4
STATE_COPIES: Final = 4  # the parameters, their gradients and AdamW's two moments
UPDATE_COPIES: Final = 7  # AdamW reads those four, and writes all but the gradients


@dataclass(frozen=True)
class Layer:
    """x (B, T, I), weight (T, I, O), bias (T, O), y (B, T, O); B is the batch of all processes."""

    batch: int
    steps: int
    in_features: int
    out_features: int

    @property
    def weights(self) -> int:
        """Elements."""
        return self.steps * self.in_features * self.out_features

    @property
    def biases(self) -> int:
        """Elements."""
        return self.steps * self.out_features

    @property
    def inputs(self) -> int:
        """Elements of x."""
        return self.batch * self.steps * self.in_features

    @property
    def outputs(self) -> int:
        """Elements of y."""
        return self.batch * self.steps * self.out_features


class Message(NamedTuple):
    """A collective among the processes along one dimension of the mesh."""

    kind: str  # as bench.collectives has it
    over: str  # data or model
    payload_bytes: int  # of the whole tensor that is reduced, gathered or scattered


@dataclass(frozen=True)
class Mesh:
    """So many parts of the batch, times so many parts of the layer."""

    data: int = 1
    model: int = 1

    @property
    def size(self) -> int:
        """Processes."""
        return self.data * self.model

    def __str__(self) -> str:
        return f"{self.data}x{self.model}"


@dataclass(frozen=True)
class Strategy:
    """How a step is spread over a mesh."""

    name: str
    data: Literal["DDP", "FSDP2"] | None = None
    """What divides the batch over the mesh's first dimension."""
    cut: Literal["steps", "out", "in"] | None = None
    """What per_step_dense.distributed.parallelize cuts over the second."""
    is_whole: bool = False
    """Whether the layer's neighbours have all steps in every process."""

    def suits(self, layer: Layer, mesh: Mesh) -> bool:
        """Whether it has a use for the mesh's dimensions, and they divide what it cuts."""
        if (mesh.data > 1 and self.data is None) or (mesh.model > 1 and self.cut is None):
            return False
        sizes = {"steps": layer.steps, "out": layer.out_features, "in": layer.in_features}
        cut = 0 if self.cut is None else sizes[self.cut]
        return layer.batch % mesh.data == 0 and cut % mesh.model == 0


STRATEGIES: Final = {
    strategy.name: strategy
    for strategy in (
        Strategy("DDP", data="DDP"),
        Strategy("FSDP2", data="FSDP2"),
        Strategy("steps", cut="steps"),
        Strategy("steps, whole x and y", cut="steps", is_whole=True),
        Strategy("out", cut="out"),
        Strategy("in", cut="in"),
        Strategy("steps and FSDP2", data="FSDP2", cut="steps"),
    )
}


def messages_of(layer: Layer, strategy: Strategy, mesh: Mesh) -> list[Message]:
    """Of a training step, as each process takes part in them."""
    found = []
    if mesh.data > 1:
        parameters = ITEM_BYTES * computed_with(layer, strategy, mesh)
        if strategy.data == "DDP":
            found.append(Message("all_reduce", "data", parameters))
        else:  # gathered for the forward, and for the backward
            found += [Message("all_gather", "data", parameters)] * 2
            found.append(Message("reduce_scatter", "data", parameters))
    if mesh.model > 1:
        y, dx = (ITEM_BYTES * size // mesh.data for size in (layer.outputs, layer.inputs))
        if strategy.is_whole:
            found += [Message("all_gather", "model", y), Message("all_gather", "model", dx)]
        if strategy.cut == "out":
            found.append(Message("all_reduce", "model", dx))
        if strategy.cut == "in":
            found.append(Message("all_reduce", "model", y))
    return found


def computed_with(layer: Layer, strategy: Strategy, mesh: Mesh) -> int:
    """Elements of the parameters that one process computes with."""
    biases = layer.biases if strategy.cut == "in" else layer.biases // mesh.model
    return layer.weights // mesh.model + biases


def kept(layer: Layer, strategy: Strategy, mesh: Mesh) -> int:
    """Elements of the parameters that one process keeps, and updates."""
    parameters = computed_with(layer, strategy, mesh)
    return parameters // mesh.data if strategy.data == "FSDP2" else parameters


def rows(layer: Layer, strategy: Strategy, mesh: Mesh) -> int:
    """Elements of x and y that one process computes with."""
    x = layer.inputs // (1 if strategy.cut == "out" else mesh.model)
    y = layer.outputs // (1 if strategy.cut == "in" else mesh.model)
    return (x + y) // mesh.data


@dataclass(frozen=True)
class Machine:
    """GPUs in nodes. Rates are those of the data sheets."""

    name: str
    gpus_per_node: int
    memory_bytes: float
    flops_per_s: float
    memory_bytes_per_s: float
    link_bytes_per_s: float  # a GPU's, in one direction, inside its node
    network_bytes_per_s: float  # likewise, between nodes
    message_s: float  # what any collective takes at least: an assumption

    def link_of(self, over: str, mesh: Mesh) -> float:
        """Bytes a second that each process can send along a dimension of the mesh.

        Neighbours along ``model`` are in one node as far as they fit. Where a group is spread over
        nodes, those of its processes that share a node share its network cards too.
        """
        stride = 1 if over == "model" else mesh.model
        group = mesh.model if over == "model" else mesh.data
        if stride * group <= self.gpus_per_node:
            return self.link_bytes_per_s
        in_a_node = max(self.gpus_per_node // stride, 1)
        return min(self.link_bytes_per_s, self.network_bytes_per_s * in_a_node)


# NVIDIA's data sheet of the H200 SXM: 141 GB at 4.8 TB/s, TF32 at 494 TFLOP/s (dense), NVLink at
# 900 GB/s in both directions together. A DGX H200 has a network card of 400 Gbit/s for each GPU.
H200: Final = Machine("H200", 8, 141e9, 494e12, 4.8e12, 450e9, 50e9, 10e-6)


@dataclass(frozen=True)
class Cost:
    """Of one process, per training step."""

    state_bytes: int
    sent_bytes: float
    compute_s: float
    communicate_s: float

    @property
    def step_s(self) -> float:
        """Nothing overlaps: the layer is alone."""
        return self.compute_s + self.communicate_s


def cost(layer: Layer, strategy: Strategy, mesh: Mesh, machine: Machine) -> Cost:
    """The least that the machine's rates allow, with collectives by rings.

    Raises:
        ValueError: the strategy cannot use the mesh, or the mesh does not divide the layer.
    """
    if not strategy.suits(layer, mesh):
        raise ValueError(f"{strategy.name} cannot spread {layer} over {mesh}")
    messages = messages_of(layer, strategy, mesh)
    sent = [_sent_bytes(message, mesh) for message in messages]
    return Cost(
        state_bytes=STATE_COPIES * ITEM_BYTES * kept(layer, strategy, mesh),
        sent_bytes=sum(sent),
        compute_s=_compute_s(layer, strategy, mesh, machine),
        communicate_s=sum(
            machine.message_s + size / machine.link_of(message.over, mesh)
            for message, size in zip(messages, sent, strict=True)
        ),
    )


def _sent_bytes(message: Message, mesh: Mesh) -> float:
    """By a ring of n: (n - 1) / n of the payload, and twice that for a reduction to all."""
    n = mesh.model if message.over == "model" else mesh.data
    once = message.payload_bytes * (n - 1) / n
    return 2 * once if message.kind == "all_reduce" else once


def _compute_s(layer: Layer, strategy: Strategy, mesh: Mesh, machine: Machine) -> float:
    """Three products, each bound by arithmetic or by memory, and the optimizer's update.

    Of x, y and the weights each product reads two, and writes the third.
    """
    flops = 2 * layer.batch * layer.weights / mesh.size
    moved = ITEM_BYTES * (rows(layer, strategy, mesh) + computed_with(layer, strategy, mesh))
    product = max(flops / machine.flops_per_s, moved / machine.memory_bytes_per_s)
    update = UPDATE_COPIES * ITEM_BYTES * kept(layer, strategy, mesh)
    return 3 * product + update / machine.memory_bytes_per_s
