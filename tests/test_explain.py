"""Does psd.explain tell what a call would do: work, floor, launches, and why?"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from cases import of_sizes
from torch import Tensor
from torch._subclasses import FakeTensorMode

import per_step_dense as psd
from bench import explain_shapes
from bench.cases import GPU_CASES, Case
from bench.forced import forced_tile
from bench.generated import END, begin_marker
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

F32 = torch.float32
DESIGN = Path(__file__).parents[1] / "docs" / "design.md"


def meta(*shape: int, dtype: torch.dtype = F32) -> Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


# What the call has to do. Floors of docs by hand for an H200: flops at 55 (float32), 60 (float64),
# 400 (tf32) or 790 (16 bits) TFLOP/s, bytes at 4.3 TB/s.
GFLOPS_MB_FLOORS = {
    "seed": (2e-5, 0.017, 0.004, 0.005),
    "seed, big batch": (0.042, 31.5, 7.32, 9.75),
    "LTSF electricity": (0.331, 50.4, 11.7, 23),
    "LTSF traffic": (6.67, 895, 208, 406),
    "rtdl NLinear": (0.064, 7.14, 1.66, 3.01),
    "rtdl NLinear, bf16": (0.642, 34.1, 7.92, 14.3),
    "TabM packed": (4.29, 67.2, 15.6, 27.3),
    "TabM packed, bf16": (17.2, 83.9, 21.7, 43.5),
    "TabM head": (0.008, 8.44, 1.96, 3.92),
    "PETS ensemble": (0.143, 3.99, 2.61, 5.21),
    "FBGEMM default": (2.62, 37.7, 8.78, 15.2),
    "ads tower": (55.8, 334, 77.7, 141),
    "ads per-feature": (17.2, 538, 125, 188),
    "MLA absorb, decode": (1.07, 27.3, 6.35, 12.2),
    "GEMV": (0.537, 538, 125, 250),
    "weight stream B=8": (4.29, 546, 127, 253),
    "weight stream B=64": (34.4, 587, 137, 269),
    "pytorch #187093": (85.9, 260, 109, 217),
    "compute": (1100, 1210, 1390, 2780),
    "ragged": (0.746, 16.1, 3.75, 6.18),
    "I % 8 != 0": (0.295, 15.8, 3.68, 5.06),
    "daily": (0.505, 49.8, 11.6, 19.4),
    "float64": (1.61, 56.6, 26.8, 53.7),
    "SGEMM": (68.7, 302, 1250, 2500),
}


@pytest.mark.parametrize("case", GPU_CASES, ids=lambda case: case.name)
def test_work_and_floor(case: Case) -> None:
    plan = explain_shapes.explain_case(case)
    gflops, mb, forward_us, backward_us = GFLOPS_MB_FLOORS[case.name]
    roundly = {"rel": 0.01, "abs": 0.0006}
    assert plan.flops / 1e9 == pytest.approx(gflops, **roundly)
    assert plan.bytes / 1e6 == pytest.approx(mb, **roundly)
    assert plan.floor_us == pytest.approx(forward_us, **roundly)
    assert plan.backward.floor_us == pytest.approx(backward_us, **roundly)
    assert plan.backward.flops == 2 * plan.flops


def test_expanded_tensors_count_once() -> None:
    x, weight, bias = meta(64, 5, 16), meta(5, 16, 8), meta(5, 8)
    y_bytes, weight_bytes, bias_bytes = 64 * 5 * 8 * 4, 5 * 16 * 8 * 4, 5 * 8 * 4

    def bytes_with(x: Tensor = x, weight: Tensor = weight, bias: Tensor | None = bias) -> int:
        return psd.explain(x, weight, bias, arch="sm_90").bytes

    assert bytes_with() == 64 * 5 * 16 * 4 + weight_bytes + bias_bytes + y_bytes
    assert bytes_with(bias=None) == bytes_with() - bias_bytes
    assert bytes_with(x=meta(5, 16).expand(64, 5, 16)) == bytes_with() - 63 * 5 * 16 * 4
    assert bytes_with(weight=meta(1, 16, 8).expand(5, 16, 8)) == bytes_with() - 4 * 16 * 8 * 4
    spaced = meta(5, 32)[:, ::2].expand(64, 5, 16)
    assert bytes_with(x=spaced) == bytes_with() - 63 * 5 * 16 * 4
    windows = meta(64, 5 + 15).unfold(1, 16, 1)
    assert bytes_with(x=windows) == bytes_with() - (64 * 5 * 16 - 64 * 20) * 4


def test_a_gradient_needs_the_preactivation_of_gelu() -> None:
    x, weight = meta(64, 5, 16), meta(5, 16, 8)
    plain = psd.explain(x, weight, arch="sm_90", activation="gelu")
    x.requires_grad_()
    assert psd.explain(x, weight, arch="sm_90", activation="gelu").bytes == (
        plain.bytes + 64 * 5 * 8 * 4
    )
    assert psd.explain(x, weight, arch="sm_90", activation="relu").bytes == plain.bytes
    with torch.no_grad():
        assert psd.explain(x, weight, arch="sm_90", activation="gelu").bytes == plain.bytes


def test_an_activation_is_one_pass_more_in_the_backward() -> None:
    args = meta(64, 5, 16), meta(5, 16, 8)
    plain = psd.explain(*args, arch="sm_90").backward
    activated = psd.explain(*args, arch="sm_90", activation="relu").backward
    assert activated.launches == plain.launches + 1
    assert activated.bytes == plain.bytes + 3 * 64 * 5 * 8 * 4
    assert activated.estimate_us > plain.estimate_us + 2
    assert activated.backward is None


# Which tensors


def test_the_cpu_runs_aten() -> None:
    plan = psd.explain(*of_sizes(3, 4, 5, 6, torch.float64, "cpu"), activation="relu")
    assert (plan.kernel, plan.launches, plan.tile, plan.grid) == ("aten", 0, None, None)
    assert (plan.floor_us, plan.estimate_us, plan.architecture) == (None, None, None)
    assert plan.reason == "tensors on cpu: ATen's batched products"
    assert plan.flops == 2 * 3 * 4 * 5 * 6
    assert plan.backward.kernel == "aten"
    with psd.use_kernel("reference"):
        plan = psd.explain(*of_sizes(3, 4, 5, 6, F32, "cpu"))
    assert plan.kernel == "reference"
    assert plan.reason == "use_kernel('reference') asks for torch.einsum"


def test_where_the_tensors_are_does_not_matter() -> None:
    args = of_sizes(33, 4, 50, 60, torch.bfloat16, "cpu")
    plan = psd.explain(*args, arch="sm_90")
    assert plan == psd.explain(*(tensor.to("meta") for tensor in args), arch="sm_90")
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    assert plan == psd.explain(*map(mode.from_tensor, args), arch="sm_90")


def test_fake_cuda_tensors() -> None:
    with FakeTensorMode():
        args = torch.empty(3, 4, 5, device="cuda"), torch.empty(4, 5, 6, device="cuda")
    plan = psd.explain(*args, arch="sm_80")
    assert plan.kernel in ("simt", "tiny")
    assert plan.architecture == "sm_80"


def test_leading_dimensions() -> None:
    weight = meta(4, 5, 6)
    plan = psd.explain(meta(6, 4, 5), weight, arch="sm_90")
    assert psd.explain(meta(2, 3, 4, 5), weight, arch="sm_90") == plan
    assert psd.explain(meta(3, 2, 4, 5).transpose(0, 1), weight, arch="sm_90") == plan
    assert psd.explain(meta(4, 5), weight, arch="sm_90").flops == plan.flops / 6


def test_meta_tensors_need_an_architecture() -> None:
    with pytest.raises(ValueError) as refusal:
        psd.explain(meta(3, 4, 5), meta(4, 5, 6))
    assert str(refusal.value) == (
        "per_step_dense: arch must be given for tensors of device meta, as one of sm_80, sm_86, "
        "sm_89, sm_90, sm_100, sm_120; got None"
    )


def test_autocast_counts() -> None:
    args = of_sizes(64, 5, 16, 8, F32, "cpu")
    half = psd.explain(*(tensor.bfloat16() for tensor in args), arch="sm_90")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert psd.explain(*args, arch="sm_90") == half
        doubles = [tensor.double() for tensor in args]
        assert psd.explain(*doubles, arch="sm_90").bytes == 4 * half.bytes


# Errors


@pytest.mark.parametrize(
    ("changed", "error", "text"),
    [
        ({"bias": meta(6)}, ValueError, "bias must be (T, O) = (4, 6); got (6,)"),
        ({"x": [1.0]}, TypeError, "x must be a torch.Tensor; got list"),
        ({"weight": meta(4, 5, 6).int()}, TypeError, "weight must be float32, float64, float16 or"),
        ({"activation": "swish"}, ValueError, "activation must be None or one of relu,"),
        ({"activation": "none"}, ValueError, "activation must be None or one of relu,"),
        ({"arch": 90}, TypeError, "arch must be None or a str such as 'sm_90'; got int"),
        ({"arch": ""}, ValueError, "arch must be one of sm_80,"),
    ],
)
def test_wrong_arguments(changed: dict[str, object], error: type, text: str) -> None:
    good = {"x": meta(3, 4, 5), "weight": meta(4, 5, 6), "bias": None, "arch": "sm_90"}
    with pytest.raises(error) as refusal:
        psd.explain(**{**good, **changed})
    assert str(refusal.value).startswith(f"per_step_dense: {text}")


def test_more_than_64_bits_count_is_refused() -> None:
    one = meta(1, 1, 1)
    with pytest.raises(ValueError) as refusal:
        psd.explain(one.expand(2**20, 2**20, 2**10), one.expand(2**20, 2**10, 2**20), arch="sm_90")
    assert str(refusal.value) == (
        "per_step_dense: x of (1048576, 1048576, 1024) and 1048576 features on the other side are "
        "more multiply-adds than are counted, 2^59 in tiles of 256"
    )
    steps = psd.explain(one.expand(1, 2**33, 1), one.expand(2**33, 1, 1), arch="sm_90")
    assert steps.flops == 2**34


def test_column_sums_alone_are_counted_as_well() -> None:
    """Without features there are no rows, and tiny's columns numbered 2^32."""
    x, weight, bias = meta(1, 2**16, 0), meta(2**16, 0, 2**16), meta(2**16, 2**16)
    plan = psd.explain(x, weight, bias, arch="sm_90")
    assert plan.backward is not None and plan.backward.kernel != "tiny"
    assert "tiny needs fewer than 2^31 groups of 4 outputs" in plan.backward.reason


