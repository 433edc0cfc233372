"""Rivals on samples that differ in length, packed or padded to (B, T, I); ours first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Final

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

import per_step_dense as psd

from ..cases import Case
from ..contestant import Results
from ..lengths import exists, in_any_order, rows_by_step
from ..workload import Inputs, Workload
from .base import Function, Rival, TorchRival, activated
from .compiled import Compiled
from .ours import OURS, PerStepDense
from .products import Einsum, GroupedMm


class OnPackedRows(TorchRival):
    """One that is given the rows that exist, step behind step: (R, I)."""

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        _, *parameters = super().arguments(inputs, workload)
        return pack(inputs.x, workload.case), *parameters

    def dy(self, inputs: Inputs, workload: Workload) -> Tensor:
        return pack(inputs.dy, workload.case)

    def results(self, y: Tensor, gradients: Sequence[Tensor], workload: Workload) -> Results:
        packed = super().results(y, gradients, workload)
        dx = None if packed.dx is None else unpack(packed.dx, workload.case)
        return replace(packed, y=unpack(y, workload.case), dx=dx)


class Packed(OnPackedRows):
    """per_step_dense.per_step_dense(x, weight, bias) of a PackedSequence, which gives another."""

    name = OURS

    def function(self, workload: Workload) -> Function:
        activation = workload.activation

        def of_packed(x: PackedSequence, *parameters: Tensor) -> Tensor:
            return psd.per_step_dense(x, *parameters, activation=activation).data

        return of_packed

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        rows, *parameters = super().arguments(inputs, workload)
        assert isinstance(rows, Tensor)
        sizes = rows_by_step(workload.case.lengths, workload.case.steps)
        return PackedSequence(rows, sizes), *parameters

    def leaves(self, arguments: tuple[object, ...]) -> tuple[Tensor, ...]:
        x, *parameters = arguments
        assert isinstance(x, PackedSequence)
        return (x.data, *super().leaves(tuple(parameters)))


class GroupedMmOfPacked(OnPackedRows):
    """torch.nn.functional.grouped_mm(rows, weight, offs=ends of steps) + bias[step of each row]."""

    name = "grouped_mm, packed"

    def why_not(self, workload: Workload) -> str | None:
        return GroupedMm().why_not(workload)

    def function(self, workload: Workload) -> Function:
        case = workload.case
        sizes = rows_by_step(case.lengths, case.steps)
        step_of_row = torch.repeat_interleave(sizes).to(workload.device)
        ends = functional.pad(sizes, (0, case.steps - len(sizes))).cumsum(0)
        ends = ends.to(workload.device, torch.int32)

        def grouped_mm(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            product = functional.grouped_mm(rows, weight, offs=ends)
            return product if bias is None else product + bias.index_select(0, step_of_row)

        return activated(grouped_mm, workload.activation)


class LoopOfPacked(OnPackedRows):
    """torch.cat([torch.addmm(bias[t], rows of step t, weight[t]) for each t])."""

    name = "loop of addmm, packed"

    def function(self, workload: Workload) -> Function:
        sizes = rows_by_step(workload.case.lengths, workload.case.steps).tolist()

        def loop(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            # As in the loop of layers: with weight[t] each gradient would be as large as weight.
            # Steps that no sample has come last, and are left out.
            x_by_step = rows.split(sizes)
            weights = weight.unbind()[: len(sizes)]
            if bias is None:
                return torch.cat(list(map(torch.mm, x_by_step, weights)))
            return torch.cat(list(map(torch.addmm, bias.unbind(), x_by_step, weights)))

        return activated(loop, workload.activation)


class WithLengths(TorchRival):
    """per_step_dense.per_step_dense(x, weight, bias, lengths=lengths), the longest sample first."""

    name = f"{OURS}, lengths"

    def function(self, workload: Workload) -> Function:
        activation, lengths = workload.activation, self._ordered(workload.case.lengths)

        def with_lengths(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
            return psd.per_step_dense(x, weight, bias, activation=activation, lengths=lengths)

        return with_lengths

    def _ordered(self, samples: Tensor) -> Tensor:
        return samples


class WithLengthsInAnyOrder(WithLengths):
    """the same with the samples in random order."""

    name = f"{OURS}, lengths in any order"

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        return super().arguments(replace(inputs, x=self._ordered(inputs.x)), workload)

    def dy(self, inputs: Inputs, workload: Workload) -> Tensor:
        return self._ordered(inputs.dy)

    def results(self, y: Tensor, gradients: Sequence[Tensor], workload: Workload) -> Results:
        ordered = super().results(y, gradients, workload)
        back = in_any_order(len(y)).argsort().to(y.device)
        return replace(ordered, y=y[back], dx=None if ordered.dx is None else ordered.dx[back])

    def _ordered(self, samples: Tensor) -> Tensor:
        return samples[in_any_order(len(samples)).to(samples.device)]


class Padded(TorchRival):
    """A rival of the layer on the padded batch, its result multiplied by a mask of 0 and 1."""

    _ending: ClassVar[str] = "padded + mask"

    def __init__(self, rival: TorchRival) -> None:
        self._rival = rival

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self._rival.name}, {self._ending}"

    @property
    def summary(self) -> str:
        return f"{self._rival.summary}, of the padded batch, times a mask of 0 and 1"

    def function(self, workload: Workload) -> Function:
        function, mask = self._rival.function(workload), _mask(workload)
        return lambda *arguments: function(*arguments) * mask


class PaddedWithoutMask(Padded):
    """The same where whoever takes the result masks it: the gradient of padding comes as 0."""

    _ending = "padded"

    @property
    def summary(self) -> str:
        return f"{self._rival.summary}, of the padded batch; the gradient of padding comes as 0"

    def function(self, workload: Workload) -> Function:
        return self._rival.function(workload)

    def dy(self, inputs: Inputs, workload: Workload) -> Tensor:
        return inputs.dy * _mask(workload)


PADDED: Final = Padded(PerStepDense()).name
"""What the times of ragged batches are shown beside."""
ANY_ORDER: Final = WithLengthsInAnyOrder.name

RAGGED_RIVALS: Final[tuple[Rival, ...]] = (
    Packed(),
    WithLengths(),
    WithLengthsInAnyOrder(),
    Padded(PerStepDense()),
    PaddedWithoutMask(PerStepDense()),
    Padded(Einsum()),
    Compiled(Padded(Einsum())),
    GroupedMmOfPacked(),
    LoopOfPacked(),
)


def pack(padded: Tensor, case: Case) -> Tensor:
    """The rows that exist, step behind step, of (B, T, F)."""
    return padded.detach().transpose(0, 1)[_exists_by_step(case, padded.device)]


def unpack(rows: Tensor, case: Case) -> Tensor:
    """(B, T, F) of them, with zeros for padding."""
    padded = rows.new_zeros(case.batch, case.steps, rows.size(-1))
    padded.transpose(0, 1)[_exists_by_step(case, rows.device)] = rows
    return padded


def _exists_by_step(case: Case, device: torch.device) -> Tensor:
    return exists(case.lengths, case.steps).mT.to(device)


def _mask(workload: Workload) -> Tensor:
    case = workload.case
    return exists(case.lengths, case.steps).to(workload.device, case.dtype).unsqueeze(-1)
