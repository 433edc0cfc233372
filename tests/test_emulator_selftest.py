"""Does the emulator notice? Faults are planted in copies of the sources; each must be seen."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from pathlib import Path

import emulator
import pytest
import torch
from emulator import EmulatorError, Instantiation, Library, Mutation, Variant
from emulator.faults import EXAMPLE_FAULTS, ONE_BLOCK, PACKAGE_FAULTS
from emulator.faults.clusters import CLUSTER_FAULTS
from emulator.faults.examples import BEHAVIOUR_FAULTS
from emulator.scenarios import (
    SCENARIOS,
    SIMT_SCENARIOS,
    SM80_SCENARIOS,
    Scenario,
    relative_error,
)

# Every schedule; and each fault compiles kernels of its own.
pytestmark = [pytest.mark.slow, pytest.mark.in_turn]

plants_faults = pytest.mark.skipif(
    Variant.from_environment() is not Variant.PLAIN,
    reason="a sanitizer would end the process at the faults that are planted here",
)

LIBRARY = emulator.default_library
EXAMPLE_KERNELS = ("mma_sync", "wgmma_64x1", "wgmma_128x1", "wgmma_128x2")


# The shadow headers declare what the kernels' own do.


def wrappers(header: Path) -> set[tuple[str, ...]]:
    """Template parameters, type, name and parameters of each function."""
    text = re.sub(r"\s+", " ", header.read_text())
    text = re.sub(r"(__device__ __forceinline__|inline) ", "", text)
    text = re.sub(r" = kBytes", "", text)  # the emulator's own kernels leave it out
    function = r"(?:template <([^>]*)> )?\b(\w+) (\w+)\( ?((?:[^()]|\([^()]*\))*)\) \{"
    return set(re.findall(function, text))


@pytest.mark.parametrize(
    "header",
    sorted((emulator.REPOSITORY / "csrc/kernels").glob("ptx*.cuh")),
    ids=lambda path: path.name,
)
def test_every_wrapper_has_a_shadow(header: Path) -> None:
    shadow = emulator.REPOSITORY / "tests/emulator/include/kernels" / header.name
    assert wrappers(header)
    assert wrappers(header) - wrappers(shadow) == set()


# The example kernels prove the engines.


def example_error(library: Library, kernel: str, sizes: tuple[int, ...], schedule: str) -> float:
    b, t, i, o = sizes
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(b, t, i, generator=generator).bfloat16()
    weight = torch.randn(t, i, o, generator=generator).bfloat16()
    bias = torch.randn(t, o, generator=generator).bfloat16()
    y = library.example_gemm(kernel, x, weight, bias, schedule=schedule)
    expected = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias.double()
    return relative_error(y, expected)


EXAMPLE_TOLERANCE = 6e-3  # a result is rounded to 8 bits


@pytest.mark.parametrize("kernel", EXAMPLE_KERNELS)
@pytest.mark.parametrize(
    "sizes", [(1, 1, 8, 8), (64, 1, 64, 64), (65, 2, 72, 72), (130, 2, 200, 136), (37, 2, 264, 24)]
)
def test_example_kernel_is_right_under_every_schedule(kernel: str, sizes: tuple[int, ...]) -> None:
    for schedule in emulator.schedules():
        assert example_error(LIBRARY(), kernel, sizes, schedule) <= EXAMPLE_TOLERANCE
    counters = LIBRARY().counters
    assert counters.launches == 1
    assert (counters.mmas > 0) == (kernel == "mma_sync")
    assert (counters.wgmmas > 0) == (counters.tma_boxes > 0) == (kernel != "mma_sync")


# The shadow headers' types.


def converted(function: str, values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    results = torch.empty(values.shape, dtype=dtype)
    LIBRARY().convert(function, values, results)
    return results


def test_float16_widens_as_torch_does() -> None:
    values = torch.arange(-(2**15), 2**15).to(torch.int16).view(torch.float16)
    widened = converted("widen_float16", values, torch.float32)
    torch.testing.assert_close(widened, values.float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_floats_round_as_torch_does(dtype: torch.dtype) -> None:
    every = torch.arange(-(2**15), 2**15).to(torch.int16).view(dtype).float()
    every = every[every.isfinite()].sort().values
    ties = (every[1:].double() + every[:-1].double()).div(2).float()
    infinity = torch.tensor(torch.inf)
    values = torch.cat(
        [
            *(every, ties, ties.nextafter(infinity), ties.nextafter(-infinity)),
            torch.tensor([torch.nan, torch.inf, -torch.inf, 1e-45, -1e-45, 3.4e38, -3.4e38]),
        ]
    )
    rounded = converted(f"round_to_{str(dtype).removeprefix('torch.')}", values, dtype)
    torch.testing.assert_close(rounded, values.to(dtype), rtol=0, atol=0, equal_nan=True)


def test_tfloat32_rounds_to_nearest_with_ties_away_from_zero() -> None:
    generator = torch.Generator().manual_seed(5)
    bits = torch.randint(-(2**31), 2**31, (1 << 16,), generator=generator).int()
    ties = bits & ~0x1FFF | 0x1000
    special = torch.tensor([torch.nan, torch.inf, -torch.inf, 0.0, -0.0, 3.4028235e38])
    values = torch.cat(
        [*(b.view(torch.float32) for b in (bits, ties, ties - 1, ties + 1)), special]
    )
    magnitude, exponent = values.double().abs().frexp()
    spacing = torch.ldexp(torch.ones_like(magnitude), (exponent - 11).clamp(min=-136))
    magnitude = torch.ldexp(magnitude, exponent)
    expected = ((magnitude / spacing + 0.5).floor() * spacing).copysign(values.double()).float()
    expected = torch.where(values.isfinite(), expected, values)
    rounded = converted("round_to_tfloat32", values, torch.float32)
    torch.testing.assert_close(rounded, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(rounded.signbit(), expected.signbit() & ~values.isnan())


# The package's kernels.


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_package_is_right_under_every_schedule(scenario: str) -> None:
    for schedule in emulator.schedules():
        assert SCENARIOS[scenario](LIBRARY(), schedule) == ""


def test_a_wish_that_no_kernel_can_fulfil_is_an_error() -> None:
    with pytest.raises(EmulatorError, match="tiny needs") as caught:
        LIBRARY().forward(torch.ones(5, 1, 65), torch.ones(1, 65, 64), kernel="tiny")
    assert caught.value.kind == "choice"


@pytest.mark.parametrize("kernel", EXAMPLE_KERNELS)
def test_absent_bias(kernel: str) -> None:
    x, weight = torch.ones(2, 1, 8).bfloat16(), torch.ones(1, 8, 8).bfloat16()
    assert torch.equal(
        LIBRARY().example_gemm(kernel, x, weight, None), torch.full((2, 1, 8), 8.0).bfloat16()
    )


# Planted faults. A scenario that comes out right under every schedule means that the emulator is
# blind to the fault.


Run = frozenset[Instantiation]
NO_TILES = Run()


def build(*mutations: Mutation, run: Run | None = None) -> Library:
    with emulator.mutated_tree(*mutations) as root:
        return Library(emulator.build_mutant(root, run))


@functools.cache
def faultless(run: Run) -> Library:
    return build(run=run)


@functools.cache
def run_by(scenario: Scenario) -> Run:
    """Which kernels of tiles; a mutant is compiled with no other."""
    library = Library(emulator.build_library())
    assert scenario(library, library.schedules[0]) == ""
    return frozenset(library.instantiations)


def assert_caught(scenario: Scenario, *mutations: Mutation) -> None:
    run = run_by(scenario)
    mutant = build(*mutations, run=run)
    schedule = first_wrong(scenario, mutant, mutant.schedules)
    assert schedule is not None, f"no schedule shows {mutations}"
    assert first_wrong(scenario, faultless(run), [schedule]) is None, "it is not the fault's doing"


def first_wrong(scenario: Scenario, library: Library, schedules: Sequence[str]) -> str | None:
    try:
        return next((each for each in schedules if is_wrong(scenario, library, each)), None)
    finally:
        library.release_stacks()


def is_wrong(scenario: Scenario, library: Library, schedule: str) -> bool:
    try:
        return bool(scenario(library, schedule))
    except EmulatorError:
        return True


@plants_faults
@pytest.mark.parametrize("fault", PACKAGE_FAULTS)
def test_planted_fault_in_the_package_is_caught(fault: str) -> None:
    scenario, mutations = PACKAGE_FAULTS[fault]
    assert_caught(SCENARIOS[scenario], *mutations)


@plants_faults
def test_blocks_that_walk_over_many_tiles_are_right() -> None:
    """Not a fault: the grid is cut so short that the loop over tiles runs."""
    library = build(ONE_BLOCK)
    for schedule in library.schedules[::4]:
        for scenario in (SIMT_SCENARIOS | SM80_SCENARIOS).values():
            assert scenario(library, schedule) == ""
            assert library.counters.blocks == library.counters.launches


STORE_GROUP = "csrc/kernels/store_group.cuh"
CODE_THAT_BYPASSES = {
    "an output": ("forward of vectors", "if (j == kGroup - 1) gmem[stride] = Out{};"),
    "the workspace": ("split forward", "if (j == kGroup - 1) gmem[stride] = Out{};"),
}


@plants_faults
@pytest.mark.parametrize("beside", CODE_THAT_BYPASSES)
def test_store_that_bypasses_the_wrappers_shows_in_the_guard_bands(beside: str) -> None:
    scenario, code = CODE_THAT_BYPASSES[beside]
    store = "if (j < count) store_vector<1>"
    mutation = Mutation(STORE_GROUP, f"    {store}", f"    {code} {store}")
    library = build(mutation, run=run_by(SCENARIOS[scenario]))
    with pytest.raises(EmulatorError, match=f"beside {beside}") as caught:
        SCENARIOS[scenario](library, library.schedules[0])
    assert caught.value.kind == "guard"


TILER = "csrc/kernels/tiled/tiler.cpp"


@plants_faults
def test_lines_that_are_not_permuted_give_bank_conflicts_and_right_results() -> None:
    config = "csrc/kernels/sm80/config.cuh"
    mutation = Mutation(config, "return line / kLinesInAllBanks", "return 0 * line")
    scenario = SCENARIOS["sm80 forward"]
    library = build(mutation, run=run_by(scenario))
    assert scenario(library, library.schedules[0]) == ""
    assert library.counters.bank_conflicts > 0


@plants_faults
def test_plan_that_is_not_what_happens_is_an_error() -> None:
    scenario = SCENARIOS["split forward"]
    mutation = Mutation(TILER, "plan.workspace_bytes > 0 ? 2 : 1", "1")
    library = build(mutation, run=run_by(scenario))
    with pytest.raises(EmulatorError, match=r"planned: 1 launches.* seen: 2") as caught:
        scenario(library, library.schedules[0])
    assert caught.value.kind == "plan"


@plants_faults
@pytest.mark.parametrize("fault", EXAMPLE_FAULTS)
def test_planted_fault_in_an_example_kernel_is_caught(fault: str) -> None:
    kernel, mutations = EXAMPLE_FAULTS[fault]

    def scenario(library: Library, schedule: str) -> str:
        error = example_error(library, kernel, (130, 2, 328, 136), schedule)
        return "" if error <= EXAMPLE_TOLERANCE else f"an error of {error:.2g}"

    assert_caught(scenario, *mutations)


@plants_faults
@pytest.mark.parametrize("fault", BEHAVIOUR_FAULTS)
def test_planted_fault_in_a_behaviour_is_caught(fault: str) -> None:
    behaviour, mutations = BEHAVIOUR_FAULTS[fault]
    library = build(*mutations, run=NO_TILES)
    for schedule in library.schedules:
        with pytest.raises(EmulatorError) as caught:
            library.behaviour(behaviour, schedule=schedule)
        assert caught.value.kind == "expectation"


@plants_faults
@pytest.mark.parametrize("name", CLUSTER_FAULTS)
def test_planted_fault_in_a_cluster_or_wgmma_is_caught(name: str) -> None:
    (behaviour, mutations), kinds = CLUSTER_FAULTS[name]
    library = build(*mutations, run=NO_TILES)
    seen = set()
    for schedule in library.schedules:
        try:
            library.behaviour(behaviour, schedule=schedule)
        except EmulatorError as error:
            seen.add(error.kind)
    library.release_stacks()
    assert seen & kinds, f"seen: {seen}"


# Planting itself.


def test_mutation_of_a_missing_text_is_an_error() -> None:
    mutation = Mutation("csrc/problem.h", "no such text", "")
    with (
        pytest.raises(LookupError, match="0 occurrences of 'no such text'"),
        emulator.mutated_tree(mutation),
    ):
        pass


def test_mutation_of_an_ambiguous_text_is_an_error() -> None:
    mutation = Mutation("csrc/problem.h", "View3", "View2")
    with (
        pytest.raises(LookupError, match="occurrences of 'View3'"),
        emulator.mutated_tree(mutation),
    ):
        pass


def test_mutation_leaves_the_checkout_alone() -> None:
    source = emulator.REPOSITORY / "csrc/problem.h"
    before = source.read_text()
    mutation = Mutation("csrc/problem.h", "enum class DType", "enum class Mutated")
    with emulator.mutated_tree(mutation) as root:
        assert "enum class Mutated" in (root / "csrc/problem.h").read_text()
    assert source.read_text() == before


@plants_faults
def test_source_that_does_not_compile_is_no_catch() -> None:
    mutation = Mutation("csrc/kernels/simt/gemm.cuh", "Accumulators<Config> accum{};", "not C++")
    with pytest.raises(emulator.BuildError, match="error:"):
        build(mutation, run=run_by(SCENARIOS["forward"]))
