"""What a call costs before it computes anything: a layer so small that only the CPU's part counts.

On one thread. The aim is at most 1.0 times the fastest rival.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

from .cases import Case
from .record import Clock, Pass
from .rivals import Compiled, Op, Rival
from .rivals.ours import PerStepDense
from .rivals.products import Baddbmm, Matmul
from .workload import Workload

CASE: Final = Case("one small call", 8, 2, 4, 4, torch.float32, "smaller than any real layer")

CLOCKS: Final = (Clock.WALL, Clock.EAGER, Clock.GRAPH)


def overhead_rivals(rivals: tuple[Rival, ...]) -> tuple[Rival, ...]:
    """Those asked for, and what only such small calls are worth measuring of."""
    more = (Op(), Compiled(PerStepDense()), Compiled(Matmul()), Compiled(Baddbmm()))
    return (*rivals, *more)


def overhead_workloads(device: torch.device) -> tuple[Workload, ...]:
    """Without a gradient, with what a backward needs, and with the backward."""
    passes = (Pass.FORWARD, Pass.RECORDED, Pass.BOTH)
    return tuple(Workload(CASE, device, computed, True, None) for computed in passes)


@contextmanager
def one_thread() -> Iterator[None]:
    """What a second thread costs is not the call's."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
