"""Are Hopper's kernels right, at every edge of a tile, in every layout that TMA can describe?

Their own source runs on the CPU, see emulator/README.md, tensor maps included. What they cannot
take is refused, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable

import cases
import emulator
import pytest
import torch
from emulated import SM90_KERNELS, Kernel, Sizes, assert_forward_matches_fp64, each_of
from emulator import EmulatorError
from emulator.library import NO_ENCODER
from test_emulated_kernels import ACTIVATIONS, TORCHS_ACTIVATIONS, assert_same_specials, units
from torch import Tensor

each_kernel = each_of(SM90_KERNELS)
HALF, BRAIN, TF32 = torch.float16, torch.bfloat16, torch.float32


def rows_of(kernel: Kernel) -> int:
    """Of a cluster's tiles."""
    return kernel.facts.block_m * kernel.facts.cluster


def chunk_of(dtype: torch.dtype) -> int:
    """Elements of 16 bytes: I and O are multiples of it."""
    return 16 // dtype.itemsize


def edges(kernel: Kernel) -> dict[str, Sizes]:
    """B is anything."""
    m, n, stages = rows_of(kernel), kernel.facts.block_n, kernel.facts.stages
    k, chunk = kernel.facts.block_k, chunk_of(kernel.dtype)
    return {
        "least": (1, 1, chunk, chunk),
        "one_tile": (m, 1, k, n),
        "several_tiles": (2 * m, 2, k, 2 * n),
        "b_less_1": (m - 1, 2, k, n),
        "b_plus_1": (m + 1, 2, k, n),
        "b_ends_in_the_first_64_rows": (m // 2 + 1, 2, k, chunk),
        "few_rows": (3, 2, 2 * k, n),
        "o_less_a_chunk": (3, 2, k, n - chunk),
        "o_plus_a_chunk": (3, 2, k, n + chunk),
        "o_ends_with_a_panel": (3, 2, k, n + k),
        "o_ends_with_a_consumer": (3, 2, k, n + 64),
        "i_less_a_chunk": (3, 2, k - chunk, n),
        "i_plus_a_chunk": (3, 2, k + chunk, n),
        "ring_full": (3, 2, stages * k, chunk),
        "ring_once_more": (3, 2, (stages + 1) * k, chunk),
        "ring_twice": (3, 3, 2 * stages * k + chunk, chunk),
        "ragged": (m + 3, 3, 2 * k + 3 * chunk, n + 5 * chunk),
        "many_steps": (3, 70, chunk, chunk),
    }


@pytest.mark.parametrize("sms", [0, 2], ids=["every_tile_a_block", "tiles_one_after_another"])
@pytest.mark.parametrize(
    ("kernel", "edge"),
    [(kernel, edge) for kernel in SM90_KERNELS for edge in edges(kernel)],
    ids=str,
)
def test_forward_matches_fp64_at_the_edges_of_the_tile(kernel: Kernel, edge: str, sms: int) -> None:
    arguments = cases.of_sizes(*edges(kernel)[edge], kernel.dtype, "cpu")
    assert_forward_matches_fp64(kernel, arguments, splits=(1, 1), sms=sms)


def test_a_persistent_grid_is_as_large_as_the_gpu() -> None:
    library = emulator.default_library()
    for kernel in SM90_KERNELS:
        cluster = kernel.facts.cluster
        arguments = cases.of_sizes(1, 12, 8, 8, kernel.dtype, "cpu")
        for sms, blocks in (0, 12 * cluster), (5, 5 // cluster * cluster), (1, cluster):
            kernel.forward(*arguments, splits=(1, 1), sms=sms)
            assert library.plan.blocks == library.counters.blocks == blocks
            assert library.plan.cluster == cluster


@pytest.mark.parametrize(
    "sizes", [(0, 2, 8, 8), (3, 0, 8, 8), (3, 2, 8, 0)], ids=["b_is_0", "t_is_0", "o_is_0"]
)
@each_kernel
def test_nothing_is_launched_for_nothing(kernel: Kernel, sizes: Sizes) -> None:
    kernel.forward(*cases.of_sizes(*sizes, kernel.dtype, "cpu"))
    assert emulator.default_library().counters.launches == 0


@pytest.mark.parametrize("splits", [2, 3, 1000], ids="splits_{}".format)
@each_kernel
def test_split_sums_match_fp64(kernel: Kernel, splits: int) -> None:
    library = emulator.default_library()
    sizes = (rows_of(kernel) + 2, 2, 5 * kernel.facts.block_k + 24, kernel.facts.block_n + 8)
    arguments = cases.of_sizes(*sizes, kernel.dtype, "cpu")
    for sms in 0, 2:
        assert_forward_matches_fp64(kernel, arguments, "gelu", splits=(splits, 1), sms=sms)
        assert library.counters.launches == 2
    stages_a_split = -(-6 // splits)
    parts = -(-6 // stages_a_split)  # none is without terms
    assert library.plan.workspace_bytes == parts * sizes[0] * 2 * sizes[3] * 4


@pytest.mark.parametrize("activation", ACTIVATIONS)
@each_kernel
def test_forward_matches_fp64_with_activation(kernel: Kernel, activation: str) -> None:
    arguments = cases.of_sizes(9, 3, 56, kernel.facts.block_n + 8, kernel.dtype, "cpu")
    for given in arguments, arguments._replace(bias=None):
        assert_forward_matches_fp64(kernel, given, activation, splits=(1, 1), sms=2)


@each_kernel
def test_y_alone_is_what_it_is_beside_z(kernel: Kernel) -> None:
    arguments = cases.of_sizes(rows_of(kernel) + 2, 2, 72, 72, kernel.dtype, "cpu")
    for activation in ACTIVATIONS:
        alone, _ = kernel.forward(*arguments, activation, sms=2)
        beside, _ = kernel.forward(*arguments, activation, sms=2, want_z=True)
        assert torch.equal(alone, beside)


@pytest.mark.parametrize("splits", [1, 3], ids="splits_{}".format)
@each_kernel
def test_small_integers_come_out_exactly(kernel: Kernel, splits: int) -> None:
    b, t, i, o = rows_of(kernel) + 5, 2, 208, kernel.facts.block_n + 16
    x, weight, bias = (units(*s, dtype=kernel.dtype) for s in ((b, t, i), (t, i, o), (t, o)))
    y, _ = kernel.forward(x, weight, bias, splits=(splits, 1))
    exact = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias
    assert torch.equal(y.double(), exact)


@pytest.mark.in_turn
@pytest.mark.slow
@pytest.mark.parametrize("splits", [1, 2], ids="splits_{}".format)
@each_kernel
def test_every_schedule_gives_the_same_bits(kernel: Kernel, splits: int) -> None:
    sizes = (rows_of(kernel) + 2, 3, (kernel.facts.stages + 2) * kernel.facts.block_k, 72)
    arguments = cases.of_sizes(*sizes, kernel.dtype, "cpu")
    results = [
        kernel.forward(*arguments, "gelu", want_z=True, splits=(splits, 1), sms=4, schedule=name)
        for name in emulator.schedules()
    ]
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
@each_kernel
def test_nan_and_infinity_go_where_torch_lets_them(kernel: Kernel, special: float) -> None:
    x, weight, bias = cases.of_sizes(70, 2, 40, 24, kernel.dtype, "cpu")
    x[1, 0, 2] = x[-1, -1, -1] = weight[1, 7, 5] = bias[1, 3] = special
    z = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias
    for activation, act in TORCHS_ACTIVATIONS.items():
        y, _ = kernel.forward(x, weight, bias, activation, splits=(1, 1), sms=2)
        assert_same_specials(y, act(z))


# Layouts, by what differs from contiguous arguments of B, T, I, O.

New = cases.New
LAYOUTS: dict[str, Callable[[New, int, int, int, int], dict[str, Tensor]]] = {
    "steps_first_x": lambda new, b, t, i, o: {"x": new(t, b, i).transpose(0, 1)},
    "padded_x": lambda new, b, t, i, o: {
        "x": new.like(new.nan(b + 1, 2 * t, i + 16)[1:, ::2, 8:-8])
    },
    "windows_x": lambda new, b, t, i, o: {"x": new(b, i + 8 * (t - 1)).unfold(1, i, 8)},
    "windows_that_leave_gaps_x": lambda new, b, t, i, o: {
        "x": new(b, i + (i + 8) * (t - 1)).unfold(1, i, i + 8)
    },
    "steps_expanded_x": lambda new, b, t, i, o: {"x": new(b, 1, i).expand(b, t, i)},
    "padded_weight": lambda new, b, t, i, o: {
        "weight": new.like(new.nan(2 * t, i + 3, o + 16)[::2, 1:-2, 8:-8])
    },
    "steps_second_weight": lambda new, b, t, i, o: {"weight": new(i, t, o).transpose(0, 1)},
    "expanded_weight": lambda new, b, t, i, o: {"weight": new(i, o).expand(t, i, o)},
    "overlapping_weight": lambda new, b, t, i, o: {
        "weight": new((t + i) * o).as_strided((t, i, o), (o, o, 1), cases.GUARD)
    },
    "transposed_bias": lambda new, b, t, i, o: {"bias": new(o, t).t()},
    "expanded_bias": lambda new, b, t, i, o: {"bias": new(o).expand(t, o)},
    "misaligned_bias": lambda new, b, t, i, o: {"bias": new(t, o, offset=1)},
}


@pytest.mark.parametrize("splits", [1, 2], ids="splits_{}".format)
@pytest.mark.parametrize("layout", LAYOUTS)
@each_kernel
def test_forward_matches_fp64_in_layout(kernel: Kernel, layout: str, splits: int) -> None:
    sizes = (rows_of(kernel) + 3, 3, 2 * kernel.facts.block_k + 24, kernel.facts.block_n + 8)
    arguments = cases.of_sizes(*sizes, kernel.dtype, "cpu")
    changed = LAYOUTS[layout](cases.New(kernel.dtype, "cpu"), *sizes)
    assert_forward_matches_fp64(
        kernel, arguments._replace(**changed), splits=(splits, 1), sms=2 * kernel.facts.cluster
    )


@pytest.mark.parametrize("terms", [1, 2, 3, 67, 131], ids="I_{}".format)
@each_kernel
def test_padded_rows_of_x_may_have_any_terms(kernel: Kernel, terms: int) -> None:
    """What lies behind them is NaN."""
    arguments = cases.of_sizes(rows_of(kernel) + 3, 2, terms, 40, kernel.dtype, "cpu")
    padded = cases.New(kernel.dtype, "cpu").nan(*arguments.x.shape[:2], 136)[..., :terms]
    assert_forward_matches_fp64(kernel, arguments._replace(x=padded.copy_(arguments.x)), sms=2)


@pytest.mark.parametrize("splits", [1, 2], ids="splits_{}".format)
@each_kernel
def test_results_into_padded_rows(kernel: Kernel, splits: int) -> None:
    """Rows whose gaps must stay as they are."""
    sizes = (rows_of(kernel) + 3, 2, 2 * kernel.facts.block_k, kernel.facts.block_n + 24)
    arguments = cases.of_sizes(*sizes, kernel.dtype, "cpu")
    assert_forward_matches_fp64(kernel, arguments, outputs="padded", splits=(splits, 1), sms=2)


@pytest.mark.parametrize("rows", [128, 500])
def test_steps_come_innermost_where_rows_are_short_and_neighbours(rows: int) -> None:
    """Both orders of tiles, with more bands than one."""
    kernel = next(k for k in SM90_KERNELS if (k.facts.block_m, k.facts.block_n) == (64, 64))
    for o, steps in (24, 3), (64 * 40, 2):
        new = cases.New(kernel.dtype, "cpu")
        beside = cases.Arguments(new(rows, steps, 64), new(steps, 64, o), new(steps, o))
        apart = beside._replace(x=new(steps, rows, 64).transpose(0, 1))
        for arguments in beside, apart:
            assert_forward_matches_fp64(kernel, arguments, splits=(1, 1), sms=3)


# What is refused.

# The reason's {chunk} is how many elements have 16 bytes, {odd} half as many more.
REFUSALS: dict[str, tuple[Callable[[New, int], cases.Arguments], str]] = {
    "odd_i": (
        lambda new, chunk: cases.Arguments(new(4, 3, 131), new(3, 131, 8), None),
        "I = 131 is not a multiple of {chunk}: TMA needs 16-byte strides",
    ),
    "odd_o": (
        lambda new, chunk: cases.Arguments(new(4, 3, 8), new(3, 8, chunk * 3 // 2), None),
        "O = {odd} is not a multiple of {chunk}: TMA stores whole 16 bytes",
    ),
    "no_terms": (
        lambda new, chunk: cases.Arguments(new(4, 3, 0), new(3, 0, 8), None),
        "sm90 needs terms to add up: I = 0",
    ),
    "strided_features": (
        lambda new, chunk: cases.Arguments(new(4, 3, 32)[..., ::2], new(3, 16, 8), None),
        "x.stride(2) = 2 is not 1: TMA needs contiguous rows",
    ),
    "transposed_weight": (
        lambda new, chunk: cases.Arguments(new(4, 3, 16), new(3, 8, 16).mT, None),
        "weight.stride(2) = 16 is not 1: TMA needs contiguous rows",
    ),
    "odd_windows": (
        lambda new, chunk: cases.Arguments(
            new(4, 16 + chunk * 3).unfold(1, 16, chunk * 3 // 2), new(3, 16, 8), None
        ),
        "x.stride(1) = {odd} is not a multiple of {chunk}: TMA needs 16-byte strides",
    ),
    "odd_rows_of_weight": (
        lambda new, chunk: cases.Arguments(
            new(4, 3, 16), new(3, 16, chunk * 3 // 2)[..., :chunk], None
        ),
        "weight.stride(1) = {odd} is not a multiple of {chunk}: TMA needs 16-byte strides",
    ),
    "expanded_batch": (
        lambda new, chunk: cases.Arguments(new(1, 3, 16).expand(4, 3, 16), new(3, 16, 8), None),
        "x.stride(0) = 0: TMA needs strides above 0",
    ),
    "expanded_rows_of_weight": (
        lambda new, chunk: cases.Arguments(new(4, 3, 16), new(3, 1, 8).expand(3, 16, 8), None),
        "weight.stride(1) = 0: TMA needs strides above 0",
    ),
    "misaligned_x": (
        lambda new, chunk: cases.Arguments(new(4, 3, 16, offset=chunk // 2), new(3, 16, 8), None),
        "x begins 8 bytes after a multiple of 16: TMA needs 16-byte addresses",
    ),
    "misaligned_weight": (
        lambda new, chunk: cases.Arguments(new(4, 3, 16), new(3, 16, 8, offset=1), None),
        "weight begins {size} bytes after a multiple of 16: TMA needs 16-byte addresses",
    ),
}


@pytest.mark.parametrize("case", REFUSALS)
@pytest.mark.parametrize("dtype", [HALF, BRAIN, TF32], ids=cases.dtype_id)
def test_what_tma_cannot_describe_is_refused_with_the_reason(case: str, dtype: torch.dtype) -> None:
    make, reason = REFUSALS[case]
    chunk = chunk_of(dtype)
    arguments = make(cases.New(dtype, "cpu"), chunk)
    with pytest.raises(EmulatorError) as caught:
        emulator.forward(*arguments, kernel="sm90", tf32=True)
    assert caught.value.kind == "choice"
    told = reason.format(chunk=chunk, odd=chunk * 3 // 2, size=dtype.itemsize)
    assert caught.value.message.endswith(told)
    emulator.forward(*arguments, tf32=True)  # something else takes it
    library = emulator.default_library()
    assert library.families[library.choice.family] != "sm90"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=cases.dtype_id)
def test_other_dtypes_are_refused(dtype: torch.dtype) -> None:
    ending = " in IEEE precision" if dtype is torch.float32 else ""
    with pytest.raises(EmulatorError) as caught:
        emulator.forward(*cases.of_sizes(4, 3, 16, 8, dtype, "cpu"), kernel="sm90")
    assert caught.value.message.endswith(
        "sm90 needs float16, bfloat16, or float32 where torch.backends.cuda.matmul.fp32_precision "
        f"is 'tf32'; got {cases.dtype_id(dtype)}{ending}"
    )


@pytest.mark.parametrize("arch", [80, 86, 89, 100, 120])
def test_other_architectures_are_refused(arch: int) -> None:
    arguments = cases.of_sizes(4, 3, 16, 8, HALF, "cpu")
    with pytest.raises(EmulatorError, match=f"compute capability 9.0; this is sm_{arch}"):
        emulator.forward(*arguments, kernel="sm90", arch=arch)


# What the driver refuses.


def test_without_an_encoder_of_tensor_maps_another_family_takes_the_call() -> None:
    library, arguments = emulator.default_library(), cases.of_sizes(40, 4, 256, 256, HALF, "cpu")
    _ = library.forward(*arguments)
    assert library.families[library.choice.family] == "sm90"
    with library.driver(NO_ENCODER):
        library.forward(*arguments)
        assert library.families[library.choice.family] == "sm80"
        with pytest.raises(EmulatorError, match="sm90 needs a driver that encodes tensor maps"):
            library.forward(*arguments, kernel="sm90")


def test_tensors_that_the_driver_cannot_describe_are_left_to_another_family() -> None:
    library, arguments = emulator.default_library(), cases.of_sizes(41, 4, 256, 256, HALF, "cpu")
    with library.driver(1):
        y, _ = library.forward(*arguments)
        assert library.families[library.choice.family] == "sm80"
    again, _ = library.forward(*arguments)
    assert library.families[library.choice.family] == "sm90"
    torch.testing.assert_close(y, again, rtol=2e-3, atol=2e-2)


def test_a_map_that_the_driver_refuses_is_an_error_that_names_the_problem() -> None:
    library, arguments = emulator.default_library(), cases.of_sizes(37, 5, 88, 104, BRAIN, "cpu")
    with (
        library.driver(719),
        pytest.raises(EmulatorError) as caught,
    ):
        library.forward(*arguments, kernel="sm90", tile=7)
    assert caught.value.kind == "host"
    message = caught.value.message
    assert message.startswith(
        "the forward of B, T, I, O = 37, 5, 88, 104 in bfloat16 by sm90 64x64 (x: address 0x"
    )
    assert "strides (440, 88, 1); weight: address 0x" in message
    assert message.endswith(") cannot be launched: CUDA error 719")
    assert library.counters.launches == 0
    library.forward(*arguments, kernel="sm90", tile=7)  # nothing is remembered of it
