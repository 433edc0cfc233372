"""Is a sum split where that keeps a GPU busy, and nowhere else?"""

from __future__ import annotations

import emulator
import pytest
import torch
from plans import ARCHITECTURES, BF16, DTYPE_OF_KERNEL, meta, plan_of

import per_step_dense as psd
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

OF_EVERY_KERNEL = pytest.mark.parametrize("kernel", DTYPE_OF_KERNEL)
OF_EVERY_KERNEL_OF_TILES = pytest.mark.parametrize("kernel", ["simt", "sm80"])


def tiles_of(plan: psd.Plan, rows: int, columns: int) -> int:
    """Of a forward, or of a backward's gradient of weight."""
    block_m, block_n = map(int, plan.tile.rpartition("+")[2].split("x"))
    return -(-rows // block_m) * -(-columns // block_n)


@OF_EVERY_KERNEL_OF_TILES
def test_a_full_gpu_splits_nothing(kernel: str) -> None:
    plan = plan_of(4096, 8, 1024, 1024, kernel=kernel)
    assert plan.splits == (1,)
    assert plan.grid == (8 * tiles_of(plan, 4096, 1024), 1, 1)
    assert (plan.launches, plan.workspace_bytes) == (1, 0)


@OF_EVERY_KERNEL_OF_TILES
def test_a_long_sum_of_few_outputs_is_split(kernel: str) -> None:
    plan = plan_of(64, 1, 8192, 64, kernel=kernel)
    tiles = tiles_of(plan, 64, 64)
    (splits,) = plan.splits
    assert splits == min(8192 // 256, -(-132 * 256 // plan.threads) // tiles)
    assert plan.grid == (tiles * splits, 1, 1)
    assert plan.launches == 2
    assert plan.workspace_bytes == splits * 64 * 64 * 4


@OF_EVERY_KERNEL_OF_TILES
def test_a_block_for_every_multiprocessor_splits_nothing(kernel: str) -> None:
    plan = plan_of(32, 132, 8192, 32, kernel=kernel)  # each step is one tile
    assert (plan.splits, plan.grid) == ((1,), (132, 1, 1))
    assert plan_of(32, 131, 8192, 32, kernel=kernel).splits > (1,)


@OF_EVERY_KERNEL
def test_a_short_sum_is_not_split(kernel: str) -> None:
    plan = plan_of(32, 1, 64, 32, kernel=kernel)
    assert plan.splits == (1,)
    assert plan.workspace_bytes == 0


@OF_EVERY_KERNEL_OF_TILES
def test_the_weight_gradient_of_a_large_batch_is_split(kernel: str) -> None:
    backward = plan_of(65536, 2, 16, 16, kernel=kernel).backward
    of_x, of_weight = backward.splits
    assert of_x == 1
    assert 132 // (2 * tiles_of(backward, 16, 16)) <= of_weight <= 65536 // 256
    k_tiles = 65536 // (64 // DTYPE_OF_KERNEL[kernel].itemsize)
    parts = -(-k_tiles // -(-k_tiles // of_weight))  # a split has whole k-tiles
    assert backward.workspace_bytes == parts * 2 * (16 * 16 + 16) * 4


@OF_EVERY_KERNEL
def test_splits_are_the_same_on_every_gpu(kernel: str) -> None:
    sizes = [(64, 1, 4096, 64), (2, 3, 3000, 500), (65536, 10, 4, 8), (5000, 7, 33, 17)]
    for shape in sizes:
        if kernel == "tiny" and shape[0] > 4 and shape[2] * shape[3] > 4096:
            continue
        splits_of_tile: dict[str, set[object]] = {}
        for arch in ARCHITECTURES:
            plan = plan_of(*shape, arch=arch, kernel=kernel)
            splits_of_tile.setdefault(plan.tile, set()).add(plan.splits)
            splits_of_tile.setdefault("b" + plan.backward.tile, set()).add(plan.backward.splits)
        assert all(len(splits) == 1 for splits in splits_of_tile.values())


def plan_of_sm90(b: int, t: int, i: int, o: int, arch: str = "sm_90") -> psd.Plan:
    with psd.use_kernel("sm90"):
        shapes = (b, t, i), (t, i, o)
        return psd.explain(*(meta(*shape, dtype=BF16) for shape in shapes), arch=arch)


def test_a_persistent_grid_splits_what_leaves_it_idle_and_never_into_second_turns() -> None:
    plan = plan_of_sm90(64, 1, 8192, 64)  # one tile of whatever size
    assert plan.splits == (32,)  # of at least 256 terms
    assert plan.grid == (32 * plan.cluster, 1, 1)
    assert (plan.launches, plan.workspace_bytes) == (2, 32 * 64 * 64 * 4)
    halves = plan_of_sm90(64, 66, 4096, 64)
    assert (halves.splits, halves.grid) == ((2,), (132, 1, 1))
    for steps in 67, 128, 132, 300:
        plan = plan_of_sm90(64, steps, 4096, 64)
        assert (plan.splits, plan.launches) == ((1,), 1)
        assert plan.grid == (min(steps, 132), 1, 1)
    assert plan_of_sm90(64, 1, 256, 64).splits == (1,)


def test_a_list_splits_what_is_longer_than_a_share_of_it() -> None:
    b, i, o = 65536, 64, 64
    backward = plan_of_sm90(b, 1, i, o).backward
    block_m, _ = map(int, backward.tile.split("x")[-2:])
    terms = -(-b // block_m) * o + b  # a tile of the weight's gradient, and those of x's
    assert backward.splits == (1, b * 132 // terms)
    # Beside so many tiles of x's gradient as here, none of its sums is long.
    assert plan_of_sm90(16384, 128, 64, 64).backward.splits == (1, 1)
    # Few of either: both are split.
    assert all(count > 1 for count in plan_of_sm90(2048, 1, 64, 2048).backward.splits)


@pytest.mark.parametrize("kernel", ["sm80", "sm90"])
def test_rows_that_differ_by_step_split_nothing(kernel: str) -> None:
    library = emulator.default_library()
    x, weight = torch.ones(20, 2048, dtype=BF16), torch.ones(2, 2048, 8, dtype=BF16)
    library.forward(x.expand(2, 20, 2048).transpose(0, 1), weight, kernel=kernel)
    assert library.choice.splits[0] > 1
    library.forward(x, weight, rows=((0, 10), (10, 10)), kernel=kernel)
    assert library.choice.splits[:] == [1, 1]
    library.forward(x, weight, rows=((0, 10), (10, 10)))
    assert library.families[library.choice.family] == "sm90"
    library.forward(x.float(), weight.float(), rows=((0, 10), (10, 10)), tf32=True, arch=80)
    assert library.families[library.choice.family] == "sm80"