# The Plan


def test_a_plan_is_frozen() -> None:
    plan = psd.explain(meta(3, 4, 5), meta(4, 5, 6), arch="sm_90")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.kernel = "mine"


def test_text_of_a_cpu_plan() -> None:
    assert str(psd.explain(*of_sizes(3, 4, 5, 6, torch.float64, "cpu"))) == (
        "aten: 0 launches\n"
        "  work      7.2e-07 GFLOP, 0.00221 MB\n"
        "  why       tensors on cpu: ATen's batched products\n"
        "backward:\n"
        "  aten: 0 launches\n"
        "    work      1.44e-06 GFLOP, 0.00365 MB\n"
        "    why       tensors on cpu: ATen's batched products"
    )


def test_text_of_a_plan_with_clusters() -> None:
    case = next(case for case in GPU_CASES if case.name == "compute")
    with forced_tile("sm90", 0):
        plan = explain_shapes.explain_case(case)
    assert (plan.kernel, plan.tile, plan.stages, plan.cluster) == ("sm90", "2x128x256", 3, 2)
    assert plan.grid == (132, 1, 1)
    headline, _, pipeline, *_ = str(plan).splitlines()
    assert headline.startswith("sm90 2x128x256 on sm_90: 1 launch, 132 blocks of 384 threads, ")
    assert pipeline == "  pipeline  3 stages, clusters of 2"


