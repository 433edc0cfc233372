"""Work, floors and best rivals, by figures computed by hand."""

from __future__ import annotations

import pytest
from bench_records import (
    AS_LEFT,
    CONTIGUOUS,
    CPU_CEILINGS,
    H200_CEILINGS,
    OURS,
    cuda_record,
    failed,
    measured,
    row,
    row_of,
    timing,
)

from bench import derived
from bench.cases import GPU_CASES
from bench.derived import Bound
from bench.record import Clock, Measurement, Memory, Outcome, Pass

# (B, T, I, O) = (2, 3, 5, 7): x has 30 elements, weight 105, bias 21, y 42.
SMALL = (2, 3, 5, 7)
PRODUCT = 2 * 2 * 3 * 5 * 7


@pytest.mark.parametrize(
    ("computed", "products", "elements"),
    [
        (Pass.FORWARD, 1, 30 + 105 + 21 + 42),
        (Pass.RECORDED, 1, 30 + 105 + 21 + 42),
        (Pass.BACKWARD, 2, 42 + 30 + 105 + 30 + 105 + 21),
        (Pass.BOTH, 3, 30 + 105 + 21 + 42 + 42 + 30 + 105 + 30 + 105 + 21),
    ],
)
def test_work(computed: Pass, products: int, elements: int) -> None:
    layer = row([], sizes=SMALL, computed=computed)
    assert derived.flops(layer) == products * PRODUCT
    assert derived.least_bytes(layer) == 4 * elements


@pytest.mark.parametrize(
    ("arithmetic", "size"),
    [("float16", 2), ("bfloat16", 2), ("float32", 4), ("tf32", 4), ("float64", 8)],
)
def test_bytes_of_an_element(arithmetic: str, size: int) -> None:
    assert derived.least_bytes(row([], sizes=SMALL, arithmetic=arithmetic)) == size * 198


@pytest.mark.parametrize(
    ("computed", "elements"),
    [(Pass.FORWARD, 177), (Pass.BACKWARD, 312), (Pass.BOTH, 489)],
)
def test_without_a_bias_none_is_read_or_written(computed: Pass, elements: int) -> None:
    layer = row([], sizes=SMALL, has_bias=False, computed=computed)
    assert derived.least_bytes(layer) == 4 * elements


def test_rates() -> None:
    layer = row([], sizes=SMALL)
    assert derived.gflop_per_s(layer, timing(0.5)) == pytest.approx(PRODUCT / 500)
    assert derived.gb_per_s(layer, timing(0.5)) == pytest.approx(4 * 198 / 500)
    assert derived.memory_ratio(Memory(peak_bytes=300, tensors_bytes=200)) == 1.5


# By hand for an H200 (docs/design.md): microseconds forward and backward, and what binds.
FLOORS = {
    "seed": (1.5, "launch", 1.5, "launch"),
    "LTSF electricity": (11.7, "memory", 23, "memory"),
    "LTSF traffic": (208, "memory", 406, "memory"),
    "TabM packed, bf16": (21.7, "compute", 43.5, "compute"),
    "PETS ensemble": (2.61, "compute", 5.21, "compute"),
    "FBGEMM default": (8.78, "memory", 15.2, "memory"),
    "ads tower": (77.7, "memory", 141, "compute"),
    "float64": (26.8, "compute", 53.7, "compute"),
    "SGEMM": (1250, "compute", 2500, "compute"),
}


@pytest.mark.parametrize("name", FLOORS)
def test_floors_and_what_binds(name: str) -> None:
    (case,) = (case for case in GPU_CASES if case.name == name)
    forward_us, forward_bound, backward_us, backward_bound = FLOORS[name]
    for computed, us, bound in (
        (Pass.FORWARD, forward_us, forward_bound),
        (Pass.BACKWARD, backward_us, backward_bound),
    ):
        floor = derived.floor(row_of(case, [], computed), H200_CEILINGS, Clock.COLD)
        assert floor is not None
        assert floor.us == pytest.approx(us, rel=0.01)
        assert floor.bound is Bound(bound)


