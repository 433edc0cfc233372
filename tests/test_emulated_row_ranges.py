"""Are products right whose rows differ from step to step, as in a packed sequence?

Each step is compared with torch's product of its own rows. Rows of no step are NaN: no result may
become it, and none of theirs anything else. That only sm90 reads them the emulator sees to.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cases
import emulator
import pytest
import torch
from emulated import KERNELS, SM90_KERNELS, Kernel
from emulator import EmulatorError
from emulator.structs import BackwardProblem, RowRanges, View3, dtype_index
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torchs_bmm import torchs_bmm

BELOW_SM90 = [kernel for kernel in KERNELS if kernel.takes_ranges]
OF_SM90 = [kernel for kernel in SM90_KERNELS if kernel.takes_ranges]
HALF_OF_SM90 = [kernel for kernel in OF_SM90 if kernel.dtype is torch.float16]
SMALL_OF_SM90 = HALF_OF_SM90[-1]

# Which rows a step has is the same question whatever the elements are.
IN_ONE_DTYPE = [
    kernel
    for kernel in BELOW_SM90
    if kernel.dtype is (torch.float16 if kernel.family == "sm80" else torch.float32)
]

each_kernel = pytest.mark.parametrize("kernel", BELOW_SM90, ids=str)
each_in_one_dtype = pytest.mark.parametrize("kernel", IN_ONE_DTYPE, ids=str)
each_of_all_in_one_dtype = pytest.mark.parametrize("kernel", IN_ONE_DTYPE + HALF_OF_SM90, ids=str)


class Rows(NamedTuple):
    """Of each step, among `total` rows."""

    total: int
    begin: tuple[int, ...]
    count: tuple[int, ...]

    @property
    def ranges(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        return self.begin, self.count

    @property
    def steps(self) -> int:
        return len(self.begin)

    def __iter__(self) -> Iterator[slice]:
        for begin, count in zip(*self.ranges, strict=True):
            inside = min(max(begin, 0), self.total)
            yield slice(inside, min(inside + max(count, 0), self.total))

    def belong_to_a_step(self) -> Tensor:
        belongs = torch.zeros(self.total, dtype=torch.bool)
        for own in self:
            belongs[own] = True
        return belongs


def packed(*count: int) -> Rows:
    """Step behind step, as torch's packed sequences have them."""
    begin = itertools.accumulate(count, initial=0)
    return Rows(sum(count), tuple(begin)[:-1], count)


