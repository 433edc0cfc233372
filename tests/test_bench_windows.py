"""Are locally connected layers checked, measured and shown, and is their memory what it is said?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import truth
from torch import Tensor

for _package in ("matplotlib", "pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench_records import OURS, cpu_record, measured, row, windows_row

import per_step_dense as psd
from bench import derived
from bench.arguments import parse
from bench.cases import Case
from bench.contestant import Results, TorchContestant
from bench.gate import Gate, WrongError
from bench.record import Memory, Outcome, Pass, Record, Row, Sizes, read
from bench.report.compare import compare
from bench.report.grid import Grid
from bench.report.layer import headline_grid
from bench.report.markdown import page_text
from bench.report.readme import readme_text
from bench.report.sections import held, windows_memory_grid
from bench.report.table import grids
from bench.rivals import RIVALS, UNFOLDED, WINDOW_RIVALS
from bench.rivals.base import TorchRival
from bench.rivals.guests import LocallyConnected1D
from bench.row import measure_row
from bench.timing import Budget, stopwatches_of
from bench.workload import Workload

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
RIVALS_HERE = [rival for rival in WINDOW_RIVALS if isinstance(rival, TorchRival)]
UNCOMPILED = [rival for rival in RIVALS_HERE if not derived.is_compiled(rival.name)]
WINDOWS = [(3, 1), (3, 2), (2, 5), (4, 4), (1, 2), (5, 1)]  # k and s


def workload(
    computed: Pass = Pass.BOTH,
    windows: tuple[int, int] = (3, 2),
    *,
    has_bias: bool = True,
    activation: str | None = "gelu",
) -> Workload:
    kernel_size, stride = windows
    case = Case("small", 5, 4, 6, 8, torch.float32, "a test", False, kernel_size, stride)
    return Workload(case, CPU, computed, has_bias, activation)


def entered(rival: TorchRival, work: Workload) -> TorchContestant:
    return rival.enter(work, [work.inputs()], stopwatches_of(CPU))


def exact(work: Workload) -> Results:
    """In float64, window by window, by nothing of the bench."""
    case, inputs = work.case, work.inputs()
    tensors = (inputs.x, inputs.weight, inputs.bias)
    leaves = [tensor.double().requires_grad_() for tensor in tensors if tensor is not None]
    seen = [
        leaves[0][:, t * case.stride : t * case.stride + case.kernel_size].flatten(1)
        for t in range(case.steps)
    ]
    y = truth.per_step_dense(torch.stack(seen, 1), *leaves[1:], activation=work.activation)
    gradients = torch.autograd.grad(y, leaves, inputs.dy.double())
    return Results(y.detach(), *gradients)


# Right


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("windows", WINDOWS, ids=str)
@pytest.mark.parametrize("rival", UNCOMPILED, ids=lambda rival: rival.name)
def test_rivals_compute_the_locally_connected_layer(
    rival: TorchRival, windows: tuple[int, int], has_bias: bool, activation: str | None
) -> None:
    work = workload(windows=windows, has_bias=has_bias, activation=activation)
    expected = exact(work).items()
    results = entered(rival, work).results().items()
    assert results.keys() == expected.keys()
    for name, tensor in results.items():
        torch.testing.assert_close(tensor.double(), expected[name], rtol=1e-5, atol=1e-5, msg=name)
    forward = workload(Pass.FORWARD, windows, has_bias=has_bias, activation=activation)
    (y,) = entered(rival, forward).results().items().values()
    torch.testing.assert_close(y.double(), expected["y"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("windows", WINDOWS, ids=str)
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_the_gates_truth_is_exact(windows: tuple[int, int], activation: str | None) -> None:
    work = workload(windows=windows, activation=activation)
    assert Gate(work, work.inputs()).check(exact(work)) < 1e-6


def nudged(tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    changed.view(-1)[3] += 1e-4 * tensor.abs().max()
    return changed


def parts_swapped(tensor: Tensor) -> Tensor:
    """The rows of weight in the order (feature, step)."""
    return tensor.unflatten(1, (3, 6)).transpose(1, 2).flatten(1, 2)


WRONG: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "one element": ("y", nudged),
    "steps in another order": ("y", lambda t: t.roll(1, 1)),
    "a gradient of x": ("dx", nudged),
    "a step that two windows have, counted once": (
        "dx",
        lambda t: torch.cat([t[:, :2], 0.5 * t[:, 2:3], t[:, 3:]], 1),
    ),
    "a gradient of weight": ("dweight", nudged),
    "rows in another order": ("dweight", parts_swapped),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_gate_stops(wrong: str) -> None:
    name, change = WRONG[wrong]
    work = workload()
    results = exact(work).items()
    spoilt = Results(**{**results, name: change(results[name])})
    with pytest.raises(WrongError, match=f"^{name} is off by"):
        Gate(work, work.inputs()).check(spoilt)


def test_the_gate_wants_the_gradient_of_x_and_not_of_its_windows() -> None:
    work = workload()
    results = exact(work)
    windows = Results(results.y, torch.ones(5, 4, 18), results.dweight, results.dbias)
    with pytest.raises(WrongError, match=r"dx is of shape \(5, 4, 18\); expected \(5, 9, 6\)"):
        Gate(work, work.inputs()).check(windows)


def test_sums_keep_the_size_of_their_terms_over_windows() -> None:
    case = Case("large", 64, 2, 512, 32, torch.float32, "a test", False, 3)
    inputs = Workload(case, CPU, Pass.FORWARD, False, None).inputs()
    windows = inputs.x.unfold(1, 3, 1).mT.flatten(2)
    assert truth.per_step_dense(windows, inputs.weight).std().item() == pytest.approx(1, 0.1)


@pytest.mark.parametrize("windows", [(3, 1), (3, 2), (2, 5)], ids=str)
@pytest.mark.parametrize("computed", [Pass.FORWARD, Pass.BOTH])
def test_keras_2_computes_the_locally_connected_layer(
    computed: Pass, windows: tuple[int, int]
) -> None:
    rival = LocallyConnected1D()
    if missing := rival.why_not_installed():
        pytest.skip(missing)
    work = workload(computed, windows)
    contestant = rival.enter(work, [work.inputs()], {})
    try:
        assert Gate(work, work.inputs()).check(contestant.results()) < 0.5
    finally:
        contestant.close()


def test_no_rival_of_the_layer_is_asked_for_windows() -> None:
    names = [rival.name for rival in WINDOW_RIVALS]
    assert names[0] == OURS and len(set(names)) == len(names)
    assert {rival for rival in WINDOW_RIVALS if rival in RIVALS} == set()
    assert all(rival.summary for rival in WINDOW_RIVALS)


# Work and memory


def test_work_of_windows() -> None:
    case = workload(windows=(3, 2)).case
    made = row([], sizes=(5, 4, 6, 8), windows=(3, 2))
    assert (case.in_steps, case.window_size, str(case.sizes)) == (9, 18, "5,4,6,8 k=3 s=2")
    assert (made.sizes.in_steps, made.sizes.window_size) == (9, 18)
    assert made.sizes == case.sizes
    assert derived.flops(made) == 2 * 5 * 4 * 18 * 8
    assert derived.least_bytes(made) == 4 * (5 * 9 * 6 + 4 * 18 * 8 + 4 * 8 + 5 * 4 * 8)
    assert derived.windows_bytes(made) == 4 * 5 * 4 * 18
    shapes = [tuple(tensor.shape) for tensor in case.tensors("meta")]
    inputs = workload().inputs()
    assert shapes == [(5, 9, 6), (4, 18, 8), (4, 8)]
    assert shapes == [tuple(t.shape) for t in (inputs.x, inputs.weight, inputs.bias)]


LARGE = Case("large", 64, 48, 32, 16, torch.float32, "a test", False, 3, 1)
WINDOWS_BYTES, Y_BYTES = 64 * 48 * 96 * 4, 64 * 48 * 16 * 4


def memory(rival: TorchRival, computed: Pass) -> Memory:
    return entered(rival, Workload(LARGE, CPU, computed, True, "gelu")).memory()


def products_held() -> int:
    """ATen multiplies step by step, and copies what comes out into the order of the batch."""
    one = torch.ones(1, 1, 1)
    return 1 if psd.explain(one, one).kernel == "aten" else 0


def test_ours_forward_holds_no_copy_of_the_windows_and_an_einsums_does() -> None:
    ours, unfolded, *_ = UNCOMPILED
    assert (ours.name, unfolded.name) == (OURS, UNFOLDED)
    seen = memory(ours, Pass.FORWARD)
    product = products_held() * Y_BYTES
    assert seen.peak_bytes < seen.tensors_bytes + product + WINDOWS_BYTES / 10
    copied = memory(unfolded, Pass.FORWARD)
    assert copied.tensors_bytes == seen.tensors_bytes
    assert copied.peak_bytes >= copied.tensors_bytes + WINDOWS_BYTES


def test_ours_backward_holds_the_gradient_of_the_windows() -> None:
    ours, *_ = UNCOMPILED
    seen = memory(ours, Pass.BOTH)
    extra = seen.peak_bytes - seen.tensors_bytes
    gradients = (1 + products_held()) * WINDOWS_BYTES
    y_and_z = 2 * Y_BYTES
    assert gradients - WINDOWS_BYTES / 10 < extra < gradients + WINDOWS_BYTES / 10 + y_and_z


# Measured


def test_the_section_is_measured() -> None:
    budget = Budget(seconds=0.01, turn_seconds=1e-4, most_turns=3)
    made = measure_row(workload(activation=None), UNCOMPILED, budget, 60)
    assert made.sizes == Sizes(
        batch=5, steps=4, in_features=6, out_features=8, kernel_size=3, stride=2
    )
    assert {result.outcome for result in made.results} == {Outcome.MEASURED}
    assert made.results[0].kernel
    job = next(parse(["--device", "cpu", "--sections", "windows"]).selection.jobs())
    record = job.add_to(cpu_record(windows=()), made)
    assert record.windows == (made,) and made.key in set(record.keys())


def test_cases_and_rivals_by_name_go_to_their_sections() -> None:
    both = ["--cases", "seed", "seed, k=3", "--rivals", UNFOLDED, "einsum"]
    selection = parse(["--device", "cpu", *both]).selection
    assert [case.name for case in selection.cases] == ["seed"]
    assert [case.name for case in selection.window_cases] == ["seed, k=3"]
    assert [rival.name for rival in selection.rivals] == [OURS, "einsum"]
    assert [rival.name for rival in selection.window_rivals] == [OURS, UNFOLDED]
    cases = {job.section: job.key[0] for job in selection.jobs()}
    assert cases["rows"] == "seed" and cases["windows"] == "seed, k=3"
    quick = parse(["--device", "cpu", "--quick"]).selection
    assert [case.name for case in quick.window_cases] == ["seed, k=3", "seed, k=3, s=2"]
    assert quick.window_rivals == WINDOW_RIVALS


@pytest.mark.parametrize("name", ["cpu-epyc", "cpu-epyc-keras"])
def test_records_from_before_windows_are_read(name: str) -> None:
    path = ROOT / "bench" / "results" / f"{name}.json"
    assert "windows" not in json.loads(path.read_text())
    record = read(path)
    assert record.windows == () and record.rows
    assert all(str(row.sizes).count(",") == 3 and "k" not in str(row.sizes) for row in record.rows)


# Shown


def cells(grid: Grid) -> list[dict[str, str]]:
    titles = [column.title for column in grid.columns]
    return [dict(zip(titles, line, strict=True)) for line in grid.rows]


def test_memory_is_beside_what_a_copy_would_take() -> None:
    grid = windows_memory_grid([windows_row()])
    assert cells(grid) == [
        {
            "": "seed, k=3, s=2",
            "inputs and outputs": "0.00100",
            "windows": "0.0154",
            OURS: "0.00100",
            UNFOLDED: "0.0164",
            "LocallyConnected1D": "-",
        }
    ]
    assert grid.notes == ("memory cannot be seen of: LocallyConnected1D",)


def test_what_is_held_is_beyond_what_is_given_and_returned() -> None:
    made = windows_row()
    assert held(made, OURS) == 0 and held(made, UNFOLDED) == 15_360
    assert held(made, "LocallyConnected1D") is None and held(made, "none such") is None


def test_tables_name_the_cases_of_windows_that_are_missing() -> None:
    shown = list(grids(cpu_record(ragged=()), with_all_rivals=False))
    headline, peaks = shown[-2:]
    assert cells(headline)[0]["B,T,I,O"] == "32,10,4,8 k=3 s=2"
    assert cells(headline)[0]["best rival"] == UNFOLDED and cells(headline)[0]["speed-up"] == "1.50"
    (note,) = headline.notes
    assert note.startswith("not measured in this record: seed, k=3, quarter hours, k=3, ")
    assert peaks == windows_memory_grid([windows_row()])
    assert (
        headline_grid(cpu_record(), cpu_record().rows)
        .notes[-1]
        .startswith("not measured in this record: hours, ")
    )


def test_page_and_readme_show_windows() -> None:
    text = page_text({"cpu": cpu_record()}, "benchmarks")
    section = text.split("### Windows of steps\n")[1]
    assert "| seed, k=3, s=2 | 30.0 +- 1.5 | 45.0 +- 2.2 (1.50) | 90.0 +- 4.5 (3.00) |" in section
    assert "| seed, k=3, s=2 | 0.00100 | 0.0154 | 0.00100 | 0.0164 | - |" in section
    for rival in WINDOW_RIVALS:
        assert rival.name in text.split("On windows of steps:")[1].split("##")[0]
    readme = readme_text([cpu_record()])
    sizes = "seed, k=3, s=2 | 32,10,4,8 k=3 s=2 | float32"
    assert f"| {sizes} | 1.50 ({UNFOLDED}) | not measured | 0.0154 | 0.00 | 0.0154 |" in readme
    assert "| seed, k=3 | 32,10,4,8 k=3 | float32 | not measured | not measured |" in readme


def test_windows_may_have_a_record_of_their_own() -> None:
    others = cpu_record(windows=(), ragged=())
    windows = cpu_record(rows=(), overhead=(), training=(), ragged=())
    apart, together = readme_text([others, windows]), readme_text([cpu_record(ragged=())])
    assert apart == together
    alone = readme_text([windows])
    assert "Speed on a CPU: not measured." in alone and "LocallyConnected1d" in alone
    assert "LocallyConnected1d" not in readme_text([others])
    assert "Not measured." in page_text({"cpu": others}, "").split("### Windows of steps\n")[1]


def test_windows_are_compared() -> None:
    slower = windows_row().model_copy(update={"results": (measured(OURS, 60.0),)})
    (pair,) = compare(record_of(windows_row()), record_of(slower)).slower
    computed = "seed, k=3, s=2 32,10,4,8 k=3 s=2 float32, forward, bias"
    assert pair.key[:3] == ("windows", computed, OURS)


def record_of(made: Row) -> Record:
    return cpu_record(rows=(), overhead=(), training=(), windows=(made,), ragged=())
