"""What has to hold of a call whose samples have all steps, on any device."""

from __future__ import annotations

from typing import NamedTuple

import torch
from cases import Layer, bare_op
from hypothesis import strategies as st
from torch import Tensor

import per_step_dense as psd
from fuzz.calls import Call, Operands, draw_call
from fuzz.judge import Results, Task, assert_activation_gradient, assert_right
from fuzz.known import but_for_torchs_gelu
from fuzz.memory import Memory, draw_memory
from fuzz.where import Where

ops = torch.ops.per_step_dense

LAYERS = st.sampled_from([psd.per_step_dense, bare_op])
"""The function, and the op on its own."""


def named(activation: str) -> str | None:
    return None if activation == "none" else activation


def task_of(call: Call, operands: Operands, **changes) -> Task:
    """With all rows in one dimension."""
    x, weight, bias, dz = (t if t is None else t.detach() for t in operands)
    b, (t, i, o) = call.rows, weight.shape
    return Task(Operands(x.reshape(b, t, i), weight, bias, dz.reshape(b, t, o)), **changes)


def by_row(call: Call, **results: Tensor | None) -> Results:
    """The results, of which those that have the leading dimensions become (B, T, .)."""
    return {
        name: result.reshape(call.rows, *result.shape[-2:])
        if result is not None and name in ("y", "z", "dx")
        else result
        for name, result in results.items()
    }


def prove_forward(call: Call, where: Where, layer: Layer) -> None:
    *tensors, _ = operands = call.operands(where.device)
    with where.in_force():
        y = layer(*tensors, activation=named(call.activation))
        beside_z, z = ops.forward_with_preactivation(*tensors, call.activation)
    assert y.is_contiguous() and y.dtype is call.torch_dtype
    task = task_of(call, operands, activation=call.activation)
    torchs = where.as_torch_has_it(task)
    for found in by_row(call, y=y, z=z), by_row(call, y=beside_z):
        assert_right(found, call, task, torchs_task=torchs, specials_are_torchs=True)


def gradients_of(
    y: Tensor, tensors: list[Tensor | None], dy: Tensor, wants: tuple[bool, bool, bool]
) -> dict[str, Tensor]:
    """Those that are wanted, of x, weight and bias as far as there are such."""
    wanted = {
        name: tensor
        for name, tensor, wanted in zip(("dx", "dweight", "dbias"), tensors, wants, strict=True)
        if wanted and tensor is not None
    }
    if not wanted:
        return {}
    with but_for_torchs_gelu():
        found = torch.autograd.grad(y, list(wanted.values()), dy)
    return dict(zip(wanted, found, strict=True))


def require_gradients(tensors: list[Tensor | None], wants: tuple[bool, bool, bool]) -> None:
    for tensor, wanted in zip(tensors, wants, strict=True):
        if wanted and tensor is not None:
            tensor.requires_grad_()


def prove_gradients(call: Call, where: Where, layer: Layer) -> None:
    *tensors, dy = operands = call.operands(where.device)
    require_gradients(tensors, call.wants)
    with where.in_force():
        y = layer(*tensors, activation=named(call.activation))
        found = by_row(call, **gradients_of(y, tensors, dy, call.wants))
    task = task_of(call, operands, activation=call.activation, through_activation=True)
    torchs = where.as_torch_has_it(task)
    assert_right(found, call, task, torchs_task=torchs, specials_are_torchs=True)


def prove_backward(call: Call, where: Where) -> None:
    x, weight, _, dz = operands = call.operands(where.device)
    wants_dx, wants_dweight, wants_dbias = call.wants
    with where.in_force():
        dx, dweight, dbias = ops.backward(
            dz, x if wants_dweight else None, weight if wants_dx else None, wants_dbias
        )
    assert (dx is not None, dweight is not None, dbias is not None) == call.wants
    found = by_row(call, dx=dx, dweight=dweight, dbias=dbias)
    task = task_of(call, operands)
    assert_right(found, call, task, torchs_task=where.as_torch_has_it(task))


class Accumulation(NamedTuple):
    """A call, and of what its gradients are added to the dtype and where those lie."""

    call: Call
    dtype: str
    of_weight: Memory
    of_bias: Memory


@st.composite
def accumulations(draw: st.DrawFn, **options) -> Accumulation:
    call = draw_call(draw, activations=["none"], **options)
    wide = ["float32"] if call.torch_dtype.itemsize == 2 else []
    dtype = draw(st.sampled_from([call.dtype, *wide]))
    _, *shapes, _ = call.shapes
    return Accumulation(
        call, dtype, *(draw_memory(draw, shape, may_be_written=True) for shape in shapes)
    )


def prove_accumulation(accumulation: Accumulation, where: Where) -> None:
    call, dtype, *memories = accumulation
    x, weight, _, dz = operands = call.operands(where.device)
    wants_dx, *wants = call.wants
    old = call._replace(dtype=dtype, values=call.values_without_specials, seed=call.seed + 1)
    added = {
        name: old.tensor(shape, memory, where.device)
        for name, shape, memory, wanted in zip(
            ("dweight", "dbias"), call.shapes[1:3], memories, wants, strict=True
        )
        if wanted
    }
    before = {name: tensor.clone() for name, tensor in added.items()}
    with where.in_force():
        dx = ops.backward_accumulate(
            dz,
            x if "dweight" in added else None,
            weight if wants_dx else None,
            added.get("dweight"),
            added.get("dbias"),
        )
    task = task_of(call, operands)
    torchs = where.as_torch_has_it(task)
    assert_right(by_row(call, dx=dx), call, task, torchs_task=torchs)
    wide = torchs.to(old.torch_dtype)
    assert_right(added, call, task, torchs_task=wide, added_to=before)
    assert all(gaps_of(tensor).isnan().all() for tensor in added.values())


def gaps_of(tensor: Tensor) -> Tensor:
    """What lies beside its elements."""
    storage = tensor.as_strided((tensor.untyped_storage().nbytes() // tensor.itemsize,), (1,), 0)
    is_gap = torch.ones_like(storage, dtype=torch.bool)
    is_gap.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).fill_(False)
    return storage[is_gap]


class Activated(NamedTuple):
    """A call of which dz is the gradient of y, and where what was saved of the forward lies."""

    call: Call
    saved: Memory


@st.composite
def activated_calls(draw: st.DrawFn, **options) -> Activated:
    call = draw_call(draw, **options)
    return Activated(call, draw_memory(draw, call.shapes[3]))


def prove_activation_gradient(activated: Activated, where: Where) -> None:
    call, memory = activated
    dy = call.operands(where.device).dz
    saved = call._replace(seed=call.seed + 1).tensor(dy.shape, memory, where.device)
    with where.in_force():
        dz = ops.activation_backward(dy, saved, call.activation)
    assert dz.is_contiguous()
    assert_activation_gradient(dz, call, dy, saved)