def rows_of(kernel: Kernel) -> dict[str, Rows]:
    m, k = kernel.facts.block_m, kernel.facts.block_k
    return {
        "falling": packed(5, 5, 3, 1),
        "around_the_tile": packed(m + 1, m, m - 1, 1, 2 * m),
        "around_a_stage_of_terms": packed(k + 1, k, k - 1, 4 * k, 1),
        "empty_steps": packed(0, 3, 0, 0, m + 4, 0),
        "no_row": packed(0, 0, 0),
        "one_step": packed(m + 3),
        "one_step_of_many": packed(0, 0, 7, 0),
        "many_steps": packed(*(max(9 - t // 12, 0) for t in range(300))),
        "more_steps_than_threads": packed(*(t % 3 for t in range(257))),
        "as_many_steps_as_threads": packed(*(t % 2 for t in range(128))),
        "long_ones_among_many": packed(*(2 * m + 1 if t % 64 == 31 else 1 for t in range(128))),
        "gaps": Rows(m + 40, (2, 9, 33), (3, 4, m + 2)),
        "unordered": Rows(m + 12, (m + 7, 0, m), (5, m, 7)),
        "beyond_the_rows": Rows(12, (0, 4, 12, 99, -3), (4, 100, 3, 1, -1)),
    }


# What one of sm90's kernels does with many steps, all do.
ABOUT_TILES = ("around_the_tile", "around_a_stage_of_terms", "gaps", "beyond_the_rows", "no_row")


def cases_of(kernel: Kernel) -> Iterable[str]:
    if kernel in IN_ONE_DTYPE:
        return rows_of(kernel)
    about_sm80 = {"many_steps", "as_many_steps_as_threads"}
    return sorted(rows_of(kernel).keys() - about_sm80) if kernel == SMALL_OF_SM90 else ABOUT_TILES


CASES = [(kernel, case) for kernel in BELOW_SM90 + OF_SM90 for case in cases_of(kernel)]


class Arguments(NamedTuple):
    x: Tensor  # (B, I)
    weight: Tensor  # (T, I, O)
    bias: Tensor  # (T, O)
    dz: Tensor  # (B, O)


def arguments(kernel: Kernel, rows: Rows, i: int, o: int) -> Arguments:
    """As large as asked for, or what TMA needs."""
    if kernel.family == "sm90":
        i, o = (-(-size // 8) * 8 for size in (i, o))
    new = cases.New(kernel.dtype, "cpu")
    b, t = rows.total, rows.steps
    x, dz, belongs = new(b, i), new(b, o), rows.belong_to_a_step()
    x[~belongs] = dz[~belongs] = torch.nan
    return Arguments(x, new(t, i, o), new(t, o), dz)


def sizes_of(kernel: Kernel, rows: Rows) -> tuple[int, int]:
    """More than a tile of columns, or few where there are many weights."""
    return (5, 6) if rows.steps > 100 else (2 * kernel.facts.block_k + 3, kernel.facts.block_n + 5)


def wishes_of(kernel: Kernel) -> dict[str, int]:
    """Few blocks, where they are not as many as tiles: so that each has several."""
    return {"sms": 3} if kernel.family == "sm90" else {}


def product(a: Tensor, b: Tensor) -> Tensor:
    return torchs_bmm(a[None], b[None])[0]


def forward_by_step(rows: Rows, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    z = torch.full((rows.total, weight.size(2)), torch.nan, dtype=x.dtype)
    for t, own in enumerate(rows):
        z[own] = product(x[own], weight[t]) + bias[t]
    return z


def backward_by_step(rows: Rows, dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    dx, dweight = torch.full_like(x, torch.nan), torch.zeros_like(weight)
    for t, own in enumerate(rows):
        dx[own] = product(dz[own], weight[t].mT)
        dweight[t] = product(x[own].mT, dz[own])
    return dx, dweight


def column_sums_by_step(rows: Rows, dz: Tensor) -> Tensor:
    return torch.stack([dz[own].sum(0) for own in rows])


def assert_rows_as_close_as_torch(rows: Rows, actual: Tensor, torchs: Tensor, exact: Tensor):
    belongs = rows.belong_to_a_step()
    assert actual[~belongs].isnan().all()
    assert_as_close_as_torch(actual[belongs], torchs[belongs], exact[belongs])


def assert_forward_matches_fp64(kernel: Kernel, rows: Rows, args: Arguments, **options):
    x, weight, bias, _ = args
    options |= wishes_of(kernel)
    y, z = kernel.forward(x, weight, bias, "relu", rows=rows.ranges, want_z=True, **options)
    torchs = forward_by_step(rows, kernel.as_multiplied(x), kernel.as_multiplied(weight), bias)
    exact = forward_by_step(rows, x.double(), weight.double(), bias.double())
    assert_rows_as_close_as_torch(rows, z, torchs, exact)
    assert_rows_as_close_as_torch(rows, y, torchs.relu(), exact.relu())


def assert_gradients_match_fp64(kernel: Kernel, rows: Rows, args: Arguments, mask=None, **options):
    x, weight, _, dz = args
    mask = mask or (True, True, True)
    options |= wishes_of(kernel)
    dx, dweight, dbias = kernel.backward(dz, x, weight, mask, rows=rows.ranges, **options)
    assert [result is not None for result in (dx, dweight, dbias)] == list(mask)
    torchs = backward_by_step(rows, *map(kernel.as_multiplied, (dz, x, weight)))
    exact = backward_by_step(rows, dz.double(), x.double(), weight.double())
    if dx is not None:
        assert_rows_as_close_as_torch(rows, dx, torchs[0], exact[0])
    if dweight is not None:
        assert_as_close_as_torch(dweight, torchs[1], exact[1])
        empty = [t for t, own in enumerate(rows) if own.start == own.stop]
        assert torch.count_nonzero(dweight[empty]) == 0
    if dbias is not None:
        sums = column_sums_by_step(rows, dz), column_sums_by_step(rows, dz.double())
        assert_as_close_as_torch(dbias, *sums)


@pytest.mark.parametrize(("kernel", "case"), CASES, ids=str)
def test_both_match_fp64_step_by_step(kernel: Kernel, case: str):
    rows = rows_of(kernel)[case]
    args = arguments(kernel, rows, *sizes_of(kernel, rows))
    assert_forward_matches_fp64(kernel, rows, args)
    if kernel.has_backward and not (kernel.family == "sm90" and rows.total == 0):
        assert_gradients_match_fp64(kernel, rows, args)


@each_of_all_in_one_dtype
def test_what_a_step_has_does_not_reach_the_others(kernel: Kernel):
    rows = packed(5, 67, 0, 3)
    x, weight, bias, dz = arguments(kernel, rows, 40, 40)
    wishes = {"rows": rows.ranges, **wishes_of(kernel)}

    def results() -> list[Tensor]:
        y, _ = kernel.forward(x, weight, bias, **wishes)
        dx, dweight, dbias = kernel.backward(dz, x, weight, **wishes)
        return [y[others], dx[others], dweight[[0, 2, 3]], dbias[[0, 2, 3]]]

    step = list(rows)[1]
    others = [row for row in range(rows.total) if not step.start <= row < step.stop]
    expected = results()
    x[step], dz[step] = torch.inf, torch.nan
    assert all(map(torch.equal, results(), expected))


@pytest.mark.parametrize("mask", list(itertools.product([True, False], repeat=3)), ids=str)
@each_of_all_in_one_dtype
def test_backward_forms_any_subset_of_the_gradients(kernel: Kernel, mask: tuple[bool, ...]):
    rows = packed(67, 0, 20, 3)
    assert_gradients_match_fp64(kernel, rows, arguments(kernel, rows, 37, 71), mask)
    assert emulator.default_library().counters.launches == int(any(mask))


@each_of_all_in_one_dtype
def test_sums_that_a_caller_wants_split_match_fp64(kernel: Kernel):
    rows = packed(5 * kernel.facts.block_k + 1, 2, 0, 67)
    args = arguments(kernel, rows, 3 * kernel.facts.block_k, 40)
    assert_forward_matches_fp64(kernel, rows, args, splits=(3, 1))
    assert emulator.default_library().counters.launches == 1
    assert_gradients_match_fp64(kernel, rows, args, splits=(3, 4))


@pytest.mark.parametrize("outputs", ["padded", "strided", "transposed"])
@each_in_one_dtype
def test_rows_and_results_in_any_layout(kernel: Kernel, outputs: str):
    rows = Rows(kernel.facts.block_m + 9, (5, 0), (kernel.facts.block_m + 2, 3))
    args = arguments(kernel, rows, 35, kernel.facts.block_n + 6)
    strided = args._replace(
        x=args.x.mT.contiguous().mT, dz=args.dz.repeat(1, 2)[:, : args.dz.size(1)]
    )
    assert_forward_matches_fp64(kernel, rows, strided, outputs=outputs)
    assert_gradients_match_fp64(kernel, rows, strided, outputs=outputs)


@each_kernel
def test_rows_of_a_padded_batch(kernel: Kernel):
    """Of a batch whose samples are sorted, the longest first: the first so many at each step."""
    count = (kernel.facts.block_m + 3, 5, 5, 0)
    rows, args = packed(*count), arguments(kernel, packed(*count), 35, kernel.facts.block_n + 6)
    ranges = (0,) * len(count), count

    def padded(of_steps: Tensor) -> Tensor:
        batch = torch.full((count[0] + 2, len(count), of_steps.size(1)), torch.nan).to(of_steps)
        for t, own in enumerate(rows):
            batch[: count[t], t] = of_steps[own]
        return batch

    def unpadded(batch: Tensor) -> Tensor:
        own = torch.cat([batch[: count[t], t] for t in range(len(count))])
        assert batch.isnan().sum() == batch.numel() - own.numel()  # of the others none is written
        return own

    x, dz = padded(args.x), padded(args.dz)
    y, _ = kernel.forward(x, args.weight, args.bias, rows=ranges)
    dx, dweight, dbias = kernel.backward(dz, x, args.weight, rows=ranges)
    multiplied = [kernel.as_multiplied(tensor) for tensor in (args.dz, args.x, args.weight)]
    exact = [tensor.double() for tensor in (args.dz, args.x, args.weight)]
    assert_as_close_as_torch(
        unpadded(y),
        forward_by_step(rows, *multiplied[1:], args.bias),
        forward_by_step(rows, *exact[1:], args.bias.double()),
    )
    torchs, exacts = (backward_by_step(rows, *tensors) for tensors in (multiplied, exact))
    assert_as_close_as_torch(unpadded(dx), torchs[0], exacts[0])
    assert_as_close_as_torch(dweight, torchs[1], exacts[1])
    sums = column_sums_by_step(rows, args.dz), column_sums_by_step(rows, args.dz.double())
    assert_as_close_as_torch(dbias, *sums)


@pytest.mark.parametrize("kernel", HALF_OF_SM90, ids=str)
def test_rows_and_results_with_gaps_where_tma_takes_them(kernel: Kernel):
    rows = Rows(kernel.facts.block_m + 9, (5, 0), (kernel.facts.block_m + 2, 3))
    args = arguments(kernel, rows, 40, kernel.facts.block_n + 8)
    gaps = args._replace(x=args.x.repeat(1, 2)[:, : args.x.size(1)])
    assert_forward_matches_fp64(kernel, rows, gaps, outputs="padded")
    assert_gradients_match_fp64(kernel, rows, gaps, outputs="padded")
    odd = torch.full((rows.total, args.dz.size(1) + 1), torch.nan, dtype=kernel.dtype)
    odd[:, 1:] = args.dz
    assert_gradients_match_fp64(kernel, rows, gaps._replace(dz=odd[:, 1:]))
    assert emulator.default_library().counters.launches == 2  # the first copies dz


@pytest.mark.in_turn
@pytest.mark.slow
@each_of_all_in_one_dtype
def test_every_schedule_gives_the_same_bits(kernel: Kernel):
    rows = packed(*(t % 5 * 7 for t in range(11)))
    x, weight, bias, dz = arguments(kernel, rows, 70, 33)
    results = []
    for schedule in emulator.schedules():
        wishes = {"rows": rows.ranges, "schedule": schedule, **wishes_of(kernel)}
        y, _ = kernel.forward(x, weight, bias, "gelu", **wishes)
        results.append((y, *kernel.backward(dz, x, weight, **wishes)))
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


@pytest.mark.parametrize(
    "kernel", [kernel for kernel in IN_ONE_DTYPE if kernel.family != "tiny"], ids=str
)
def test_no_tile_is_spent_on_rows_that_a_step_does_not_have(kernel: Kernel):
    rows = packed(300, *[1] * 20)
    x, weight, bias, _ = arguments(kernel, rows, 8, kernel.facts.block_n + 1)
    kernel.forward(x, weight, bias, rows=rows.ranges)
    most = (rows.total // kernel.facts.block_m + rows.steps) * 2
    assert 0 < emulator.default_library().counters.blocks <= most


def packed_problem(total: int, most: int) -> BackwardProblem:
    """Of contiguous tensors that are nowhere."""
    _, _, i, o = sizes = 9, 3, 8, 16
    rows, weight = View3(64, (i, 0, 1)), View3(64, (i * o, o, 1))
    return BackwardProblem(
        *sizes,
        dtype=dtype_index(torch.float16),
        rows=RowRanges(64, 64, total, most),
        dz=View3(64, (o, 0, 1)),
        x=rows,
        weight=weight,
        dx=rows,
        dweight=weight,
    )


def test_the_plan_cache_tells_batches_of_other_rows_apart():
    library = emulator.default_library()
    known = [(9, 9), (9, 5), (6, 5)]
    for one, other in itertools.product(known, known):
        shares = library.share_a_plan(packed_problem(*one), packed_problem(*other))
        assert shares == (one == other)


@pytest.mark.parametrize("total", [0, 6, 9])
def test_rows_of_no_step_do_not_count_as_read_or_written(total: int):
    t, i, o = 3, 8, 16
    expected = 2 * (total * (o + 2 * i) + 2 * t * i * o)  # dz, x, dx; weight, dweight
    assert emulator.default_library().bytes_of(packed_problem(total, total)) == expected


def refusal(x: Tensor, weight: Tensor, rows: Rows, **wishes) -> str:
    with pytest.raises(EmulatorError) as caught:
        emulator.forward(x, weight, rows=rows.ranges, kernel="sm90", **wishes)
    assert caught.value.kind == "choice"
    return caught.value.message


def test_other_tiles_of_sm90_refuse_rows_that_differ_by_step():
    x, weight = torch.ones(8, 16).half(), torch.ones(2, 16, 8).half()
    for kernel in SM90_KERNELS:
        if not kernel.takes_ranges and kernel.dtype is torch.float16:
            refusal(x, weight, packed(4, 4), tile=kernel.tile)


def test_sm90_refuses_rows_of_more_than_one_matrix():
    x, weight = torch.ones(8, 2, 16).half(), torch.ones(2, 16, 8).half()
    told = "x.stride(1) = 16 is not 0: sm90 needs rows that differ by step to be of one matrix"
    assert told in refusal(x, weight, packed(4, 4))


def test_the_chooser_weighs_the_tiles_of_sm90_that_take_ranges():
    rows = packed(*[200] * 16)
    x, weight, bias, _ = arguments(SMALL_OF_SM90, rows, 512, 512)
    library = emulator.default_library()
    emulator.forward(x, weight, bias, rows=rows.ranges)
    chosen = library.families[library.choice.family], library.choice.tile
    assert chosen in [("sm90", kernel.tile) for kernel in HALF_OF_SM90]