@pytest.mark.parametrize(
    ("clock", "us"), [(Clock.COLD, 1.5), (Clock.WARM, 1.5), (Clock.GRAPH, 1.5), (Clock.EAGER, 4.0)]
)
def test_the_launch_is_that_of_the_clock(clock: Clock, us: float) -> None:
    floor = derived.floor(row([]), H200_CEILINGS, clock)
    assert floor == derived.Floor(us, Bound.LAUNCH)
    without_graph = H200_CEILINGS.model_copy(update={"graph_launch_us": None})
    assert derived.launch_us(without_graph, clock) == 4.0


@pytest.mark.parametrize(
    ("size", "bandwidth"),
    [(1, 40), (2**20, 40), (2**20 + 1, 20), (2**24, 20), (2**29, 10), (2**40, 10)],
)
def test_bandwidth_is_of_the_smallest_copy_that_holds_the_bytes(
    size: int, bandwidth: float
) -> None:
    assert derived.copy_gb_per_s(CPU_CEILINGS, size) == bandwidth
    shuffled = CPU_CEILINGS.model_copy(update={"copies": CPU_CEILINGS.copies[::-1]})
    assert derived.copy_gb_per_s(shuffled, size) == bandwidth


def test_there_is_no_floor_without_its_ceilings() -> None:
    assert derived.floor(row([], arithmetic="float64"), CPU_CEILINGS, Clock.WALL) is None
    without_copies = CPU_CEILINGS.model_copy(update={"copies": ()})
    assert derived.floor(row([]), without_copies, Clock.WALL) is None


def test_the_best_rival_is_the_fastest_that_is_not_ours() -> None:
    layer = row(
        [
            measured(OURS, 10.0),
            measured("torch.ops.per_step_dense.forward", 1.0),
            measured("torch.compile(per_step_dense)", 1.0),
            measured("einsum", 20.0),
            measured("baddbmm", 15.0),
            failed("grouped_mm", Outcome.WRONG, "y is off"),
        ]
    )
    best = derived.best_rival(layer, Clock.WALL)
    assert best is not None and best.rival == "baddbmm"
    assert derived.speed_up(layer, Clock.WALL) == 1.5


def test_contiguous_results_are_compared_unless_asked_otherwise() -> None:
    layer = row(
        [measured(OURS, 10.0), measured("einsum", 12.0), measured("baddbmm", 15.0, as_left=8.0)]
    )
    assert derived.speed_up(layer, Clock.WALL) == 1.2
    assert derived.speed_up(layer, Clock.WALL, AS_LEFT) == 0.8  # ours is contiguous anyway
    best = derived.best_rival(layer, Clock.WALL, AS_LEFT)
    assert best is not None and best.rival == "baddbmm"


def test_a_time_that_failed_as_left_is_not_replaced_by_another() -> None:
    result = measured("baddbmm", 15.0)
    lost = Measurement(clock=Clock.WALL, layout=AS_LEFT, timing=None, reason="no time")
    result = result.model_copy(update={"measurements": (*result.measurements, lost)})
    assert derived.time_of(result, Clock.WALL, CONTIGUOUS) == timing(15.0)
    assert derived.time_of(result, Clock.WALL, AS_LEFT) is None


def test_without_a_rival_or_ours_there_is_no_speed_up() -> None:
    alone = row([measured(OURS, 10.0), failed("einsum", Outcome.FAILED, "no")])
    assert derived.best_rival(alone, Clock.WALL) is None
    assert derived.speed_up(alone, Clock.WALL) is None
    assert derived.speed_up(row([measured("einsum", 10.0)]), Clock.WALL) is None
    assert derived.speed_up(row([]), Clock.WALL) is None


def test_clocks_of_the_headline() -> None:
    record = cuda_record()
    assert derived.headline_clock(record.machine) is Clock.COLD
    assert derived.overhead_clock(record.machine) is Clock.EAGER
