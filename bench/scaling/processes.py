"""Processes of a count's own."""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path
from typing import Final

import torch.distributed as dist

from .count import counted, pairs_for
from .record import Counted

TIMEOUT_S: Final = 300


def counted_by(processes: int) -> list[Counted]:
    """All strategies that so many processes can run.

    Raises:
        SystemExit: the processes have not counted the same.
        multiprocessing.TimeoutError: they did not end.
    """
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, context.Pool(processes) as pool:
        store = str(Path(folder) / "store")
        ranks = [(rank, processes, store) for rank in range(processes)]
        # One that fails leaves the others waiting for it.
        found = pool.starmap_async(_count, ranks, 1).get(TIMEOUT_S)
    if any(rows != found[0] for rows in found):
        raise SystemExit("the processes have counted different messages")
    return found[0]


def _count(rank: int, processes: int, store: str) -> list[Counted]:
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=processes)
    return [
        Counted(strategy=name, data=mesh.data, model=mesh.model, payload_bytes=counted(name, mesh))
        for name, mesh in pairs_for(processes)
    ]
