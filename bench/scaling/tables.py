"""The scaling page's tables: what was counted, and what is computed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from .count import LAYER, modelled
from .model import H200, STRATEGIES, Layer, Machine, Mesh, cost
from .record import ScalingRecord

LAYERS: Final = {
    "LTSF traffic, its 862 channels padded to 896": Layer(64, 896, 336, 720),
    "ads per-feature tower": Layer(16384, 128, 64, 64),
    "a layer that no GPU holds": Layer(1024, 640, 4096, 4096),
}

MESHES: Final = {
    1: (("DDP", Mesh()),),
    8: (
        ("DDP", Mesh(data=8)),
        ("FSDP2", Mesh(data=8)),
        ("steps", Mesh(model=8)),
        ("steps, whole x and y", Mesh(model=8)),
        ("out", Mesh(model=8)),
        ("in", Mesh(model=8)),
    ),
    64: (
        ("DDP", Mesh(data=64)),
        ("FSDP2", Mesh(data=64)),
        ("steps", Mesh(model=64)),
        ("steps, whole x and y", Mesh(model=64)),
        ("steps and FSDP2", Mesh(data=8, model=8)),
    ),
}


def counted_table(record: ScalingRecord) -> str:
    """Beside the model; where they differ, the row says so."""
    head = (
        f"Layer of B,T,I,O = {LAYER.batch},{LAYER.steps},{LAYER.in_features},"
        f"{LAYER.out_features}; torch {record.machine.torch}, Gloo, "
        f"{record.machine.date.partition('T')[0]}."
    )
    rows = []
    for row in record.rows:
        model = modelled(row.strategy, row.mesh)
        rows.append(
            (
                row.strategy,
                str(row.mesh),
                _listed(row.payload_bytes),
                "the same" if row.payload_bytes == model else _listed(model),
            )
        )
    return f"{head}\n\n" + _table(("strategy", "mesh", "counted bytes", "the model's"), rows)


def computed_tables() -> str:
    """For one, 8 and 64 H200s, a table a layer, after the rates that they are made of."""
    tables = (f"**{name}** {_shape(layer)}\n\n{_of(layer)}" for name, layer in LAYERS.items())
    return "\n\n".join((_rates(H200), *tables))


def _rates(machine: Machine) -> str:
    in_gb_per_s = {
        "NVLink, in each direction": machine.link_bytes_per_s / 1e9,
        "a network card for each GPU": machine.network_bytes_per_s / 1e9,
    }
    links = ", ".join(f"{name} {rate:.0f} GB/s" for name, rate in in_gb_per_s.items())
    return (
        f"From data sheets: {machine.name}, {machine.gpus_per_node} to a node, "
        f"{machine.memory_bytes / 1e9:.0f} GB at {machine.memory_bytes_per_s / 1e12:.1f} TB/s, "
        f"{machine.flops_per_s / 1e12:.0f} TFLOP/s in TF32, {links}. Assumed: "
        f"{machine.message_s * 1e6:.0f} us for any collective."
    )


def _of(layer: Layer) -> str:
    rows = []
    alone = cost(layer, STRATEGIES["DDP"], Mesh(), H200)
    for gpus, pairs in MESHES.items():
        costs = [cost(layer, STRATEGIES[name], mesh, H200) for name, mesh in pairs]
        fitting = [each.step_s for each in costs if each.state_bytes < H200.memory_bytes]
        for (name, mesh), each in zip(pairs, costs, strict=True):
            fits = each.state_bytes < H200.memory_bytes
            step = f"{each.step_s * 1e6:,.0f}"
            rows.append(
                (
                    str(gpus),
                    "none" if gpus == 1 else name,
                    str(mesh),
                    f"{each.state_bytes / 1e9:.3g}" + ("" if fits else ", does not fit"),
                    f"{each.sent_bytes / 1e6:,.1f}",
                    f"{each.compute_s * 1e6:,.0f}",
                    f"{each.communicate_s * 1e6:,.0f}",
                    f"**{step}**" if fits and each.step_s == min(fitting) else step,
                    f"{alone.step_s / each.step_s:.1f}",
                )
            )
    head = ("GPUs", "strategy", "mesh", "state GB", "sent MB", "compute us", "communicate us")
    return _table((*head, "step us", "speed-up"), rows)


def _shape(layer: Layer) -> str:
    return f"(B,T,I,O = {layer.batch},{layer.steps},{layer.in_features},{layer.out_features})"


def _listed(sizes: dict[str, int]) -> str:
    return ", ".join(f"{kind} {size:,}" for kind, size in sorted(sizes.items())) or "none"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