def test_text_of_one_block_and_of_sums_in_two_parts() -> None:
    with psd.use_kernel("simt"):
        plan = psd.explain(meta(2, 1, 3), meta(1, 3, 4), arch="sm_90")
    assert f": 1 launch, 1 block of {plan.threads} threads, " in str(plan)
    halves = dataclasses.replace(plan, splits=(1, 2), workspace_bytes=1_500_000, reason="a b " * 40)
    _, work, *why = str(halves).splitlines()
    assert work.endswith(", sums split by 1 and 2, workspace 1.5 MB")
    told = [line for line in why if " a b" in line]
    assert told[0].startswith("  why       a b a b") and len(told) == 2
    assert told[1].startswith(" " * 12 + "a b") and max(map(len, told)) <= 96


def test_gradients_that_are_copied_are_told_of() -> None:
    plan = explain_shapes.explain_case(next(case for case in GPU_CASES if case.name == "compute"))
    told = "; a gradient that TMA cannot describe, such as that of a sum, is copied first"
    assert plan.backward.kernel == "sm90"
    assert told in plan.backward.reason and told not in plan.reason
    with psd.use_kernel("simt"):
        forced = psd.explain(meta(9, 4, 64), meta(4, 64, 80), arch="sm_90")
    assert told not in forced.backward.reason


