"""Records made by hand, with round figures, for the tests of bench/report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pytest

for _package in ("pydantic", "rich", "matplotlib"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench.cases import Case, cases_for  # noqa: E402
from bench.record import (  # noqa: E402
    Bandwidth,
    Ceilings,
    Clock,
    Layout,
    Machine,
    Measurement,
    Memory,
    Outcome,
    Pass,
    Record,
    RivalResult,
    Row,
    Sizes,
    Timing,
    TrainingResult,
    TrainingRow,
)

OURS = "per_step_dense"
CONTIGUOUS, AS_LEFT = Layout.CONTIGUOUS, Layout.AS_LEFT

CPU_CEILINGS = Ceilings(
    copies=(
        Bandwidth(working_set_bytes=2**20, gb_per_s=40.0),
        Bandwidth(working_set_bytes=2**24, gb_per_s=20.0),
        Bandwidth(working_set_bytes=2**29, gb_per_s=10.0),
    ),
    tflops={"float32": 0.1},
    launch_us=1.0,
)
# Of an H200, as docs/design.md has them.
H200_CEILINGS = Ceilings(
    copies=(Bandwidth(working_set_bytes=2**31, gb_per_s=4300.0),),
    tflops={"float32": 55, "float64": 60, "tf32": 400, "float16": 790, "bfloat16": 790},
    launch_us=4.0,
    graph_launch_us=1.5,
)


def timing(us: float, spread: float = 0.1) -> Timing:
    """Quartiles of 5 % below and above, unless another spread is given."""
    return Timing(
        median_us=us, low_us=us * (1 - spread / 2), high_us=us * (1 + spread / 2), turns=9
    )


def measured(
    rival: str,
    us: float | None = None,
    *,
    as_left: float | None = None,
    clock: Clock = Clock.WALL,
    by_clock: Mapping[Clock, float] | None = None,
    peak: int = 2000,
    kernel: str | None = None,
) -> RivalResult:
    """A rival with a time, or one for each clock; ``as_left`` where its result needs a copy."""
    times = {clock: us} if us is not None else dict(by_clock or {})
    measurements = [
        Measurement(clock=name, layout=CONTIGUOUS, timing=timing(value))
        for name, value in times.items()
    ]
    if as_left is not None:
        measurements.append(Measurement(clock=clock, layout=AS_LEFT, timing=timing(as_left)))
    return RivalResult(
        rival=rival,
        outcome=Outcome.MEASURED,
        kernel=kernel,
        error=0.25,
        measurements=tuple(measurements),
        memory=Memory(peak_bytes=peak, tensors_bytes=1000),
    )


def failed(rival: str, outcome: Outcome, reason: str) -> RivalResult:
    return RivalResult(rival=rival, outcome=outcome, reason=reason)


def row(
    results: Iterable[RivalResult],
    *,
    case: str = "seed",
    sizes: tuple[int, int, int, int] = (32, 10, 4, 8),
    windows: tuple[int, int] = (1, 1),
    rows: int | None = None,
    arithmetic: str = "float32",
    computed: Pass = Pass.FORWARD,
    has_bias: bool = True,
    activation: str | None = None,
) -> Row:
    batch, steps, in_features, out_features = sizes
    kernel_size, stride = windows
    return Row(
        case=case,
        sizes=Sizes(
            batch=batch,
            steps=steps,
            in_features=in_features,
            out_features=out_features,
            kernel_size=kernel_size,
            stride=stride,
            rows=rows,
        ),
        arithmetic=arithmetic,
        computed=computed,
        has_bias=has_bias,
        activation=activation,
        results=tuple(results),
    )


def row_of(case: Case, results: Iterable[RivalResult], computed: Pass = Pass.FORWARD) -> Row:
    sizes = (case.batch, case.steps, case.in_features, case.out_features)
    return row(results, case=case.name, sizes=sizes, arithmetic=case.arithmetic, computed=computed)


def machine(device: str = "cpu", **fields: object) -> Machine:
    values: dict[str, object] = {
        "device": device,
        "device_name": "Abacus 9000" if device == "cpu" else "NVIDIA Abacus",
        "cpu": "Abacus 9000",
        "threads": 2,
        "driver": None if device == "cpu" else "999.1",
        "cuda": None if device == "cpu" else "13.0",
        "torch": "2.11.0",
        "python": "3.11.2",
        "per_step_dense": "0.1.0",
        "commit": "0123456789abcdef",
        "is_dirty": False,
        "date": "2026-03-04T05:06:07+00:00",
    }
    return Machine.model_validate(values | fields)


def cpu_record(**fields: object) -> Record:
    """Four results forward and as many with the backward, and a row of each other section.

    Forward ours takes 10 us; of the rivals baddbmm 12 (as it leaves the result: 8), einsum 20.
    """
    rows = [
        row(
            [
                measured(OURS, ours, kernel="reference", peak=1000),
                measured("einsum", 2 * ours),
                measured("baddbmm", 1.2 * ours, as_left=0.8 * ours),
                failed("grouped_mm", Outcome.UNSUPPORTED, "strides must be multiples of 16 bytes"),
            ],
            computed=computed,
        )
        for computed, ours in ((Pass.FORWARD, 10.0), (Pass.BOTH, 30.0))
    ]
    overhead = row(
        [
            measured(OURS, 3.0),
            measured("torch.ops.per_step_dense.forward", 2.0),
            measured("baddbmm", 4.0),
            measured("torch.compile(per_step_dense)", 6.0),
            measured("torch.compile(matmul)", 5.0),
        ],
        case="one small call",
        sizes=(8, 2, 4, 4),
    )
    values: dict[str, object] = {
        "machine": machine(),
        "is_quick": False,
        "ceilings": CPU_CEILINGS,
        "rows": tuple(rows),
        "overhead": (overhead,),
        "training": (training(),),
        "windows": (windows_row(),),
        "ragged": (ragged_row(),),
    }
    return Record.model_validate(values | fields)


def cuda_record(**fields: object) -> Record:
    """Every GPU case, ours at twice the floor's launch and more, two rivals; all clocks."""
    rows = []
    for number, case in enumerate(cases_for("cuda"), start=1):
        for computed in (Pass.FORWARD, Pass.BACKWARD):
            us = 3.0 * number
            clocks = {Clock.COLD: us, Clock.WARM: us / 2, Clock.GRAPH: us / 3, Clock.EAGER: 5.0}
            slower = {clock: time * (0.6 + 0.05 * number) for clock, time in clocks.items()}
            results = [measured(OURS, by_clock=clocks, kernel="simt 128x128")]
            results.append(measured("baddbmm", by_clock=slower))
            rows.append(row_of(case, results, computed))
    values: dict[str, object] = {
        "machine": machine("cuda"),
        "is_quick": False,
        "ceilings": H200_CEILINGS,
        "rows": tuple(rows),
    }
    return Record.model_validate(values | fields)


