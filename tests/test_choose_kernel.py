"""Does the chooser choose what it says, for reasons that hold, on every architecture?"""

from __future__ import annotations

import itertools
from typing import Literal

import pytest
import torch
from plans import ARCHITECTURES, BF16, DTYPE_OF_KERNEL, meta, plan_of

import per_step_dense as psd
from bench.cases import GPU_CASES, Case
from bench.explain_shapes import explain_case
from bench.precision import float32_products
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

BY_NAME = {case.name: case for case in GPU_CASES}
KERNELS = (*DTYPE_OF_KERNEL, "sm90")


# What is chosen


@pytest.mark.parametrize(
    ("name", "kernel", "tile"),
    [
        ("seed", "tiny", None),
        ("seed, big batch", "tiny", None),
        ("TabM head", "tiny", None),  # O = 1
        ("LTSF electricity", "simt", "16x128"),  # B = 16
        ("LTSF traffic", "sm80", "16x128"),  # the same with tf32
        ("rtdl NLinear", "simt", "32x32"),
        ("rtdl NLinear, bf16", "sm90", "128x64"),  # O = 24
        ("TabM packed", "sm90", "128x128"),  # tf32
        ("TabM packed, bf16", "sm90", "128x256"),
        ("PETS ensemble", "simt", "32x32"),
        ("FBGEMM default", "aten", None),  # O = 100 is no multiple of 8
        ("ads tower", "sm90", "128x256"),
        ("ads per-feature", "sm90", "128x64"),  # O = 64
        ("MLA absorb, decode", "sm90", "64x128"),  # B = 64
        ("weight stream B=8", "sm80", "16x128"),
        ("pytorch #187093", "sm90", "128x256"),
        ("compute", "sm90", "128x256"),
        ("ragged", "aten", None),
        ("float64", "aten", None),
        ("SGEMM", "aten", None),
    ],
)
def test_chosen_on_an_h200(name: str, kernel: str, tile: str | None) -> None:
    plan = explain_case(BY_NAME[name])
    assert plan.kernel == kernel
    if tile:
        assert plan.tile == tile


@pytest.mark.parametrize(
    ("name", "kernel", "tile"),
    [
        ("seed", "tiny", "4x1 sliced"),
        ("rtdl NLinear", "simt", "32x32"),
        ("rtdl NLinear, bf16", "sm90", "128x64"),
        ("TabM packed, bf16", "sm90", "128x256"),
        ("PETS ensemble", "simt", "32x32"),
        ("ads tower", "sm90", "128x256"),
        ("ads per-feature", "sm90", None),
        ("MLA absorb, decode", "sm90", "128x128"),
        ("weight stream B=8", "sm90", None),
        ("weight stream B=64", "sm90", None),
        ("compute", "sm90", "128x256"),
        ("daily", "simt", "64x64"),
        ("SGEMM", "aten", None),
    ],
)
def test_backward_chosen_on_an_h200(name: str, kernel: str, tile: str | None) -> None:
    backward = explain_case(BY_NAME[name]).backward
    assert (backward.kernel, backward.parts) == (kernel, ())
    if tile:
        assert backward.tile == tile


def test_products_that_no_kernel_does_both_of_well_have_a_launch_each() -> None:
    backward = explain_case(BY_NAME["seed, big batch"]).backward
    of_x, of_weight = backward.parts
    assert (of_x.kernel, of_x.tile) == ("tiny", "4x4")
    assert (of_weight.kernel, of_weight.tile) == ("tiny", "4x1 sliced")
    assert backward.kernel == "tiny"
    assert (backward.tile, backward.grid, backward.stages, backward.splits) == (None,) * 3 + ((),)
    assert backward.launches == of_x.launches + of_weight.launches == 3
    assert backward.flops == of_x.flops + of_weight.flops
    assert backward.bytes < of_x.bytes + of_weight.bytes  # dz is read by both
    assert backward.estimate_us == pytest.approx(of_x.estimate_us + of_weight.estimate_us)
    with psd.use_kernel("tiny"):
        together = explain_case(BY_NAME["seed, big batch"]).backward
    assert (together.launches, together.parts) == (2, ())
    assert together.estimate_us > backward.estimate_us / 0.9
    assert f"{together.tile} {together.estimate_us:.1f} us" in backward.reason


def apart_us(backward: psd.Plan) -> float:
    return float(backward.reason.rpartition("a launch for each product: ")[2].split(" us")[0])


def test_a_launch_for_each_product_is_weighed_and_told() -> None:
    backward = explain_case(BY_NAME["compute"]).backward
    assert backward.parts == ()
    assert apart_us(backward) > backward.estimate_us
    with psd.use_kernel("sm90"):
        assert "for each product" not in explain_case(BY_NAME["compute"]).backward.reason


def test_a_second_launch_has_to_be_clearly_faster() -> None:
    close = [
        backward
        for case in GPU_CASES
        for backward in [explain_case(case).backward]
        if not backward.parts and apart_us(backward) < backward.estimate_us
    ]
    assert close
    for backward in close:
        assert apart_us(backward) > 0.89 * backward.estimate_us  # told in rounded figures


@pytest.mark.parametrize("name", ["TabM packed, bf16", "ads tower", "pytorch #187093", "compute"])
def test_compute_is_cublas_where_mma_sync_is_all_that_the_kernels_have(name: str) -> None:
    for arch in ("sm_80", "sm_100"):
        assert explain_case(BY_NAME[name], arch).kernel == "aten"
        with psd.use_kernel("sm80"):
            assert explain_case(BY_NAME[name], arch).tile == "128x128"


