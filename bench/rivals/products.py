"""Batched products of torch, each with the bias and the activation that users write around it."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..record import Pass
from ..workload import Workload
from .base import Function, TorchRival, activated


class Einsum(TorchRival):
    """torch.einsum("bti,tio->bto", x, weight) + bias."""

    name = "einsum"

    def function(self, workload: Workload) -> Function:
        return activated(_einsum, workload.activation)


class Matmul(TorchRival):
    """(x.movedim(1, 0) @ weight).movedim(0, 1) + bias, as delu's and rtdl's NLinear."""

    name = "matmul"

    def function(self, workload: Workload) -> Function:
        return activated(_matmul, workload.activation)


class Baddbmm(TorchRival):
    """torch.baddbmm(bias.unsqueeze(1), x.transpose(0, 1), weight).transpose(0, 1)."""

    name = "baddbmm"

    def function(self, workload: Workload) -> Function:
        return activated(_baddbmm if workload.has_bias else _bmm, workload.activation)


class BmmOut(TorchRival):
    """torch.bmm into a transposed view of a (B, T, O), then bias and activation in place."""

    name = "bmm out="

    def why_not(self, workload: Workload) -> str | None:
        if workload.computed is not Pass.FORWARD:
            return "out= has no gradient"
        return None

    def function(self, workload: Workload) -> Function:
        return activated(_bmm_out, workload.activation)


class GroupedMm(TorchRival):
    """torch.nn.functional.grouped_mm(x.transpose(0, 1), weight).transpose(0, 1) + bias."""

    name = "grouped_mm"

    def why_not(self, workload: Workload) -> str | None:
        case = workload.case
        if case.dtype is torch.float64:
            return "takes float32, bfloat16 and float16 only"
        for features in (case.in_features, case.out_features):
            if features * case.dtype.itemsize % 16:
                return f"strides must be multiples of 16 bytes; {features} features are not"
        return None

    def function(self, workload: Workload) -> Function:
        return activated(_grouped_mm, workload.activation)


class VmapLinear(TorchRival):
    """torch.func.vmap(torch.nn.functional.linear, in_dims=(1, 0, 0), out_dims=1)."""

    name = "vmap of linear"

    def function(self, workload: Workload) -> Function:
        in_dims = (1, 0, 0) if workload.has_bias else (1, 0)
        linear = torch.func.vmap(functional.linear, in_dims=in_dims, out_dims=1)
        return activated(
            lambda x, weight, *bias: linear(x, weight.transpose(1, 2), *bias), workload.activation
        )


def _einsum(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = torch.einsum("bti,tio->bto", x, weight)
    return product if bias is None else product + bias


def _matmul(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = torch.matmul(x.movedim(1, 0), weight).movedim(0, 1)
    return product if bias is None else product + bias


def _baddbmm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.baddbmm(bias.unsqueeze(1), x.transpose(0, 1), weight).transpose(0, 1)


def _bmm(x: Tensor, weight: Tensor) -> Tensor:
    return torch.bmm(x.transpose(0, 1), weight).transpose(0, 1)


def _bmm_out(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    y = x.new_empty(x.size(0), x.size(1), weight.size(2))
    torch.bmm(x.transpose(0, 1), weight, out=y.transpose(0, 1))
    return y if bias is None else y.add_(bias)


def _grouped_mm(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    product = functional.grouped_mm(x.transpose(0, 1), weight).transpose(0, 1)
    return product if bias is None else product + bias