def test_text_of_a_backward_by_two_launches() -> None:
    case = next(case for case in GPU_CASES if case.name == "seed, big batch")
    backward = explain_shapes.explain_case(case).backward
    text = str(backward).splitlines()
    assert text[0] == "tiny on sm_90: 3 launches"
    for name, part, launches in zip(
        ("x", "weight"), backward.parts, ("1 launch", "2 launches"), strict=True
    ):
        at = text.index(f"gradient of {name}:")
        told = f"  tiny {part.tile} on sm_90: {launches}, {part.grid[0]} blocks of "
        assert text[at + 1].startswith(told)
    assert explain_shapes.describe(backward)[0] == "tiny 4x4, then tiny 4x1 sliced, split 1/128"


def test_text_of_a_kernel_plan() -> None:
    with psd.use_kernel("simt"):
        plan = psd.explain(meta(64, 1, 8192), meta(1, 8192, 64), arch="sm_90")
    headline, work, pipeline, time, *_ = str(plan).splitlines()
    (splits,) = plan.splits
    assert headline == (
        f"simt {plan.tile} on sm_90: 2 launches, {plan.grid[0]} blocks of {plan.threads} threads, "
        f"{plan.smem_bytes} bytes of shared memory each"
    )
    megabytes = splits * 64 * 64 * 4 / 1e6
    assert work == (
        f"  work      0.0671 GFLOP, 4.21 MB, sums split by {splits}, workspace {megabytes:.3g} MB"
    )
    assert pipeline == f"  pipeline  {plan.stages} stages"
    assert time == (
        f"  time      {plan.floor_us:.3g} us floor, {plan.estimate_us:.3g} us estimated"
    )
    assert all(len(line) <= 100 for line in str(plan).splitlines())


def test_a_plan_tells_the_launches(gpu: torch.device) -> None:
    for case in GPU_CASES[:3]:
        args = case.tensors(gpu)
        plan = psd.explain(*args)
        psd.per_step_dense(*args)
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True
        ) as profile:
            psd.per_step_dense(*args)
            torch.cuda.synchronize()
        assert sum(event.count for event in profile.key_averages()) == plan.launches


# The table in the design notes


def test_the_table_of_the_design_notes_is_up_to_date() -> None:
    assert explain_shapes.main(["--check", str(DESIGN)]) == 0


def test_a_table_out_of_date_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text(f"before\n{begin_marker(explain_shapes.COMMAND)}\nold\n{END}\nafter\n")
    assert explain_shapes.main(["--check", str(notes)]) == 1
    assert "is out of date: python -m bench.explain_shapes --update" in capsys.readouterr().err
    assert explain_shapes.main(["--update", str(notes)]) == 0
    assert explain_shapes.main(["--check", str(notes)]) == 0
    text = notes.read_text()
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert len([line for line in text.splitlines() if line.startswith("| ")]) == 2 + len(GPU_CASES)
