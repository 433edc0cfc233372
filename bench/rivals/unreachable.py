"""Rivals that exist, and that Python cannot call: listed, so that nobody looks for them in vain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..contestant import Contestant
from ..record import Clock
from ..timing import Stopwatch
from ..workload import Inputs, Workload
from .base import Rival


class CublasLt(Rival):
    """cublasLtMatmul, strided batches with CUBLASLT_MATMUL_DESC_BIAS_BATCH_STRIDE."""

    name = "cuBLASLt, batched bias"

    def why_not(self, workload: Workload) -> str | None:
        return "torch gives cuBLASLt no bias with a batch, and has no call of it"

    def enter(
        self,
        workload: Workload,
        sets: Sequence[Inputs],
        stopwatches: Mapping[Clock, Stopwatch],
    ) -> Contestant:
        raise NotImplementedError(self.why_not(workload))
