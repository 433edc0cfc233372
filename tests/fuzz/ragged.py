"""What has to hold of a call whose samples differ in length, padded or packed, on any device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

import per_step_dense as psd
from fuzz.calls import Call, Operands, draw_call, draw_places
from fuzz.dense import gradients_of, named, require_gradients
from fuzz.judge import Results, Task, assert_right
from fuzz.where import Where

ops = torch.ops.per_step_dense

ORDERS = st.sampled_from(["any", "any", "sorted", "rising", "full", "empty"])
PRODUCTS = 100_000


class Ragged(NamedTuple):
    """A call of which each sample has its own number of steps."""

    call: Call
    order: str

    @property
    def is_packed(self) -> bool:
        return self.call.packed_rows is not None

    @property
    def lengths(self) -> Tensor:
        """(B); where packed the longest is first, and each has a step."""
        call = self.call
        generator = torch.Generator().manual_seed(call.seed)
        lengths = torch.randint(call.steps + 1, (call.rows,), generator=generator)
        if self.order in ("full", "empty"):
            lengths = torch.full_like(lengths, call.steps if self.order == "full" else 0)
        if self.is_packed:
            lengths = lengths.clamp(min=1)
        if self.is_packed or self.order == "sorted":
            return lengths.sort(descending=True).values
        return lengths.sort().values if self.order == "rising" else lengths

    @property
    def present(self) -> Tensor:
        """(B, T)"""
        return torch.arange(self.call.steps) < self.lengths.unsqueeze(1)

    @property
    def sizes(self) -> Tensor:
        """As the ops take them."""
        if not self.is_packed:
            return self.lengths
        counts = self.present.sum(0)
        return counts[counts > 0]

    def padded(self, rows: Tensor) -> Tensor:
        """(B, T, .) of what is packed, or of samples in any leading dimensions."""
        b, t = self.call.rows, self.call.steps
        if not self.is_packed:
            return rows.reshape(b, t, rows.size(-1))
        by_step = rows.new_zeros(t, b, rows.size(1))
        by_step[self.present.mT.to(rows.device)] = rows
        return by_step.transpose(0, 1)

    def assert_right(self, where: Where, operands: Operands, found: Results, **changes) -> None:
        padded = {
            name: self.padded(result.detach())
            if result is not None and name in ("y", "z", "dx")
            else result
            for name, result in found.items()
        }
        x, weight, bias, dz = (t if t is None else t.detach() for t in operands)
        of_samples = Operands(self.padded(x), weight, bias, self.padded(dz))
        task = Task(of_samples, present=self.present.to(x.device), **changes)
        torchs = where.as_torch_has_it(task)
        assert_right(padded, self.call, task, torchs_task=torchs, specials_are_torchs=True)


@st.composite
def padded_calls(draw: st.DrawFn, **options) -> Ragged:
    return Ragged(draw_call(draw, products=PRODUCTS, **options), draw(ORDERS))


@st.composite
def packed_calls(draw: st.DrawFn, **options) -> Ragged:
    """Of at least one row, as torch packs no fewer."""
    call = draw_call(draw, products=PRODUCTS, several_batch_dims=False, **options)
    call = call._replace(batch=(max(call.rows, 1),), steps=max(call.steps, 1))
    ragged = Ragged(call._replace(packed_rows=0), draw(ORDERS))
    call = call._replace(packed_rows=int(ragged.lengths.sum()))
    return ragged._replace(call=draw_places(draw, call))


def prove_ragged(ragged: Ragged, where: Where) -> None:
    """By the function, with gradients."""
    call = ragged.call
    *tensors, dy = operands = call.operands(where.device)
    require_gradients(tensors, call.wants)
    x, weight, bias = tensors
    with where.in_force():
        if ragged.is_packed:
            sequence = PackedSequence(x, ragged.sizes)
            y = psd.per_step_dense(sequence, weight, bias, activation=named(call.activation)).data
        else:
            lengths = ragged.lengths.reshape(call.batch)
            y = psd.per_step_dense(
                x, weight, bias, activation=named(call.activation), lengths=lengths
            )
        found = {"y": y, **gradients_of(y, tensors, dy, call.wants)}
    changes = {"activation": call.activation, "through_activation": True}
    ragged.assert_right(where, operands, found, **changes)


def prove_ragged_ops(ragged: Ragged, where: Where) -> None:
    x, weight, bias, dz = operands = ragged.call.operands(where.device)
    call, sizes = ragged.call, ragged.sizes
    wants_dx, wants_dweight, wants_dbias = call.wants
    x_or_none, weight_or_none = x if wants_dweight else None, weight if wants_dx else None
    with where.in_force():
        y, z = ops.ragged_forward_with_preactivation(x, weight, bias, sizes, call.activation)
        dx, dweight, dbias = ops.ragged_backward(
            dz, x_or_none, weight_or_none, sizes, call.steps, wants_dbias
        )
    ragged.assert_right(where, operands, {"y": y, "z": z}, activation=call.activation)
    ragged.assert_right(where, operands, {"dx": dx, "dweight": dweight, "dbias": dbias})
