"""Do the kernels find elements beyond 2^31 and 2^33, by their own arithmetic?

Of problems that are larger than the machine a few blocks run; all memory is virtual, but for the
pages that they touch. Values are small integers, whose sums are exact in every dtype.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import emulator
import pytest
import torch
from emulated import ALL, KERNELS, SM90_KERNELS, Kernel
from emulator import sparse
from torch import Tensor

EVERY_KERNEL = [*KERNELS, *SM90_KERNELS]

MORE_THAN_ANY_GPU = 2**31 - 1  # multiprocessors, so that a persistent grid has a block an item


def mask_of(kernel: Kernel) -> tuple[bool, bool, bool]:
    return ALL if kernel.has_backward else (True, False, False)


def units(*shape: int) -> Tensor:
    return torch.randint(-1, 2, shape).double()


def assert_forward(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor) -> None:
    exact = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias.double()
    assert torch.equal(y.double(), exact)


def assert_gradients(gradients: Sequence[Tensor | None], dz: Tensor, x: Tensor, w: Tensor) -> None:
    dz, x, w = dz.double(), x.double(), w.double()
    exact = (
        torch.einsum("bto,tio->bti", dz, w),
        torch.einsum("bti,bto->tio", x, dz),
        dz.sum(0),
    )
    for result, expected in zip(gradients, exact, strict=True):
        assert result is None or torch.equal(result.double(), expected)


# Strides beyond 32 bits

FAR_DIMS = {
    "batch": ((0,), (0,), (0,)),
    "steps": ((1,), (0,), (1,)),
    "steps and batch": ((1, 0), (1, 0), (1, 0)),
    "batch and steps": ((0, 1), (0, 1), (0, 1)),
    "features": ((2,), (2,), (2,)),
}
"""Of x, of weight and of dz: those along which neighbours lie 2^31 + 64 elements apart, or more."""


def takes(kernel: Kernel, dims: str) -> bool:
    """TMA wants contiguous rows, and steps under 2^40 bytes, which is 2^38 elements or more. One
    dtype is enough for what is not about the width of elements."""
    if kernel.dtype is not torch.float16:
        return dims == "batch"
    return kernel.family != "sm90" or dims in ("batch", "steps")


def far(kernel: Kernel, *shape: int, dims: Sequence[int]) -> Tensor:
    return sparse.far(shape, kernel.dtype, *dims).copy_(units(*shape))


@pytest.mark.parametrize(
    ("kernel", "dims"),
    [(kernel, dims) for kernel in EVERY_KERNEL for dims in FAR_DIMS if takes(kernel, dims)],
    ids=str,
)
def test_strides_beyond_32_bits(kernel: Kernel, dims: str) -> None:
    b, t, i, o = kernel.facts.block_m + 5, 3, 40, 72
    of_x, of_weight, of_dz = FAR_DIMS[dims]
    x, dz = far(kernel, b, t, i, dims=of_x), far(kernel, b, t, o, dims=of_dz)
    weight, bias = far(kernel, t, i, o, dims=of_weight), far(kernel, t, o, dims=(0,))
    for splits in [(1, 1), (2, 2)] if dims == "batch" else [(1, 1)]:
        options = {"outputs": "far", "splits": splits}
        y, z = kernel.forward(x, weight, bias, want_z=True, **options)
        assert y.stride(0) > 2**31 and (b - 1) * y.stride(0) > 2**33
        for result in (y, z):
            assert_forward(result, x, weight, bias)
        gradients = kernel.backward(dz, x, weight, mask_of(kernel), **options)
        assert_gradients(gradients, dz, x, weight)


# Tensors of billions of elements, of which a few blocks run

BIG = (33, 2**23 + 3, 40, 40)  # B, T, I, O: x, weight and y have more than 2^33 elements
BIG_FOR_TINY = (47, 2**22 + 3, 40, 40)  # which ends there: 4 rows of 2^31 outputs
MANY_TILES = (3, 2**31 + 9, 8, 8)  # more than a grid has blocks: the first ones walk on


def between(low: int, high: int, *shape: int) -> Tensor:
    return torch.randint(low, high + 1, shape).double()


class BigProblem:
    """Zeros, until some steps are filled: then every result there is above 0, and exact."""

    def __init__(self, dtype: torch.dtype, b: int, t: int, i: int, o: int) -> None:
        self.x, self.dz = sparse.zeros((b, t, i), dtype), sparse.zeros((b, t, o), dtype)
        self.weight, self.bias = sparse.zeros((t, i, o), dtype), sparse.zeros((t, o), dtype)

    def fill(self, steps: Tensor) -> None:
        for rows in (self.x, self.dz):
            rows[:, steps] = between(1, 2, len(rows), len(steps), rows.size(2)).to(rows.dtype)
        for parameter in (self.weight, self.bias):
            values = between(1, 3, len(steps), *parameter.shape[1:])
            parameter[steps] = values.to(parameter.dtype)

    def expected(self, name: str, *at: Tensor) -> Tensor:
        """The elements of a result that have these indices."""
        if name in ("y", "z"):
            b, t, o = at
            products = self.x[b, t].double() * self.weight[t, :, o].double()
            return products.sum(1) + self.bias[t, o].double()
        if name == "dx":
            b, t, i = at
            return (self.dz[b, t].double() * self.weight[t, i].double()).sum(1)
        if name == "dweight":
            t, i, o = at
            return (self.x[:, t, i].double() * self.dz[:, t, o].double()).sum(0)
        t, o = at
        return self.dz[:, t, o].double().sum(0)


Results = dict[str, Tensor]


def forward(kernel: Kernel, problem: BigProblem) -> Results:
    y, z = kernel.forward(
        problem.x, problem.weight, problem.bias, want_z=True, outputs="sparse", **UNSPLIT
    )
    return {"y": y, "z": z}


def backward(kernel: Kernel, problem: BigProblem) -> Results:
    mask = mask_of(kernel)
    gradients = kernel.backward(
        problem.dz, problem.x, problem.weight, mask, outputs="sparse", **UNSPLIT
    )
    named = zip(("dx", "dweight", "dbias"), gradients, strict=True)
    return {name: gradient for name, gradient in named if gradient is not None}


UNSPLIT = {"splits": (1, 1), "sms": MORE_THAN_ANY_GPU}
PASSES = {"forward": forward, "backward": backward}
each_pass = pytest.mark.parametrize("run", PASSES.values(), ids=PASSES)


def indices_of(elements: Tensor, result: Tensor) -> list[Tensor]:
    indices = []
    for size in reversed(result.shape):
        indices.append(elements % size)
        elements = elements // size
    return indices[::-1]


def steps_touched(results: Results) -> Tensor:
    steps = [
        indices_of(sparse.written(result), result)[name in ("y", "z", "dx")].unique()
        for name, result in results.items()
    ]
    return torch.cat(steps).unique()


def assert_exact_where_written(results: Results, problem: BigProblem) -> None:
    for name, result in results.items():
        elements = sparse.written(result)
        elements = elements[result.flatten()[elements] != 0]
        at = indices_of(elements, result)
        assert torch.equal(result[tuple(at)].double(), problem.expected(name, *at)), name
    ends = [(result.flatten()[0] != 0, result.flatten()[-1] != 0) for result in results.values()]
    assert all(map(any, zip(*ends, strict=True)))  # the first element of one, the last of one


def assert_blocks_are_exact(
    kernel: Kernel,
    sizes: tuple[int, int, int, int],
    run: Callable[[Kernel, BigProblem], Results],
    blocks: Callable[[int], Sequence[int]],
) -> None:
    problem, library = BigProblem(kernel.dtype, *sizes), emulator.default_library()
    with library.blocks(0):
        run(kernel, problem)
    chosen = blocks(library.plan.blocks)
    with library.blocks(*chosen):
        problem.fill(steps_touched(run(kernel, problem)))
        assert_exact_where_written(run(kernel, problem), problem)
    assert library.counters.blocks == len(chosen) * library.plan.cluster


# Indices are the same whatever the elements: all tiles in float16, of other dtypes one.
IN_16_BITS = [kernel for kernel in EVERY_KERNEL if kernel.dtype is torch.float16]
WIDER = [kernel for kernel in EVERY_KERNEL if kernel.dtype.itemsize > 2 and kernel.tile == 0]


@each_pass
@pytest.mark.parametrize("kernel", [*IN_16_BITS, *WIDER], ids=str)
def test_tensors_of_billions_of_elements(
    kernel: Kernel, run: Callable[[Kernel, BigProblem], Results]
) -> None:
    cluster = max(kernel.facts.cluster, 1)

    def blocks(count: int) -> Sequence[int]:
        middle = count // 2 // cluster * cluster
        return 0, middle - cluster, middle, count - cluster

    sizes = BIG_FOR_TINY if kernel.family == "tiny" else BIG
    assert_blocks_are_exact(kernel, sizes, run, blocks)


@each_pass
@pytest.mark.parametrize(
    "kernel", [kernel for kernel in IN_16_BITS if kernel.family in ("simt", "sm80")], ids=str
)
def test_more_tiles_than_a_grid_has_blocks(
    kernel: Kernel, run: Callable[[Kernel, BigProblem], Results]
) -> None:
    """Block 9 has the last tile of a forward, block 19 that of the two products of a backward."""
    last = 9 if run is forward else 19
    assert_blocks_are_exact(kernel, MANY_TILES, run, lambda count: (0, last))
    assert emulator.default_library().plan.blocks == 2**31 - 1


def test_all_of_more_steps_than_grid_y_has_blocks() -> None:
    """Every element of 70,000 steps; those of every tile are among the billions above."""
    kernel = next(kernel for kernel in IN_16_BITS if kernel.family == "tiny")
    b, t, i, o = 1, 70_000, 4, 8
    x, weight, bias, dz = (
        units(*shape).to(kernel.dtype) for shape in ((b, t, i), (t, i, o), (t, o), (b, t, o))
    )
    y, _ = kernel.forward(x, weight, bias)
    assert_forward(y, x, weight, bias)
    assert_gradients(kernel.backward(dz, x, weight), dz, x, weight)


# Rows of one matrix that belong to steps: packed sequences of billions of rows


def ends_of_rows(kernel: Kernel) -> int:
    """tiny counts rows in 30 bits, TMA in 31."""
    return {"tiny": 2**30, "sm90": 2**31 - 300}.get(kernel.family, 2**33 + 200)


@pytest.mark.parametrize(
    "kernel",
    [kernel for kernel in [*IN_16_BITS, *WIDER] if kernel.takes_ranges and kernel.has_backward],
    ids=str,
)
def test_steps_that_begin_behind_billions_of_rows(kernel: Kernel) -> None:
    rows, i, o = ends_of_rows(kernel), 16, 24
    count = (5, kernel.facts.block_m + 3, 0, 70)
    begin = (0, rows // 2 + 7, 1, rows - 70)
    x, dz = sparse.zeros((rows, i), kernel.dtype), sparse.zeros((rows, o), kernel.dtype)
    assert x.numel() > 2**33 or kernel.family == "tiny"
    weight, bias = units(4, i, o).to(kernel.dtype), units(4, o).to(kernel.dtype)
    of_steps = [slice(first, first + many) for first, many in zip(begin, count, strict=True)]
    for own in of_steps:
        x[own], dz[own] = units(*x[own].shape), units(*dz[own].shape)

    options = {"rows": (begin, count), "outputs": "sparse"}
    y, _ = kernel.forward(x, weight, bias, **options)
    dx, dweight, dbias = kernel.backward(dz, x, weight, **options)
    for t, own in enumerate(of_steps):
        assert_forward(y[own, None], x[own, None], weight[t : t + 1], bias[t : t + 1])
        gradients = dx[own, None], dweight[t : t + 1], dbias[t : t + 1]
        assert_gradients(gradients, dz[own, None], x[own, None], weight[t : t + 1])


# The activation's gradient


@pytest.mark.parametrize("dy_is_expanded", [False, True], ids=["by_vectors", "by_elements"])
def test_activation_backward_of_billions_of_elements(dy_is_expanded: bool) -> None:
    b, t, _, o = BIG
    saved = sparse.zeros((b, t, o), torch.float16)
    dy = torch.full((1, 1, 1), 2.0).half().expand(b, t, o)
    dy = dy if dy_is_expanded else sparse.zeros((b, t, o), torch.float16)
    elements = saved.numel() if dy_is_expanded else saved.numel() // 8
    count = -(-elements // 256)
    with emulator.default_library().blocks(0, count // 2, count - 1):
        dz = emulator.activation_backward(dy, saved, "relu", outputs="sparse")
        touched = sparse.written(dz)
        saved.view(-1)[touched] = between(1, 3, len(touched)).half()
        if not dy_is_expanded:
            dy.view(-1)[touched] = between(1, 200, len(touched)).half()
        dz = emulator.activation_backward(dy, saved, "relu", outputs="sparse")
    written = touched[dz.view(-1)[touched] != 0]
    assert written[0] == 0 and written[-1] == dz.numel() - 1
    assert len(written) == 2 * 256 * (dz.numel() // elements) + elements % 256 * (
        dz.numel() // elements
    )
    at = tuple(indices_of(written, dz))
    assert torch.equal(dz[at], dy[at])


# What a kernel cannot count is refused


@pytest.mark.parametrize(
    ("family", "steps", "reason"),
    [
        ("tiny", 2**28, "tiny needs fewer than 2^31 groups of 4 outputs"),
        ("sm90", 2**30 + 1, "sm90 needs fewer tiles: more than 2^30"),
    ],
)
def test_a_bias_gradient_alone_of_too_many_steps_is_refused(
    family: str, steps: int, reason: str
) -> None:
    """It has no rows of outputs; what is counted is its columns."""
    dz, x = (sparse.zeros((1, steps, columns), torch.float16) for columns in (8, 8))
    weight = torch.zeros(1, 1, 1).half().expand(steps, 8, 8)
    with pytest.raises(emulator.EmulatorError, match=re.escape(reason)) as caught:
        emulator.backward(dz, x, weight, BIAS_ALONE, kernel=family, outputs="sparse")
    assert caught.value.kind == "choice"


BIAS_ALONE = (False, False, True)