@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("case", GPU_CASES, ids=lambda case: case.name)
def test_only_those_take_part_that_compute_what_was_asked_for(case: Case, arch: str) -> None:
    plan = explain_case(case, arch)
    kernels = {plan.kernel, *plan.backward.kernel.split("+")}
    if case.arithmetic in ("float32", "float64"):
        assert kernels <= {"simt", "tiny", "aten"}
    assert kernels <= {"simt", "tiny", "sm80", "sm90", "aten"}
    takes_sm90 = arch == "sm_90" and case.arithmetic in ("bfloat16", "float16", "tf32")
    assert ("sm90" in kernels) <= takes_sm90
    assert (plan.architecture, plan.backward.architecture) == (arch, arch)


@pytest.mark.parametrize("case", GPU_CASES, ids=lambda case: case.name)
def test_the_least_estimate_wins_and_no_floor_is_undercut(case: Case) -> None:
    plan = explain_case(case)
    for told in (plan, plan.backward):
        assert told.floor_us < told.estimate_us
        for kernel in KERNELS:
            try:
                with psd.use_kernel(kernel):
                    forced = explain_case(case)
            except ValueError:
                continue
            if told is plan.backward and kernel == "sm90" and case.arithmetic == "tf32":
                continue  # the chooser's, for it has no gradient of weight
            forced = forced if told is plan else forced.backward
            assert forced.kernel == kernel
            assert forced.estimate_us >= told.estimate_us


def test_the_same_question_has_the_same_answer() -> None:
    assert [explain_case(case) for case in GPU_CASES] == [explain_case(case) for case in GPU_CASES]


def test_of_equals_the_one_with_time_to_spare() -> None:
    plan = explain_case(BY_NAME["LTSF traffic"], "sm_86")  # memory bounds both
    assert plan.kernel == "sm80"
    assert f"simt 32x32 {plan.estimate_us:.0f} us" in plan.reason


def test_narrow_copies_cost_more() -> None:
    def estimate(pitch: int, step: int = 1) -> float:
        x, weight = meta(512, 32, pitch, dtype=BF16), meta(32, 512, pitch, dtype=BF16)
        views = (tensor[..., : 512 * step : step] for tensor in (x, weight))
        with psd.use_kernel("sm80"):
            return psd.explain(*views, arch="sm_90").estimate_us

    by_16, by_8, by_4, of_odd_rows = map(estimate, (520, 516, 514, 513))
    one_by_one = estimate(1024, step=2)
    assert by_16 < by_8 < by_4 < of_odd_rows < one_by_one
    assert of_odd_rows > 1.5 * by_16


@pytest.mark.parametrize(
    "sizes", [(0, 3, 4, 5), (3, 0, 4, 5), (3, 4, 0, 5), (3, 4, 5, 0)], ids=["B", "T", "I", "O"]
)
def test_zero_sizes_have_plans(sizes: tuple[int, int, int, int]) -> None:
    for kernel in ("auto", *DTYPE_OF_KERNEL):
        plan = plan_of(*sizes, kernel=kernel)
        assert plan.flops == 0
        b, t, _, o = sizes
        assert (plan.launches > 0) == (b * t * o > 0)


# The reason


def test_reason_names_what_was_weighed_and_what_could_not_be() -> None:
    plan = plan_of(4096, 8, 1024, 1024)
    assert plan.reason.startswith("estimated: aten ")
    for tile in ("128x128", "64x64", "32x32", "16x128"):
        assert f", simt {tile} " in plan.reason
    assert "I * O <= 4096" in plan.reason and "I = 1024, O = 1024" in plan.reason
    assert "; sm80 needs float16, bfloat16, or float32 where " in plan.reason
    assert "got float32 in IEEE precision" in plan.reason
    assert f"{plan.estimate_us:.0f} us" in plan.reason


def test_reason_of_tensor_cores_names_both_shapes_of_a_tile() -> None:
    backward = explain_case(BY_NAME["FBGEMM default"]).backward  # O = 100
    assert backward.reason.startswith("estimated: aten ")
    for tile in ("128x128", "128x64", "64x64", "128x32+64x64", "32x128+64x128", "16x128+64x128"):
        assert f", sm80 {tile} " in backward.reason


def test_reason_says_why_hoppers_kernels_cannot_take_part() -> None:
    def reason(o: int, arch: str = "sm_90") -> str:
        return psd.explain(meta(9, 4, 64, dtype=BF16), meta(4, 64, o, dtype=BF16), arch=arch).reason

    assert "; sm90: O = 77 is not a multiple of 8: TMA stores whole 16 bytes" in reason(77)
    assert "; sm90 needs compute capability 9.0; this is sm_80" in reason(80, "sm_80")
    assert "sm90 2x128x256 " in reason(80) and "; sm90" not in reason(80)
    with float32_products("tf32"):
        backward = psd.explain(meta(9, 4, 64), meta(4, 64, 80), arch="sm_90").backward
    assert "; sm90 computes the gradient of x alone in tfloat32" in backward.reason


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


def test_the_cache_tells_precisions_apart() -> None:
    problem = meta(200, 16, 136), meta(16, 136, 136), "sm_90"

    def kernel(precision: Literal["ieee", "tf32"]) -> str:
        with float32_products(precision):
            return _ops.compiled.plan_repeatedly(*problem, is_cached=True, repeats=1)[0]

    assert [kernel(precision) for precision in ("ieee", "tf32", "ieee")] == ["simt", "sm90", "simt"]


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
        ("999999999.9;9.0", {90}),
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
    for kernel in ("auto", *KERNELS):
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
