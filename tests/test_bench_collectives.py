"""Are collectives noted, whoever issues them, with what they carry?"""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
from torch.distributed.tensor import Replicate, Shard, distribute_tensor
from worlds import World, mesh_of

from bench.collectives import Collectives

pytestmark = pytest.mark.slow  # several processes

# From torch 2.13 on the older names warn.
all_gather_single = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
reduce_scatter_single = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


def of_every_kind() -> list[tuple[str, int]]:
    part, whole = torch.ones(6), torch.ones(12)
    functional, world = torch.ops._c10d_functional, dist.group.WORLD.group_name
    with Collectives() as seen:
        dist.all_reduce(part)
        all_gather_single(whole, part)
        reduce_scatter_single(part, whole)
        dist.all_gather([torch.empty(6), torch.empty(6)], part)
        dist.broadcast(part, 0)
        dist.barrier()
        functional.wait_tensor(functional.all_reduce(part, "sum", world))
        functional.wait_tensor(functional.all_gather_into_tensor(part, 2, world))
    assert seen.counts == {"all_reduce": 2, "all_gather": 3, "reduce_scatter": 1, "broadcast": 1}
    assert seen.payload_bytes["all_gather"] == 3 * 48
    return [tuple(each) for each in seen.noted]


def test_their_kinds_and_bytes(two: World) -> None:
    expected = [
        ("all_reduce", 24),
        ("all_gather", 48),
        ("reduce_scatter", 48),
        ("all_gather", 48),
        ("broadcast", 24),
        ("all_reduce", 24),
        ("all_gather", 48),
    ]
    assert two.run(of_every_kind) == [expected] * 2


def inside_an_op() -> dict[str, int]:
    mesh, values = mesh_of(2), torch.randn(4, 6)
    rows, whole = (distribute_tensor(values, mesh, [place]) for place in (Shard(0), Replicate()))
    with Collectives() as seen:
        torch.linalg.svdvals(rows)  # DTensor gathers what it is to be of
        whole.sum()
    return seen.payload_bytes


def test_those_that_dtensor_issues_by_itself(two: World) -> None:
    assert two.run(inside_an_op) == [{"all_gather": 96}] * 2
