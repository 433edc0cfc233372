"""Do the kernels compute any call, in any tile, whichever way their threads interleave?

Their own source runs on the CPU, see emulator/README.md; what they read or write beside their
tensors is an error. fuzz/README.md says how to try more, and where a call is put that has failed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import emulator
import torch
from emulated import Gradients
from emulator import EmulatorError
from fuzz.calls import Call, Operands, draw_call
from fuzz.judge import Task, assert_activation_gradient, assert_right
from fuzz.memory import Memory, contiguous, draw_memory
from fuzz.profiles import share
from fuzz.regressions import with_regressions
from fuzz.where import IN_TF32
from fuzz.wishes import SCHEDULES, Room, Wish, draw_wish, rooms
from hypothesis import event, given
from hypothesis import strategies as st
from torch import Tensor

ROOMS, ROOMS_OF_RANGES = rooms(), rooms(takes_ranges=True)


class Emulated(NamedTuple):
    """A call, and who is to compute it."""

    call: Call
    wish: Wish
    into: str | None = None  # the dtype of gradients that are added to


def run(operation: Callable[..., Any], wish: Wish, *arguments: Any, **options: Any) -> Any:
    """None where no kernel takes the call, which some families may say of any that is not made for
    them: tiny of large ones, and the chooser where ATen is to compute it."""
    try:
        result = operation(*arguments, **options, **wish.options)
    except EmulatorError as error:
        if error.kind == "choice" and wish.kernel in ("tiny", "auto"):
            event(f"{wish.kernel} does not take it")
            return None
        raise
    library = emulator.default_library()
    chosen = library.families[library.choice.family]
    assert wish.kernel in ("auto", chosen)
    event(f"computed by {chosen}")
    return result


def torchs(task: Task) -> Task:
    """What torch's products multiply where the last call's family rounded to tfloat32."""
    library = emulator.default_library()
    is_float32 = task.given.x.dtype is torch.float32
    if is_float32 and library.families[library.choice.family] in ("sm80", "sm90"):
        return task._replace(arithmetic=IN_TF32)
    return task


@st.composite
def emulated_calls(draw: st.DrawFn, **options: Any) -> Emulated:
    room = draw(ROOMS)
    return draw_wished_for(draw, room, draw_call(draw, **room.for_calls, **options))


def draw_wished_for(draw: st.DrawFn, room: Room, call: Call) -> Emulated:
    if room.has_tensor_maps and room.kernel.is_tf32:
        call = call._replace(wants=(True, False, False))  # sm90 has no other gradient there
    wide = ["float32"] if call.torch_dtype.itemsize == 2 else []
    into = draw(st.sampled_from([None, None, call.dtype, *wide]))
    return Emulated(call, draw_wish(draw, room), into)


@share(0.4)
@with_regressions
@given(emulated=emulated_calls(), want_z=st.booleans())
def test_emulated_forward(emulated: Emulated, want_z: bool) -> None:
    call, wish, _ = emulated
    x, weight, bias, _ = operands = call.operands()
    results = run(emulator.forward, wish, x, weight, bias, call.activation, want_z=want_z)
    if results is not None:
        y, z = results
        task = Task(operands, call.activation)
        assert_right({"y": y, "z": z}, call, task, torchs_task=torchs(task))


def gradients_of(
    emulated: Emulated, operands: Operands, **options: Any
) -> tuple[Gradients, dict[str, Tensor]] | None:
    """And what those of weight and bias were added to."""
    (call, wish, into), (x, weight, _, dz) = emulated, operands
    added_to = None
    if into is not None:
        _, of_weight, of_bias, _ = call.shapes
        old = call._replace(dtype=into, values=call.values_without_specials)
        added_to = tuple(
            old._replace(seed=call.seed + n).tensor(shape, contiguous(shape))
            for n, shape in enumerate((of_weight, of_bias), start=1)
        )
    results = run(emulator.backward, wish, dz, x, weight, call.wants, added_to=added_to, **options)
    if results is None:
        return None
    assert tuple(result is not None for result in results) == call.wants
    old = dict(zip(("dweight", "dbias"), added_to or (), strict=False))
    return results, old


def assert_gradients_right(
    call: Call, task: Task, gradients: Gradients, old: dict[str, Tensor]
) -> None:
    dx, dweight, dbias = gradients
    assert_right({"dx": dx}, call, task, torchs_task=torchs(task))
    of_sums = torchs(task)
    if old:
        of_sums = of_sums.to(old["dweight"].dtype)
    found = {"dweight": dweight, "dbias": dbias}
    assert_right(found, call, task, torchs_task=of_sums, added_to=old)


@share(0.35)
@with_regressions
@given(emulated=emulated_calls(activations=["none"]))
def test_emulated_backward(emulated: Emulated) -> None:
    operands = emulated.call.operands()
    found = gradients_of(emulated, operands)
    if found is not None:
        assert_gradients_right(emulated.call, Task(operands), *found)


class Ranges(NamedTuple):
    """Which rows a step has, by how many it begins behind the end of the one before and how many
    it has; then in which order the steps take these."""

    gaps: tuple[int, ...]
    counts: tuple[int, ...]
    order: tuple[int, ...]

    @property
    def rows(self) -> tuple[list[int], list[int]]:
        """First row and count of each step."""
        ends = list(
            itertools.accumulate(itertools.chain(*zip(self.gaps, self.counts, strict=True)))
        )
        begin = ends[::2]
        return [begin[n] for n in self.order], [self.counts[n] for n in self.order]

    @property
    def total(self) -> int:
        return sum(self.gaps) + sum(self.counts)

    def belongs(self) -> Tensor:
        """(B, T)"""
        row = torch.arange(self.total).unsqueeze(1)
        begin, count = map(torch.tensor, self.rows)
        return (row >= begin) & (row < begin + count)


STEPS = st.sampled_from([1, 2, 2, 3, 4, 5, 6, 31, 32, 33, 70])
GAPS = st.sampled_from([0, 0, 1, 5])


def draw_ranges(draw: st.DrawFn, edges: Sequence[int]) -> Ranges:
    steps = draw(STEPS)
    near = [n + d for n in edges for d in (-1, 0, 1) if n + d <= 300]
    rows = st.sampled_from([*range(10), *near] if steps <= 6 else range(4))
    has_gaps, is_in_order = draw(st.booleans()), draw(st.booleans())
    return Ranges(
        tuple(draw(GAPS) if has_gaps else 0 for _ in range(steps)),
        tuple(draw(rows) for _ in range(steps)),
        tuple(range(steps) if is_in_order else draw(st.permutations(range(steps)))),
    )


@st.composite
def emulated_ranges(draw: st.DrawFn) -> tuple[Emulated, Ranges]:
    room = draw(ROOMS_OF_RANGES)
    ranges = draw_ranges(draw, room.edges)
    rows_of_steps = ranges.total, len(ranges.counts)
    call = draw_call(draw, **room.for_calls, rows_of_steps=rows_of_steps)
    return draw_wished_for(draw, room, call), ranges


@share(0.2)
@with_regressions
@given(emulated_and_ranges=emulated_ranges())
def test_emulated_row_ranges(emulated_and_ranges: tuple[Emulated, Ranges]) -> None:
    emulated, ranges = emulated_and_ranges
    call, wish, _ = emulated
    x, weight, bias, dz = operands = call.operands()
    present = ranges.belongs()
    x_of_steps, dz_of_steps = (t.unsqueeze(1).expand(-1, call.steps, -1) for t in (x, dz))
    task = Task(Operands(x_of_steps, weight, bias, dz_of_steps), call.activation, present=present)

    def of_steps(rows: Tensor | None) -> Tensor | None:
        """(B, T, .). Rows of no step are not written."""
        if rows is None:
            return None
        assert rows[~present.any(1)].isnan().all()
        return torch.where(present.unsqueeze(2), rows.unsqueeze(1), 0.0)

    options = {"rows": ranges.rows, "want_z": True}
    results = run(emulator.forward, wish, x, weight, bias, call.activation, **options)
    if results is not None:
        y, z = map(of_steps, results)
        assert_right({"y": y, "z": z}, call, task, torchs_task=torchs(task))
    if wish.kernel == "sm90" and (wish.tf32 or ranges.total == 0):
        return  # it has no such gradients in tfloat32, and needs terms to add up
    found = gradients_of(emulated, operands, rows=ranges.rows)
    if found is not None:
        (dx, dweight, dbias), old = found
        gradients = of_steps(dx), dweight, dbias
        assert_gradients_right(call, task._replace(activation="none"), gradients, old)


@st.composite
def activations_gradients(draw: st.DrawFn) -> tuple[Call, Memory, int]:
    """A call of which dz is dy, where what was saved lies, and a schedule."""
    call = draw_call(draw, products=10_000, most=300, several_batch_dims=False)
    return call, draw_memory(draw, call.shapes[3]), draw(st.integers(0, SCHEDULES - 1))


@share(0.05)
@with_regressions
@given(call_and_saved=activations_gradients())
def test_emulated_activation_backward(call_and_saved: tuple[Call, Memory, int]) -> None:
    call, memory, schedule = call_and_saved
    dy = call.operands().dz
    saved = call._replace(seed=call.seed + 1).tensor(dy.shape, memory)
    dz = emulator.activation_backward(dy, saved, call.activation, schedule=schedule)
    assert_activation_gradient(dz, call, dy, saved)


def test_every_schedule_is_drawn() -> None:
    assert len(emulator.schedules()) == SCHEDULES
