"""The package itself."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch

import per_step_dense as psd

from ..workload import Inputs, Workload
from .base import Function, TorchRival

OURS: Final = "per_step_dense"


class PerStepDense(TorchRival):
    """per_step_dense.per_step_dense(x, weight, bias, activation=activation)."""

    name = OURS

    def function(self, workload: Workload) -> Function:
        if workload.activation is None:
            return psd.per_step_dense
        return partial(psd.per_step_dense, activation=workload.activation)

    def kernel(self, workload: Workload, inputs: Inputs) -> str | None:
        plan = psd.explain(inputs.x, inputs.weight, inputs.bias, activation=workload.activation)
        return plan.kernel if plan.tile is None else f"{plan.kernel} {plan.tile}"


class Op(TorchRival):
    """the op below the function."""

    name = "torch.ops.per_step_dense.forward"

    def function(self, workload: Workload) -> Function:
        op = torch.ops.per_step_dense.forward
        if workload.activation is None:
            return op
        return partial(op, activation=workload.activation)
