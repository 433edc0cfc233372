"""Are Hopper's gradients right, of both products in one launch?

As test_emulated_sm90.py has it of the forward. Rows are the terms of grad-weight, O is the terms of
grad-input, and I the columns of the one and the rows of the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cases
import emulator
import pytest
import torch
from emulated import SM90_KERNELS, Gradients, Kernel, Sizes, assert_gradients_match_fp64
from test_emulated_kernels import MASKS, assert_same_specials, units
from test_emulated_sm90 import LAYOUTS, rows_of
from torch import Tensor

HALF, BRAIN = torch.float16, torch.bfloat16
KERNELS = [kernel for kernel in SM90_KERNELS if kernel.dtype is HALF]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
CLUSTERS, BY_TURNS, SMALL = KERNELS[0], KERNELS[3], KERNELS[-1]
# For what the tensor maps alone know: how tensors lie in memory.
one_kernel_of_each_kind = pytest.mark.parametrize("kernel", [CLUSTERS, BY_TURNS, SMALL], ids=str)

Mask = tuple[bool, bool, bool]
INPUT, WEIGHT, BIAS = (True, False, False), (False, True, False), (False, False, True)


class Operands(NamedTuple):
    dz: Tensor  # (B, T, O)
    x: Tensor  # (B, T, I)
    weight: Tensor  # (T, I, O)


def operands(sizes: Sizes, dtype: torch.dtype = HALF) -> Operands:
    b, t, i, o = sizes
    new = cases.New(dtype, "cpu")
    return Operands(new(b, t, o), new(b, t, i), new(t, i, o))


def edges(kernel: Kernel) -> dict[str, Sizes]:
    """B is anything."""
    m, n, stages = rows_of(kernel), kernel.facts.block_n, kernel.facts.stages
    k = kernel.facts.block_k
    return {
        "least": (1, 1, 8, 8),
        "one_tile_of_grad_input": (m, 1, n, k),
        "one_tile_of_grad_weight": (k, 1, m, n),
        "several_tiles": (2 * m, 2, m + n, 2 * n),
        "b_less_1": (m - 1, 2, 8, k),
        "b_plus_1": (m + 1, 2, 8, k),
        "b_ends_in_the_first_64_rows": (m // 2 + 1, 2, 8, 8),
        "terms_of_b_less_1": (k - 1, 2, k, k),
        "terms_of_b_plus_1": (k + 1, 2, k, k),
        "few_rows": (3, 2, m, n),
        "i_less_a_chunk": (3, 2, m - 8, 8),
        "i_plus_a_chunk": (9, 2, m + 8, 8),
        "columns_of_i_less_a_chunk": (3, 2, n - 8, k - 8),
        "columns_of_i_plus_a_chunk": (3, 2, n + 8, k + 8),
        "i_ends_with_a_panel": (3, 2, m + k, 8),
        "o_less_a_chunk": (3, 2, 8, n - 8),
        "o_plus_a_chunk": (3, 2, 8, n + 8),
        "o_ends_with_a_panel": (3, 2, 8, n + k),
        "ring_full": (stages * k, 2, 8, stages * k),
        "ring_once_more": (stages * k + 1, 2, 8, (stages + 1) * k),
        "ring_twice": (2 * stages * k + 3, 1, 8, 2 * stages * k + 8),
        "ragged": (m + 3, 3, m + 24, n + 40),
        "many_steps": (3, 70, 8, 8),
    }


@pytest.mark.parametrize(
    ("kernel", "edge"),
    [(kernel, edge) for kernel in KERNELS for edge in edges(KERNELS[0])],
    ids=str,
)
def test_gradients_match_fp64_at_the_edges_of_the_tile(kernel: Kernel, edge: str) -> None:
    given = operands(edges(kernel)[edge])
    for sms in 0, 2:  # every tile a block, tiles one after another
        assert_gradients_match_fp64(kernel, *given, splits=(1, 1), sms=sms)


@pytest.mark.parametrize("kernel", [k for k in SM90_KERNELS if k.dtype is BRAIN], ids=str)
def test_gradients_match_fp64_in_bfloat16(kernel: Kernel) -> None:
    """Its kernels are those of float16 but for the type that wgmma is told, and stores."""
    given = operands(edges(kernel)["ragged"], BRAIN)
    for splits in (1, 1), (2, 2):
        assert_gradients_match_fp64(kernel, *given, splits=splits, sms=2)


@pytest.mark.parametrize("splits", [(1, 1), (2, 2)], ids="splits_{0[0]}_{0[1]}".format)
@each_kernel
def test_any_subset_of_the_gradients_has_the_bits_of_all(
    kernel: Kernel, splits: tuple[int, int]
) -> None:
    """Also each product alone. Of dbias without dweight, the list has the column sums alone."""
    library = emulator.default_library()
    given = operands((67, 2, rows_of(kernel) + 8, kernel.facts.block_n + 8))
    assert_gradients_match_fp64(kernel, *given, splits=splits, sms=4)
    every = kernel.backward(*given, splits=splits, sms=4)
    for mask in MASKS:
        some = kernel.backward(*given, mask, splits=splits, sms=4)
        for wanted, own, others in zip(mask, some, every, strict=True):
            assert torch.equal(own, others) if wanted else own is None
        assert library.counters.launches == library.plan.launches
        assert library.plan.launches == (max(splits) if any(mask) else 0)


def parts(terms: int, splits: int) -> int:
    """Of a sum: none is without terms, and a whole one leaves none."""
    k_blocks = -(-terms // 64)
    used = -(-k_blocks // -(-k_blocks // splits))
    return used if used > 1 else 0


@pytest.mark.parametrize(
    "splits", [(1, 3), (2, 1), (2, 3), (1000, 1000)], ids="splits_{0[0]}_{0[1]}".format
)
@each_kernel
def test_split_sums_match_fp64(kernel: Kernel, splits: tuple[int, int]) -> None:
    library = emulator.default_library()
    b, t, i, o = sizes = 5 * 64 + 3, 2, kernel.facts.block_n + 8, 4 * 64 + 24
    assert_gradients_match_fp64(kernel, *operands(sizes), splits=splits, sms=4)
    assert library.counters.launches == 2
    floats = parts(o, splits[0]) * b * t * i + parts(b, splits[1]) * t * (i * o + o)
    assert library.plan.workspace_bytes == 4 * floats


@each_kernel
def test_long_sums_match_fp64(kernel: Kernel) -> None:
    for sizes, splits in (
        ((4099, 1, 8, 8), (1, 1)),
        ((9, 1, 8, 2056), (3, 1)),
    ):
        assert_gradients_match_fp64(kernel, *operands(sizes), splits=splits)


@pytest.mark.parametrize("splits", [(1, 1), (3, 2)], ids="splits_{0[0]}_{0[1]}".format)
@each_kernel
def test_small_integers_come_out_exactly(kernel: Kernel, splits: tuple[int, int]) -> None:
    b, t, i, o = 133, 2, kernel.facts.block_n + 16, 208
    dz, x, weight = (units(*shape, dtype=HALF) for shape in ((b, t, o), (b, t, i), (t, i, o)))
    dx, dweight, dbias = kernel.backward(dz, x, weight, splits=splits, sms=2)
    assert torch.equal(dx.double(), torch.einsum("bto,tio->bti", dz.double(), weight.double()))
    assert torch.equal(dweight.double(), torch.einsum("bti,bto->tio", x.double(), dz.double()))
    assert torch.equal(dbias.double(), dz.double().sum(0))


@pytest.mark.in_turn
@pytest.mark.slow
@pytest.mark.parametrize("splits", [(1, 1), (2, 2)], ids="splits_{0[0]}_{0[1]}".format)
@each_kernel
def test_every_schedule_gives_the_same_bits(kernel: Kernel, splits: tuple[int, int]) -> None:
    """One cluster computes all there is."""
    given = operands((70, 3, 72, 136))
    results = [
        kernel.backward(*given, splits=splits, sms=kernel.facts.cluster, schedule=name)
        for name in emulator.schedules()
    ]
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
@each_kernel
def test_nan_and_infinity_go_where_torch_lets_them(kernel: Kernel, special: float) -> None:
    dz, x, weight = operands((70, 2, 40, 24))
    x[1, 0, 2] = x[-1, -1, -1] = weight[1, 7, 5] = dz[3, 0, 4] = dz[-1, -1, -1] = special
    dz[2, 1, 3], dz[60, 1, 3] = torch.inf, -torch.inf  # their sum is NaN
    expected = (
        torch.einsum("bto,tio->bti", dz.double(), weight.double()),
        torch.einsum("bti,bto->tio", x.double(), dz.double()),
        dz.sum(0),
    )
    for actual, torchs in zip(kernel.backward(dz, x, weight, sms=2), expected, strict=True):
        assert_same_specials(actual, torchs)


@pytest.mark.parametrize("sms", [2, 3, 4, 5, 7, 8])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("kernel", [CLUSTERS, BY_TURNS, SMALL], ids=str)
def test_every_item_is_dealt_out(kernel: Kernel, steps: int, sms: int) -> None:
    """Long items, each a step's gradient of weight, end in every place of a round; the short ones
    are many, a few, or fewer than those that wait for them."""
    for batch in 600, 200:
        given = operands((batch, steps, 40, 8))
        assert_gradients_match_fp64(kernel, *given, splits=(1, 1), sms=sms)
    given = operands((70, steps, 8, 600))  # the gradient of x is the long one
    assert_gradients_match_fp64(kernel, *given, splits=(1, 1), sms=sms)


def test_a_persistent_grid_is_as_large_as_the_gpu() -> None:
    library = emulator.default_library()
    given = operands((1, 4, 8, 8))
    for kernel in KERNELS:
        cluster = kernel.facts.cluster
        for sms, blocks in (0, 8 * cluster), (5, 5 // cluster * cluster), (1, cluster):
            kernel.backward(*given, sms=sms)
            assert library.plan.blocks == library.counters.blocks == blocks
            assert library.plan.cluster == cluster


@each_kernel
def test_sizes_of_0(kernel: Kernel) -> None:
    """Without columns of x there is nothing but the gradient of the bias to compute."""
    for sizes, mask in ((3, 0, 8, 8), (True,) * 3), ((0, 2, 8, 8), INPUT), ((3, 2, 8, 0), WEIGHT):
        kernel.backward(*operands(sizes), mask)
        assert emulator.default_library().counters.launches == 0
    for splits in (1, 1), (1, 2):
        assert_gradients_match_fp64(kernel, *operands((70, 2, 0, 24)), splits=splits)


# Layouts.

New = cases.New


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name.endswith(("_x", "_weight"))])
@one_kernel_of_each_kind
def test_gradients_match_fp64_in_layout(kernel: Kernel, layout: str) -> None:
    sizes = (rows_of(kernel) + 3, 3, 88, kernel.facts.block_n + 8)
    changed = LAYOUTS[layout](New(HALF, "cpu"), *sizes)
    given = operands(sizes)._replace(**changed)
    assert_gradients_match_fp64(kernel, *given, splits=(1, 1), sms=2 * kernel.facts.cluster)


DZ_LAYOUTS: dict[str, Callable[[New, int, int, int], Tensor]] = {
    "steps_first": lambda new, b, t, o: new(t, b, o).transpose(0, 1),
    "padded": lambda new, b, t, o: new.like(new.nan(b + 1, 2 * t, o + 16)[1:, ::2, 8:-8]),
    "windows": lambda new, b, t, o: new(b, o + 8 * (t - 1)).unfold(1, o, 8),
    "steps_expanded": lambda new, b, t, o: new(b, 1, o).expand(b, t, o),
}
# What TMA cannot describe.
COPIED_DZ_LAYOUTS: dict[str, Callable[[New, int, int, int], Tensor]] = {
    "of_a_sum": lambda new, b, t, o: new(1, 1, 1).expand(b, t, o),
    "of_a_mean_over_o": lambda new, b, t, o: new(b, t, 1).expand(b, t, o),
    "rows_expanded": lambda new, b, t, o: new(1, t, o).expand(b, t, o),
    "misaligned": lambda new, b, t, o: new(b, t, o, offset=1),
    "odd_rows": lambda new, b, t, o: new.like(new.nan(b, t, o + 4)[..., :o]),
    "odd_steps": lambda new, b, t, o: new.like(new.nan(b, t * o + 4)).as_strided(
        (b, t, o), (t * o + 4, o, 1)
    ),
    "features_first": lambda new, b, t, o: new(b, o, t).transpose(1, 2),
}


@pytest.mark.parametrize("layout", [*DZ_LAYOUTS, *COPIED_DZ_LAYOUTS])
@one_kernel_of_each_kind
def test_dz_may_lie_anyhow(kernel: Kernel, layout: str) -> None:
    """Where TMA cannot describe it, it is copied once, by a launch before the main one."""
    library = emulator.default_library()
    b, t, i, o = sizes = 67, 3, 72, kernel.facts.block_n + 8
    make = (DZ_LAYOUTS | COPIED_DZ_LAYOUTS)[layout]
    given = operands(sizes)._replace(dz=make(New(HALF, "cpu"), b, t, o))
    is_copied = layout in COPIED_DZ_LAYOUTS
    for splits in (1, 1), (1, 2):
        assert_gradients_match_fp64(kernel, *given, splits=splits, sms=4)
        assert library.plan.launches == library.counters.launches == is_copied + splits[1]
        part_bytes = 4 * parts(b, splits[1]) * t * (i * o + o)
        assert library.plan.workspace_bytes == is_copied * b * t * o * 2 + part_bytes


def test_dz_is_copied_for_any_subset_of_the_gradients() -> None:
    given = operands((70, 2, 72, 72))
    contiguous = given._replace(dz=New(HALF, "cpu")(70, 2, 1).expand(70, 2, 72).contiguous())
    expanded = given._replace(dz=contiguous.dz[..., :1].expand(70, 2, 72))
    for mask in MASKS:
        results: list[Gradients] = [SMALL.backward(*o, mask) for o in (contiguous, expanded)]
        for own, others in zip(*results, strict=True):
            assert own is others is None or torch.equal(own, others)
        assert emulator.default_library().counters.launches == (2 if any(mask) else 0)


@pytest.mark.parametrize("terms", [1, 2, 3, 67, 131], ids="I_{}".format)
@one_kernel_of_each_kind
def test_padded_rows_of_x_may_have_any_columns(kernel: Kernel, terms: int) -> None:
    """Where dx, whose rows those would be, is not wanted. What lies behind them is NaN."""
    dz, x, weight = operands((67, 2, terms, 40))
    padded = New(HALF, "cpu").nan(*x.shape[:2], 136)[..., :terms].copy_(x)
    mask = (False, True, True)
    for splits in (1, 1), (1, 2):
        assert_gradients_match_fp64(kernel, dz, padded, weight, mask, splits=splits, sms=2)


@pytest.mark.parametrize("splits", [(1, 1), (2, 2)], ids="splits_{0[0]}_{0[1]}".format)
@each_kernel
def test_gradients_into_padded_rows(kernel: Kernel, splits: tuple[int, int]) -> None:
    """Rows whose gaps must stay as they are."""
    given = operands((rows_of(kernel) + 3, 2, 72, kernel.facts.block_n + 24))
    assert_gradients_match_fp64(kernel, *given, outputs="padded", splits=splits, sms=2)
