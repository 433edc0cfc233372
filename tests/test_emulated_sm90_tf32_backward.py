"""Is the gradient of x right that Hopper's kernels compute in tfloat32?

At every edge of a tile, in every layout that TMA can describe, from operands that are rounded to
the nearest. Other gradients are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import cases
import emulator
import pytest
import torch
from emulated import SM90_KERNELS, Kernel, Sizes, assert_gradients_match_fp64
from emulator import EmulatorError
from test_emulated_kernels import assert_same_specials, units
from test_emulated_tf32 import NANS, ROUNDED
from torch import Tensor

KERNELS = [kernel for kernel in SM90_KERNELS if kernel.is_tf32]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
TF32 = torch.float32
OF_X = (True, False, False)
CHUNK = 4  # elements of 16 bytes: I and O are multiples of it


def of_sizes(b: int, t: int, i: int, o: int) -> dict[str, Tensor]:
    new = cases.New(TF32, "cpu")
    return {"dz": new(b, t, o), "x": new(b, t, i), "weight": new(t, i, o)}


def assert_dx_matches_fp64(kernel: Kernel, arguments: dict[str, Tensor], **options) -> None:
    assert_gradients_match_fp64(kernel, **arguments, mask=OF_X, **options)


def edges(kernel: Kernel) -> dict[str, Sizes]:
    m, n, k = kernel.facts.block_m, kernel.facts.block_n, kernel.facts.block_k
    ring = kernel.facts.stages * k
    return {
        "least": (1, 1, CHUNK, CHUNK),
        "one_tile": (m, 1, n, k),
        "several_tiles": (2 * m, 2, 2 * n, k),
        "b_less_1": (m - 1, 2, n, k),
        "b_plus_1": (m + 1, 2, n, k),
        "b_ends_in_the_first_64_rows": (m // 2 + 1, 2, CHUNK, k),
        "i_less_a_chunk": (3, 2, n - CHUNK, k),
        "i_plus_a_chunk": (3, 2, n + CHUNK, k),
        "i_ends_with_a_panel": (3, 2, n + 32, k),
        "i_ends_with_two_panels": (3, 2, n + 64, k),
        "o_less_a_chunk": (3, 2, n, k - CHUNK),
        "o_plus_a_chunk": (3, 2, n, k + CHUNK),
        "ring_full": (3, 2, CHUNK, ring),
        "ring_once_more": (3, 2, CHUNK, ring + k),
        "ring_twice": (3, 3, CHUNK, 2 * ring + CHUNK),
        "ragged": (m + 3, 3, n + 5 * CHUNK, 2 * k + 3 * CHUNK),
        "many_steps": (3, 70, CHUNK, CHUNK),
    }


@pytest.mark.parametrize("sms", [0, 2], ids=["every_tile_a_block", "tiles_one_after_another"])
@pytest.mark.parametrize(
    ("kernel", "edge"), [(kernel, edge) for kernel in KERNELS for edge in edges(kernel)], ids=str
)
def test_dx_matches_fp64_at_the_edges_of_the_tile(kernel: Kernel, edge: str, sms: int) -> None:
    assert_dx_matches_fp64(kernel, of_sizes(*edges(kernel)[edge]), splits=(1, 1), sms=sms)


@pytest.mark.parametrize("splits", [2, 3, 1000], ids="splits_{}".format)
@each_kernel
def test_split_sums_match_fp64(kernel: Kernel, splits: int) -> None:
    library = emulator.default_library()
    b, t, i, o = kernel.facts.block_m + 2, 2, kernel.facts.block_n + 12, 5 * 32 + 24
    for sms in 0, 2:
        assert_dx_matches_fp64(kernel, of_sizes(b, t, i, o), splits=(splits, 1), sms=sms)
        assert library.counters.launches == 2
    parts = {2: 2, 3: 3, 1000: 6}[splits]  # none is without terms
    assert library.plan.workspace_bytes == parts * b * t * i * 4


@pytest.mark.parametrize("splits", [1, 3], ids="splits_{}".format)
@each_kernel
def test_small_integers_come_out_exactly(kernel: Kernel, splits: int) -> None:
    b, t, i, o = kernel.facts.block_m + 5, 2, kernel.facts.block_n + 16, 208
    dz, weight = units(b, t, o, dtype=TF32), units(t, i, o, dtype=TF32)
    dx, *_ = kernel.backward(dz, torch.empty(b, t, i), weight, OF_X, splits=(splits, 1))
    assert torch.equal(dx.double(), torch.einsum("bto,tio->bti", dz.double(), weight.double()))


@each_kernel
def test_operands_round_to_nearest_with_ties_away_from_zero(kernel: Kernel) -> None:
    values, rounded = torch.tensor([list(ROUNDED), list(ROUNDED.values())])
    places = torch.randint(len(values), (152, 40))
    one = torch.eye(40)

    def gradient(dz: Tensor, weight: Tensor) -> Tensor:
        x = torch.empty(len(dz), 1, len(weight))
        return kernel.backward(dz[:, None], x, weight[None], OF_X)[0][:, 0]

    assert torch.equal(gradient(values[places], one), rounded[places])
    assert torch.equal(gradient(one, values[places]), rounded[places].mT)


@each_kernel
def test_nan_and_infinity_go_where_torch_lets_them(kernel: Kernel) -> None:
    nans = torch.tensor(NANS, dtype=torch.int64).to(torch.int32).view(torch.float32)
    arguments = of_sizes(70, 2, 40, 24)
    dz, weight = arguments["dz"], arguments["weight"]
    for special in (*nans, torch.tensor(torch.inf), torch.tensor(-torch.inf)):
        dz[1, 0, 2] = dz[-1, -1, -1] = weight[1, 7, 5] = special
        dx, *_ = kernel.backward(**arguments, mask=OF_X, splits=(1, 1), sms=2)
        assert_same_specials(dx, torch.einsum("bto,tio->bti", dz, weight))


@pytest.mark.in_turn
@pytest.mark.slow
@pytest.mark.parametrize("splits", [1, 2], ids="splits_{}".format)
@each_kernel
def test_every_schedule_gives_the_same_bits(kernel: Kernel, splits: int) -> None:
    b, o = kernel.facts.block_m + 2, (kernel.facts.stages + 2) * kernel.facts.block_k
    arguments = of_sizes(b, 3, 72, o)
    results = [
        kernel.backward(**arguments, mask=OF_X, splits=(splits, 1), sms=4, schedule=name)[0]
        for name in emulator.schedules()
    ]
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_a_persistent_grid_is_as_large_as_the_gpu() -> None:
    library = emulator.default_library()
    for kernel in KERNELS:
        for sms, blocks in (0, 12), (5, 5), (1, 1):
            kernel.backward(**of_sizes(1, 12, 8, 8), mask=OF_X, splits=(1, 1), sms=sms)
            assert library.plan.blocks == library.counters.blocks == blocks
            assert library.plan.threads == 128 * (1 + kernel.facts.block_m // 64)


@pytest.mark.parametrize(
    ("sizes", "mask"),
    [
        ((0, 2, 8, 8), OF_X),
        ((3, 0, 8, 8), OF_X),
        ((3, 2, 0, 8), OF_X),
        ((3, 2, 8, 8), (False, False, False)),
    ],
    ids=["b_is_0", "t_is_0", "i_is_0", "nothing_is_wanted"],
)
@each_kernel
def test_nothing_is_launched_for_nothing(
    kernel: Kernel, sizes: Sizes, mask: tuple[bool, bool, bool]
) -> None:
    kernel.backward(**of_sizes(*sizes), mask=mask)
    assert emulator.default_library().counters.launches == 0


# Layouts, by what differs from contiguous arguments of B, T, I, O.

New = cases.New
Layouts = dict[str, Callable[[New, int, int, int, int], dict[str, Tensor]]]
LAYOUTS: Layouts = {
    "steps_first_dz": lambda new, b, t, i, o: {"dz": new(t, b, o).transpose(0, 1)},
    "padded_dz": lambda new, b, t, i, o: {
        "dz": new.like(new.nan(b + 1, 2 * t, o + 16)[1:, ::2, 8:-8])
    },
    "steps_expanded_dz": lambda new, b, t, i, o: {"dz": new(b, 1, o).expand(b, t, o)},
    "padded_weight": lambda new, b, t, i, o: {
        "weight": new.like(new.nan(2 * t, i + 3, o + 16)[::2, 1:-2, 8:-8])
    },
    "steps_second_weight": lambda new, b, t, i, o: {"weight": new(i, t, o).transpose(0, 1)},
    "expanded_weight": lambda new, b, t, i, o: {"weight": new(i, o).expand(t, i, o)},
    "overlapping_weight": lambda new, b, t, i, o: {
        "weight": new((t + i) * o).as_strided((t, i, o), (o, o, 1), cases.GUARD)
    },
    "transposed_x": lambda new, b, t, i, o: {"x": new(i, t, b).permute(2, 1, 0)},  # is not read
}
# Those that TMA cannot describe are copied first.
COPIED: Layouts = {
    "misaligned_dz": lambda new, b, t, i, o: {"dz": new(b, t, o, offset=1)},
    "transposed_dz": lambda new, b, t, i, o: {"dz": new(o, t, b).permute(2, 1, 0)},
    "batch_expanded_dz": lambda new, b, t, i, o: {"dz": new(1, t, o).expand(b, t, o)},
    "expanded_dz": lambda new, b, t, i, o: {"dz": new(1, 1, 1).expand(b, t, o)},
}


@pytest.mark.parametrize("outputs", ["contiguous", "padded"])
@pytest.mark.parametrize("splits", [1, 2], ids="splits_{}".format)
@pytest.mark.parametrize("layout", LAYOUTS | COPIED)
def test_dx_matches_fp64_in_layout(layout: str, splits: int, outputs: str) -> None:
    """By the smaller tile: what differs is the maps."""
    kernel, sizes = KERNELS[1], (67, 3, 136, 88)
    changed = (LAYOUTS | COPIED)[layout](New(TF32, "cpu"), *sizes)
    assert_dx_matches_fp64(
        kernel, of_sizes(*sizes) | changed, splits=(splits, 1), sms=2, outputs=outputs
    )
    launches = emulator.default_library().counters.launches
    assert launches == splits + (layout in COPIED)


def test_steps_come_innermost_where_rows_are_short_and_neighbours() -> None:
    """Both orders of tiles, with more bands than one."""
    new = New(TF32, "cpu")
    for i, steps in (24, 3), (64 * 40, 2):
        arguments = of_sizes(140, steps, i, 32)
        apart = {"dz": new(steps, 140, 32).transpose(0, 1)}
        for given in arguments, arguments | apart:
            assert_dx_matches_fp64(KERNELS[1], given, splits=(1, 1), sms=3)


# What is refused.

NO_OTHER_GRADIENT = "sm90 computes the gradient of x alone in tfloat32"
REFUSALS: dict[str, tuple[Callable[[New], dict[str, Tensor]], str]] = {
    "odd_i": (
        lambda new: of_sizes(4, 3, 6, 8),
        "I = 6 is not a multiple of 4: TMA stores whole 16 bytes",
    ),
    "odd_o": (
        lambda new: of_sizes(4, 3, 8, 6),
        "O = 6 is not a multiple of 4: TMA stores whole 16 bytes",
    ),
    "no_terms": (lambda new: of_sizes(4, 3, 8, 0), "sm90 needs terms to add up: O = 0"),
    "transposed_weight": (
        lambda new: of_sizes(4, 3, 16, 8) | {"weight": new(3, 8, 16).mT},
        "weight.stride(2) = 16 is not 1: TMA needs contiguous rows",
    ),
    "misaligned_weight": (
        lambda new: of_sizes(4, 3, 16, 8) | {"weight": new(3, 16, 8, offset=1)},
        "weight begins 4 bytes after a multiple of 16: TMA needs 16-byte addresses",
    ),
}


def assert_refused(
    reason: str, mask: tuple[bool, bool, bool], arguments: dict[str, Tensor]
) -> None:
    with pytest.raises(EmulatorError) as caught:
        emulator.backward(**arguments, mask=mask, kernel="sm90", tf32=True)
    assert caught.value.kind == "choice"
    assert caught.value.message.endswith(reason)
    emulator.backward(**arguments, mask=mask, kernel="sm80", tf32=True)  # it takes everything


@pytest.mark.parametrize("case", REFUSALS)
def test_what_tma_cannot_describe_is_refused_with_the_reason(case: str) -> None:
    make, reason = REFUSALS[case]
    assert_refused(reason, OF_X, make(New(TF32, "cpu")))


@pytest.mark.parametrize(
    "mask", [mask for mask in product([True, False], repeat=3) if any(mask[1:])], ids=str
)
def test_other_gradients_are_refused(mask: tuple[bool, bool, bool]) -> None:
    assert_refused(NO_OTHER_GRADIENT, mask, of_sizes(4, 3, 8, 8))
