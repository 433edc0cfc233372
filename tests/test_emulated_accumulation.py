"""Do the kernels add the gradients of weight and bias to what is there, and nothing else to it?

What is there has the elements' dtype, or for 16-bit elements float32, which must not be rounded on
the way. Guard bands and gaps are those of test_emulated_layouts.py.
"""

from __future__ import annotations

from typing import NamedTuple

import cases
import emulator
import pytest
import torch
from emulated import (
    ALL,
    KERNELS,
    SM90_KERNELS,
    Gradients,
    Kernel,
    Sizes,
    each_of,
    torchs_gradients,
)
from emulator.structs import ADD, ADD_FLOAT32, OVERWRITE, BackwardProblem, View2, View3, dtype_index
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torchs_bmm import torchs_bmm

each_kernel = each_of(KERNELS)


class Backward(NamedTuple):
    dz: Tensor  # (B, T, O)
    x: Tensor  # (B, T, I)
    weight: Tensor  # (T, I, O)


def operands(kernel: Kernel, sizes: Sizes) -> Backward:
    b, t, i, o = sizes
    new = cases.New(kernel.dtype, "cpu")
    return Backward(new(b, t, o), new(b, t, i), new(t, i, o))


def old_gradients(sizes: Sizes, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    _, t, i, o = sizes
    return torch.randn(t, i, o).to(dtype), torch.randn(t, o).to(dtype)


def dtypes_added_to(kernel: Kernel) -> set[torch.dtype]:
    return {kernel.dtype, torch.float32} if kernel.dtype.itemsize == 2 else {kernel.dtype}


def torchs_sums(
    kernel: Kernel, given: Backward, old: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    """What torch makes of dweight and dbias, in the dtype of what they are added to."""
    dtype = old[0].dtype
    dz, x = (kernel.as_multiplied(operand).to(dtype) for operand in (given.dz, given.x))
    product = torchs_bmm(x.permute(1, 2, 0), dz.transpose(0, 1))
    return old[0] + product, old[1] + given.dz.to(dtype).sum(0)


def assert_added(
    kernel: Kernel,
    given: Backward,
    old: tuple[Tensor, Tensor],
    actual: Gradients,
    mask: tuple[bool, bool, bool] = ALL,
) -> None:
    exact = [tensor.double() for tensor in given]
    exact_dx, exact_dweight = torchs_gradients(*exact)
    torchs_dx, _ = torchs_gradients(*map(kernel.as_multiplied, given))
    exacts = (exact_dx, old[0].double() + exact_dweight, old[1].double() + exact[0].sum(0))
    torchs = (torchs_dx, *torchs_sums(kernel, given, old))
    for wanted, *results in zip(mask, actual, torchs, exacts, strict=True):
        if wanted:
            assert_as_close_as_torch(*results)
        else:
            assert results[0] is None


def sizes_of(kernel: Kernel) -> dict[str, Sizes]:
    m, n, k = kernel.facts.weight_m, kernel.facts.weight_n, kernel.facts.block_k
    return {"ragged": (4 * k + 1, 2, m + 3, n + 5), "few_columns": (5 * k, 3, 37, 2)}


@pytest.mark.parametrize(
    ("splits", "outputs"),
    [((1, 1), "padded"), ((3, 3), "contiguous"), ((1, 1), "strided")],
    ids=["padded", "split", "strided"],
)
@each_kernel
def test_gradients_are_added_to_what_is_there(kernel, splits, outputs):
    for sizes in sizes_of(kernel).values():
        given = operands(kernel, sizes)
        for dtype in dtypes_added_to(kernel):
            old = old_gradients(sizes, dtype)
            actual = kernel.backward(*given, added_to=old, splits=splits, outputs=outputs)
            assert_added(kernel, given, old, actual)


@pytest.mark.parametrize("kernel", [k for k in SM90_KERNELS if not k.is_tf32], ids=str)
def test_gradients_are_added_by_what_tma_feeds(kernel: Kernel) -> None:
    """dx is stored by TMA as ever; what is added to may lie anyhow."""
    m, n, k = kernel.facts.weight_m * kernel.facts.cluster, kernel.facts.weight_n, 64
    sizes = (4 * k + 1, 2, m + 8, n + 8)
    given = operands(kernel, sizes)
    without_dx = (False, True, True)
    for dtype in dtypes_added_to(kernel):
        old = old_gradients(sizes, dtype)
        for mask, splits, outputs in (
            (ALL, (1, 1), "contiguous"),
            (ALL, (1, 3), "contiguous"),
            (without_dx, (1, 1), "padded"),
            (without_dx, (1, 1), "strided"),
            ((False, False, True), (1, 1), "contiguous"),
        ):
            actual = kernel.backward(
                *given, mask, added_to=old, splits=splits, outputs=outputs, sms=2
            )
            assert_added(kernel, given, old, actual, mask)


@pytest.mark.parametrize(
    "mask", [(False, True, False), (False, False, True), (True, False, True)], ids=str
)
@each_kernel
def test_a_gradient_that_is_wanted_alone_is_added(kernel, mask):
    sizes = (67, 2, 37, 41)
    given = operands(kernel, sizes)
    for dtype in dtypes_added_to(kernel):
        old = old_gradients(sizes, dtype)
        for splits in (1, 1), (1, 3):
            actual = kernel.backward(*given, mask, added_to=old, splits=splits)
            assert_added(kernel, given, old, actual, mask)


@each_kernel
def test_an_empty_batch_adds_nothing(kernel):
    sizes = (0, 2, 5, 6)
    for dtype in dtypes_added_to(kernel):
        old = old_gradients(sizes, dtype)
        actual = kernel.backward(*operands(kernel, sizes), added_to=old)
        assert all(map(torch.equal, actual[1:], old))


@pytest.mark.parametrize(
    "kernel", [kernel for kernel in KERNELS if kernel.family == "sm80"], ids=str
)
def test_steps_add_their_own_rows(kernel):
    """Step by step as many rows as here; what a step without any is added to stays as it is."""
    begin, count = (0, 17, 17, 34), (17, 0, 17, 9)
    sizes = (43, 4, 33, 40)
    new = cases.New(kernel.dtype, "cpu")
    dz, x, weight = new(43, 40), new(43, 33), new(4, 33, 40)
    for dtype in dtypes_added_to(kernel):
        old = old_gradients(sizes, dtype)
        _, *actual = kernel.backward(dz, x, weight, added_to=old, rows=(begin, count))
        for t in range(4):
            own = slice(begin[t], begin[t] + count[t])
            step = Backward(dz[own].unsqueeze(1), x[own].unsqueeze(1), weight[t : t + 1])
            old_of_step = old[0][t : t + 1], old[1][t : t + 1]
            added = (None, *(gradient[t : t + 1] for gradient in actual))
            assert_added(kernel, step, old_of_step, added, (False, True, True))
        assert all(
            torch.equal(gradient[1], was[1]) for gradient, was in zip(actual, old, strict=True)
        )


@pytest.mark.parametrize("kernel", ["simt", "tiny", "sm80", "sm90"])
def test_the_same_launches_as_without(kernel):
    given = [torch.randn(shape).bfloat16() for shape in ((300, 2, 16), (300, 2, 8), (2, 8, 16))]
    old = old_gradients((300, 2, 8, 16), torch.float32)
    library = emulator.default_library()
    for splits in (1, 1), (1, 3):
        emulator.backward(*given, kernel=kernel, splits=splits)
        launches = library.counters.launches
        emulator.backward(*given, kernel=kernel, splits=splits, added_to=old)
        assert library.counters.launches == launches


# What the chooser sees of it.


def problem(accumulation: int, dtype: torch.dtype = torch.bfloat16) -> BackwardProblem:
    """Of contiguous tensors that are nowhere."""
    _, t, i, o = sizes = 5, 3, 8, 16
    rows, weight = View3(64, (t * i, i, 1)), View3(64, (i * o, o, 1))
    return BackwardProblem(
        *sizes,
        dtype=dtype_index(dtype),
        accumulation=accumulation,
        dz=View3(64, (t * o, o, 1)),
        x=rows,
        weight=weight,
        dx=rows,
        dweight=weight,
        dbias=View2(64, (o, 1)),
    )


def test_the_plan_cache_tells_ways_to_accumulate_apart():
    library = emulator.default_library()
    ways = OVERWRITE, ADD, ADD_FLOAT32
    for one in ways:
        for other in ways:
            assert library.share_a_plan(problem(one), problem(other)) == (one == other)


@pytest.mark.parametrize(
    ("accumulation", "gradient_bytes"), [(OVERWRITE, 2), (ADD, 2 * 2), (ADD_FLOAT32, 2 * 4)]
)
def test_what_is_added_to_is_read_and_written(accumulation, gradient_bytes):
    b, t, i, o = 5, 3, 8, 16
    others = 2 * (b * t * o + 2 * b * t * i + t * i * o)  # dz, x, dx, weight
    expected = others + gradient_bytes * (t * i * o + t * o)
    assert emulator.default_library().bytes_of(problem(accumulation)) == expected