def windows_row() -> Row:
    """15,360 bytes of windows; forward, with one rival that holds them, and one that hides."""
    hidden = measured("LocallyConnected1D", 90.0).model_copy(update={"memory": None})
    return row(
        [
            measured(OURS, 30.0, peak=1000),
            measured("unfold + einsum", 45.0, peak=16_360),
            hidden,
        ],
        case="seed, k=3, s=2",
        windows=(3, 2),
    )


def ragged_row() -> Row:
    """80 of 320 rows exist; ours takes 12 us packed and 20 in any order, padding 40."""
    return row(
        [
            measured(OURS, 12.0),
            measured("per_step_dense, lengths in any order", 20.0),
            measured("per_step_dense, padded + mask", 40.0),
            measured("einsum, padded + mask", 60.0),
            failed("grouped_mm, packed", Outcome.UNSUPPORTED, "strides must be multiples"),
        ],
        case="seed, long-tailed",
        rows=80,
    )


def training() -> TrainingRow:
    return TrainingRow(
        model="a small model",
        description="batch 16. Linear.",
        results=(
            TrainingResult(
                layer=OURS, outcome=Outcome.MEASURED, timing=timing(1000.0), peak_bytes=5_000_000
            ),
            TrainingResult(
                layer="loop of nn.Linear",
                outcome=Outcome.MEASURED,
                timing=timing(2500.0),
                peak_bytes=6_000_000,
            ),
            TrainingResult(layer="einsum", outcome=Outcome.FAILED, reason="RuntimeError: no"),
        ),
    )
