"""Does the chooser choose what it says, for reasons that hold, on every architecture?"""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

import per_step_dense as psd
from bench.cases import CASES, Case
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

ARCHITECTURES = ["sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120"]
BY_NAME = {case.name: case for case in CASES}
F32 = torch.float32


def meta(*shape: int, dtype: torch.dtype = F32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def plan_of(b: int, t: int, i: int, o: int, arch: str = "sm_90", kernel: str = "auto") -> psd.Plan:
    with psd.use_kernel(kernel):
        return psd.explain(meta(b, t, i), meta(t, i, o), meta(t, o), arch=arch)


def plan_of_case(case: Case, arch: str = "sm_90") -> psd.Plan:
    return psd.explain(*case.tensors("meta"), arch=arch)


# What is chosen


@pytest.mark.parametrize(
    ("name", "kernel", "tile"),
    [
        ("seed", "tiny", None),
        ("seed, big batch", "tiny", None),
        ("TabM head", "tiny", None),  # O = 1
        ("TabM packed", "simt", "128x128"),
        ("SGEMM", "simt", "128x128"),
        ("LTSF electricity", "simt", "16x128"),  # B = 16
        ("compute", "aten", None),  # tensor cores
        ("float64", "aten", None),
    ],
)
def test_chosen_on_an_h200(name: str, kernel: str, tile: str | None) -> None:
    plan = plan_of_case(BY_NAME[name])
    assert plan.kernel == kernel
    if tile:
        assert plan.tile == tile


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_float32_stays_with_this_package(case: Case, arch: str) -> None:
    plan = plan_of_case(case, arch)
    kernels = {plan.kernel, plan.backward.kernel}
    if case.dtype == torch.float32:
        assert kernels <= {"simt", "tiny"}
    assert kernels <= {"simt", "tiny", "aten"}
    assert (plan.architecture, plan.backward.architecture) == (arch, arch)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_least_estimate_wins_and_no_floor_is_undercut(case: Case) -> None:
    plan = plan_of_case(case)
    for told in (plan, plan.backward):
        assert told.floor_us < told.estimate_us
        for kernel in ("simt", "tiny"):
            try:
                with psd.use_kernel(kernel):
                    forced = plan_of_case(case)
            except ValueError:
                continue
            forced = forced if told is plan else forced.backward
            assert forced.kernel == kernel
            assert forced.estimate_us >= told.estimate_us


def test_the_same_question_has_the_same_answer() -> None:
    assert [plan_of_case(case) for case in CASES] == [plan_of_case(case) for case in CASES]


@pytest.mark.parametrize(
    "sizes", [(0, 3, 4, 5), (3, 0, 4, 5), (3, 4, 0, 5), (3, 4, 5, 0)], ids=["B", "T", "I", "O"]
)
def test_zero_sizes_have_plans(sizes: tuple[int, int, int, int]) -> None:
    for kernel in ("auto", "simt", "tiny"):
        plan = plan_of(*sizes, kernel=kernel)
        assert plan.flops == 0
        b, t, _, o = sizes
        assert (plan.launches > 0) == (b * t * o > 0)


# How sums are split


def simt_tiles(plan: psd.Plan, rows: int, columns: int) -> int:
    block_m, block_n = map(int, plan.tile.split("x"))
    return -(-rows // block_m) * -(-columns // block_n)


def test_a_full_gpu_splits_nothing() -> None:
    plan = plan_of(4096, 8, 1024, 1024, kernel="simt")
    assert plan.splits == (1,)
    assert plan.grid == (8 * simt_tiles(plan, 4096, 1024), 1, 1)
    assert (plan.launches, plan.workspace_bytes) == (1, 0)


def test_a_long_sum_of_few_outputs_is_split() -> None:
    plan = plan_of(64, 1, 8192, 64, kernel="simt")
    tiles = simt_tiles(plan, 64, 64)
    (splits,) = plan.splits
    assert splits == min(8192 // 256, -(-132 * 256 // plan.threads) // tiles)
    assert plan.grid == (tiles * splits, 1, 1)
    assert plan.launches == 2
    assert plan.workspace_bytes == splits * 64 * 64 * 4


def test_a_block_for_every_multiprocessor_splits_nothing() -> None:
    plan = plan_of(32, 132, 8192, 32, kernel="simt")  # each step is one tile
    assert (plan.splits, plan.grid) == ((1,), (132, 1, 1))
    assert plan_of(32, 131, 8192, 32, kernel="simt").splits > (1,)


@pytest.mark.parametrize("kernel", ["simt", "tiny"])
def test_a_short_sum_is_not_split(kernel: str) -> None:
    plan = plan_of(32, 1, 64, 32, kernel=kernel)
    assert plan.splits == (1,)
    assert plan.workspace_bytes == 0


def test_the_weight_gradient_of_a_large_batch_is_split() -> None:
    backward = plan_of(65536, 2, 16, 16, kernel="simt").backward
    of_x, of_weight = backward.splits
    assert of_x == 1
    assert 132 // (2 * simt_tiles(backward, 16, 16)) <= of_weight <= 65536 // 256
    assert backward.workspace_bytes == of_weight * 2 * (16 * 16 + 16) * 4


@pytest.mark.parametrize("kernel", ["simt", "tiny"])
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


# The reason


def test_reason_names_what_was_weighed_and_what_could_not_be() -> None:
    plan = plan_of(4096, 8, 1024, 1024)
    assert plan.reason.startswith("estimated: simt 128x128 ")
    for tile in ("64x64", "32x32", "16x128"):
        assert f", simt {tile} " in plan.reason
    assert "I * O <= 4096" in plan.reason and "I = 1024, O = 1024" in plan.reason
    assert "aten: not weighed for float32" in plan.reason
    assert f"{plan.estimate_us:.0f} us" in plan.reason


def test_reason_says_what_was_asked_for() -> None:
    plan = plan_of(32, 10, 4, 8, kernel="simt")
    assert "simt was asked for" in plan.reason
    assert "estimated: tiny" not in plan.reason


# The cache in front of the chooser


def test_the_cache_tells_what_the_chooser_would() -> None:
    sizes = itertools.product((1, 3, 300, 9000), (1, 40), (3, 64, 5000), (1, 60, 600))
    dtypes, archs = (torch.float32, torch.float64, torch.bfloat16), ("sm_80", "sm_90")
    problems = [
        (meta(b, t, i, dtype=dtype), meta(t, i, o, dtype=dtype), arch)
        for (b, t, i, o), dtype, arch in itertools.product(sizes, dtypes, archs)
    ]
    problems += [(x.mT.contiguous().mT, weight, arch) for x, weight, arch in problems]
    problems += [(x[1:], weight, arch) for x, weight, arch in problems]
    plan = _ops.compiled.plan_repeatedly
    fresh = [plan(*problem, is_cached=False, repeats=1) for problem in problems]
    assert len(set(fresh)) > 20
    for _ in range(2):
        assert [plan(*problem, is_cached=True, repeats=2) for problem in problems] == fresh


# Where the kernels can run


@pytest.mark.parametrize(
    ("built", "capabilities"),
    [
        ("8.0+PTX;9.0a", {80, 86, 87, 89, 90, 100, 103, 120, 121}),
        ("8.0;9.0a", {80, 86, 87, 89, 90}),
        ("8.6", {86, 87, 89}),
        ("8.6+PTX", {86, 87, 89, 90, 100, 103, 120, 121}),
        ("9.0a", {90}),
        ("9.0a+PTX", {90}),
        ("9.0", {90}),
        ("10.0a", {100}),
        ("8.0 12.0", {80, 86, 87, 89, 120, 121}),
        ("10.0f", {100, 103}),
        ("7.5+PTX", {80, 86, 87, 89, 90, 100, 103, 120, 121}),
        ("", set()),
    ],
)
def test_where_a_build_runs(built: str, capabilities: set[int]) -> None:
    known = {70, 75, 80, 86, 87, 89, 90, 100, 103, 120, 121}
    runs = {c for c in known if not _ops.compiled.why_not_built_for(c, built)}
    assert runs == capabilities


def test_a_gpu_that_is_not_built_for_is_told_how() -> None:
    assert _ops.compiled.why_not_built_for(86, "8.9;9.0a") == (
        "no kernel here runs on compute capability 8.6 (sm_86): this module was built for "
        '8.9;9.0a; use_kernel("reference") works on every GPU. To rebuild, in the checkout: '
        'TORCH_CUDA_ARCH_LIST="8.6" pip install --no-build-isolation .'
    )


def test_a_gpu_that_is_too_old_is_told_so() -> None:
    told = (
        "no kernel here runs on compute capability 7.5 (sm_75): this module was built for {}; "
        'use_kernel("reference") works on every GPU. The kernels need sm_80 or later: a '
        'rebuild (TORCH_CUDA_ARCH_LIST="7.5" pip install --no-build-isolation .) would not help'
    )
    assert _ops.compiled.why_not_built_for(75, "8.0+PTX;9.0a") == told.format("8.0+PTX;9.0a")
    built = _ops.compiled.build_info()["cuda_architectures"] or "no GPU"
    for kernel in ("auto", "simt", "tiny"):
        with pytest.raises(ValueError) as refusal:
            plan_of(3, 4, 5, 6, arch="sm_75", kernel=kernel)
        assert str(refusal.value) == f"per_step_dense: {told.format(built)}"


@pytest.mark.parametrize("arch", ["sm_42x", "sm90", "90", "sm_", "hopper", "sm_91", "sm_90b"])
def test_unknown_architecture(arch: str) -> None:
    with pytest.raises(ValueError) as refusal:
        plan_of(3, 4, 5, 6, arch=arch)
    assert str(refusal.value) == (
        f"per_step_dense: arch must be one of {', '.join(ARCHITECTURES)}; got {arch!r}"
    )


def test_the_instructions_of_hopper_are_hopper() -> None:
    assert plan_of(3, 4, 5, 6, arch="sm_90a") == plan_of(3, 4, 5, 6, arch="sm_90")


def test_estimates_differ_between_gpus() -> None:
    plans = [plan_of(4096, 8, 1024, 1024, arch=arch) for arch in ARCHITECTURES]
    for one, other in itertools.pairwise(plans):
        assert one.floor_us != other.floor_us
        assert one.estimate_us != other.estimate_us
