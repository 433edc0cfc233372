"""Are samples that differ in length drawn, checked, measured and shown as the bench says?"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import truth
from torch import Tensor
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.flop_counter import FlopCounterMode

for _package in ("matplotlib", "pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench_records import OURS, cpu_record, measured, ragged_row, row

from bench import derived, lengths
from bench.arguments import parse
from bench.cases import Case, ragged_cases_for
from bench.contestant import Results, TorchContestant
from bench.gate import Gate, WrongError
from bench.lengths import DISTRIBUTIONS, Distribution
from bench.record import Clock, Outcome, Pass, Sizes, read, write
from bench.report.compare import compare
from bench.report.grid import Grid
from bench.report.markdown import page_text
from bench.report.ragged import over_padding, ratios_grid, work_grid
from bench.report.readme import readme_text
from bench.report.table import grids
from bench.rivals import ANY_ORDER, PADDED, RAGGED_RIVALS, RIVALS, WINDOW_RIVALS
from bench.rivals.base import Function, TorchRival
from bench.rivals.ragged import Packed, WithLengths, pack, unpack
from bench.row import measure_row
from bench.timing import Budget, stopwatches_of
from bench.workload import Workload

CPU = torch.device("cpu")
ROOT = Path(__file__).parents[1]
RIVALS_HERE = [rival for rival in RAGGED_RIVALS if isinstance(rival, TorchRival)]
UNCOMPILED = [rival for rival in RIVALS_HERE if not derived.is_compiled(rival.name)]
EVERY_CASE = (*ragged_cases_for("cpu"), *ragged_cases_for("cuda"))


def workload(
    computed: Pass = Pass.BOTH,
    distribution: Distribution = "uniform",
    *,
    has_bias: bool = True,
    activation: str | None = "gelu",
) -> Workload:
    case = Case("small", 7, 24, 8, 4, torch.float32, "a test", distribution=distribution)
    return Workload(case, CPU, computed, has_bias, activation)


def entered(rival: TorchRival, work: Workload) -> TorchContestant:
    return rival.enter(work, [work.inputs()], stopwatches_of(CPU))


def exact(work: Workload) -> Results:
    """In float64, sample by sample, by nothing of the bench; zeros past each length."""
    case, inputs = work.case, work.inputs()
    tensors = (inputs.x, inputs.weight, inputs.bias)
    leaves = [tensor.double().requires_grad_() for tensor in tensors if tensor is not None]
    x, *parameters = leaves
    y = torch.zeros(case.batch, case.steps, case.out_features, dtype=torch.float64)
    for sample, length in enumerate(case.lengths.tolist()):
        first = [parameter[:length] for parameter in parameters]
        y[sample, :length] = truth.per_step_dense(
            x[sample, :length], *first, activation=work.activation
        )
    gradients = torch.autograd.grad(y, leaves, inputs.dy.double())
    return Results(y.detach(), *gradients)


def real(tensor: Tensor, work: Workload) -> Tensor:
    """The rows that exist, sample behind sample."""
    samples = zip(tensor, work.case.lengths.tolist(), strict=True)
    return torch.cat([sample[:length] for sample, length in samples])


# Lengths


def cdf_of(distribution: Distribution, steps: int) -> Tensor:
    """The part of the samples that have at most so many steps, from 1 to ``steps``."""
    upto = torch.arange(1, steps + 1, dtype=torch.float64)
    if distribution == "uniform":
        return upto / steps
    normal = torch.distributions.Normal(0.0, 1.0)
    part: Tensor = normal.cdf((8 * upto / steps).log()).double()
    return torch.cat([part[:-1], torch.ones(1, dtype=torch.float64)])


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_lengths_are_distributed_as_is_said(distribution: Distribution) -> None:
    batch, steps = 20_000, 64
    drawn = lengths.draw(distribution, batch, steps)
    assert drawn.dtype is torch.int64 and drawn.device.type == "cpu" and len(drawn) == batch
    assert drawn.min() == 1 and drawn.max() == steps and (drawn.diff() <= 0).all()
    counts = torch.bincount(drawn, minlength=steps + 1)[1:]
    gap = (counts.cumsum(0) / batch - cdf_of(distribution, steps)).abs().max()
    assert gap < 1.95 / batch**0.5  # Kolmogorov and Smirnov's, one draw in a thousand


def test_long_tailed_lengths_have_a_median_of_an_eighth_and_reach_the_end() -> None:
    drawn = lengths.draw("long-tailed", 20_000, 64)
    assert drawn.median() == pytest.approx(64 / 8, abs=1)
    assert 0.01 < (drawn == 64).double().mean() < 0.03
    uniform = lengths.draw("uniform", 20_000, 64)
    assert uniform.double().mean() / 64 == pytest.approx(0.5 + 0.5 / 64, rel=0.02)
    assert drawn.double().mean() / 64 == pytest.approx(0.2, rel=0.05)


@pytest.mark.parametrize("case", EVERY_CASE, ids=lambda case: case.name)
def test_cases_have_the_share_of_rows_that_they_promise(case: Case) -> None:
    share = derived.share_of_rows(row([]).model_copy(update={"sizes": case.sizes}))
    assert share == case.lengths.sum().item() / (case.batch * case.steps)
    assert case.distribution is not None
    low, high = {"uniform": (0.45, 0.6), "long-tailed": (0.17, 0.23)}[case.distribution]
    assert low < share < high
    assert case.lengths.max() <= case.steps and case.lengths.min() >= 1
    again = lengths.draw.__wrapped__(case.distribution, case.batch, case.steps)
    assert torch.equal(case.lengths, again)  # seeded


def test_rows_are_packed_as_torch_packs_them() -> None:
    work = workload(distribution="long-tailed")
    case, x = work.case, work.inputs().x
    expected = pack_padded_sequence(x, case.lengths, batch_first=True)
    assert torch.equal(pack(x, case), expected.data)
    assert torch.equal(lengths.rows_by_step(case.lengths, case.steps), expected.batch_sizes)
    padded, _ = pad_packed_sequence(expected, batch_first=True, total_length=case.steps)
    assert torch.equal(unpack(expected.data, case), padded)


def test_the_small_case_has_steps_without_samples_and_an_order_to_lose() -> None:
    sizes = lengths.rows_by_step(workload(distribution="long-tailed").case.lengths, 24)
    assert len(sizes) < 24
    assert lengths.in_any_order(7).tolist() not in (list(range(7)), list(range(6, -1, -1)))


# Right


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("rival", UNCOMPILED, ids=lambda rival: rival.name)
def test_rivals_compute_the_layer_of_rows_that_exist(
    rival: TorchRival, distribution: Distribution, has_bias: bool, activation: str | None
) -> None:
    work = workload(distribution=distribution, has_bias=has_bias, activation=activation)
    expected = exact(work).items()
    results = entered(rival, work).results().items()
    assert results.keys() == expected.keys()
    for name, tensor in results.items():
        actual, wanted = tensor.double(), expected[name]
        if name in ("y", "dx"):
            actual, wanted = real(actual, work), real(wanted, work)
        torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-5, msg=name)
    forward = workload(Pass.FORWARD, distribution, has_bias=has_bias, activation=activation)
    (y,) = entered(rival, forward).results().items().values()
    torch.testing.assert_close(
        real(y.double(), work), real(expected["y"], work), rtol=1e-5, atol=1e-5
    )
    if "padded" not in rival.name or "mask" in rival.name:
        assert (y == 0).all(-1).sum() >= 7 * 24 - len(real(y, work))


@pytest.mark.in_turn
@pytest.mark.slow  # compiles
def test_a_compiled_rival_is_right_too() -> None:
    (compiled,) = (rival for rival in RIVALS_HERE if derived.is_compiled(rival.name))
    work = workload(activation=None)
    assert Gate(work, work.inputs()).check(entered(compiled, work).results()) < 1


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_the_gates_truth_is_exact(distribution: Distribution, activation: str | None) -> None:
    work = workload(distribution=distribution, activation=activation)
    assert Gate(work, work.inputs()).check(exact(work)) < 1e-6


def nudged_at(sample: int, step: int) -> Callable[[Tensor], Tensor]:
    def nudge(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed[sample, step] += 1e-4 * tensor.abs().max()
        return changed

    return nudge


WRONG: dict[str, tuple[str, Callable[[Tensor], Tensor]]] = {
    "the last row of a sample": ("y", nudged_at(3, -1)),
    "samples in another order": ("y", lambda t: t.flip(0)),
    "a gradient of x": ("dx", nudged_at(0, 0)),
    "a gradient of weight": ("dweight", nudged_at(0, 0)),
    "of a step without samples": ("dweight", nudged_at(-1, 0)),
    "a bias counted of padding": ("dbias", lambda t: t + workload().inputs().dy[-1]),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_the_gate_stops(wrong: str) -> None:
    name, change = WRONG[wrong]
    work = workload(distribution="long-tailed")
    results = exact(work).items()
    if wrong == "the last row of a sample":
        change = nudged_at(3, int(work.case.lengths[3]) - 1)
    spoilt = Results(**{**results, name: change(results[name])})
    with pytest.raises(WrongError, match=f"^{name} is off by"):
        Gate(work, work.inputs()).check(spoilt)


def test_padding_is_not_compared() -> None:
    work = workload()
    results = exact(work)
    for tensor in (results.y, results.dx):
        assert tensor is not None
        for sample, length in zip(tensor, work.case.lengths.tolist(), strict=True):
            sample[length:] = 1e3
    assert Gate(work, work.inputs()).check(results) < 1e-6


class Forgetful(Packed):
    """Leaves out the last row."""

    name = "forgetful"

    def function(self, workload: Workload) -> Function:
        of_packed = super().function(workload)
        return lambda *arguments: torch.cat([of_packed(*arguments)[:-1], torch.zeros(1, 4)])


class Unmasked(WithLengths):
    """Takes the gradients of padding for those of rows."""

    name = "unmasked"

    def function(self, workload: Workload) -> Function:
        return RIVALS[1].function(workload)  # type: ignore[attr-defined]  # einsum


@pytest.mark.parametrize("wrong", [Forgetful(), Unmasked()], ids=lambda rival: rival.name)
def test_a_wrong_contestant_is_not_timed(wrong: TorchRival) -> None:
    budget = Budget(seconds=0.01, turn_seconds=1e-4, most_turns=3)
    made = measure_row(workload(activation=None), [Packed(), wrong], budget, 60)
    right, planted = made.results
    assert right.outcome is Outcome.MEASURED and planted.outcome is Outcome.WRONG
    assert "is off by" in (planted.reason or "") and planted.measurements == ()


# Work


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
@pytest.mark.parametrize("computed", [Pass.FORWARD, Pass.BOTH])
def test_ours_computes_the_work_of_rows_that_exist(
    computed: Pass, distribution: Distribution
) -> None:
    work = workload(computed, distribution)
    contestant = entered(Packed(), work)
    with FlopCounterMode(display=False) as counter:
        contestant.results()
    counted = counter.get_total_flops()
    made = row([], computed=computed).model_copy(update={"sizes": work.case.sizes})
    rows = int(work.case.lengths.sum())
    products = 3 if computed is Pass.BOTH else 1
    assert derived.flops(made) == products * 2 * rows * 8 * 4 == counted
    assert derived.padded_flops(made) == products * 2 * 7 * 24 * 8 * 4
    assert derived.share_of_rows(made) == rows / (7 * 24)
    forward = made.model_copy(update={"computed": Pass.FORWARD})
    assert derived.least_bytes(forward) == 4 * (rows * 8 + 24 * 8 * 4 + 24 * 4 + rows * 4)
    assert str(made.sizes) == f"7,24,8,4 R={rows}"


# Measured


def test_the_section_is_measured_and_read_back(tmp_path: Path) -> None:
    budget = Budget(seconds=0.01, turn_seconds=1e-4, most_turns=3)
    work = workload(Pass.FORWARD, activation=None)
    made = measure_row(work, UNCOMPILED, budget, 60)
    rows = int(work.case.lengths.sum())
    assert made.sizes == Sizes(batch=7, steps=24, in_features=8, out_features=4, rows=rows)
    assert {result.outcome for result in made.results} == {Outcome.MEASURED}
    job = next(parse(["--device", "cpu", "--sections", "ragged"]).selection.jobs())
    record = job.add_to(cpu_record(ragged=()), made)
    assert record.ragged == (made,) and made.key in set(record.keys())
    write(record, tmp_path / "record.json")
    assert read(tmp_path / "record.json") == record


def test_cases_and_rivals_by_name_go_to_their_section() -> None:
    named = ["--cases", "seed", "hours, uniform", "--rivals", "einsum", PADDED]
    selection = parse(["--device", "cpu", *named]).selection
    assert [case.name for case in selection.cases] == ["seed"]
    assert [case.name for case in selection.ragged_cases] == ["hours, uniform"]
    assert selection.window_cases == ()
    assert [rival.name for rival in selection.rivals] == [OURS, "einsum"]
    assert [rival.name for rival in selection.ragged_rivals] == [OURS, PADDED]
    quick = parse(["--device", "cpu", "--quick"]).selection
    assert [case.name for case in quick.ragged_cases] == ["seed, uniform", "seed, long-tailed"]
    only = parse(["--device", "cpu", "--sections", "ragged"]).selection
    assert {job.section for job in only.jobs()} == {"ragged"}
    assert len(list(only.jobs())) == 2 * len(ragged_cases_for("cpu"))


def test_ragged_rivals_are_named_once_and_this_package_comes_first() -> None:
    names = [rival.name for rival in RAGGED_RIVALS]
    assert names[0] == OURS and len(set(names)) == len(names)
    assert {PADDED, ANY_ORDER} < set(names)
    assert all(rival.summary for rival in RAGGED_RIVALS)
    assert not set(RAGGED_RIVALS) & {*RIVALS, *WINDOW_RIVALS}


@pytest.mark.parametrize("name", ["cpu-epyc", "cpu-epyc-keras", "cpu-epyc-windows"])
def test_records_from_before_ragged_rows_are_read(name: str) -> None:
    path = ROOT / "bench" / "results" / f"{name}.json"
    assert "ragged" not in json.loads(path.read_text())
    record = read(path)
    assert record.ragged == () and record.machine.vectors is None
    for made in (*record.rows, *record.windows):
        assert made.sizes.rows is None and "R=" not in str(made.sizes)
        assert derived.flops(made) == derived.padded_flops(made)


# Shown


def cells(grid: Grid) -> list[dict[str, str]]:
    titles = [column.title for column in grid.columns]
    return [dict(zip(titles, line, strict=True)) for line in grid.rows]


def test_the_work_saved_is_shown() -> None:
    (line,) = cells(work_grid([ragged_row()]))
    assert line["B,T,I,O"] == "32,10,4,8 R=80"
    assert (line["rows"], line["padded"], line["rows / padded"]) == ("80", "320", "25 %")
    assert (line["GFLOP"], line["padded GFLOP"]) == ("5.12e-06", "2.05e-05")
    assert line["work saved"] == "75 %"


def test_times_are_beside_padding() -> None:
    made = ragged_row()
    grid = ratios_grid(cpu_record(), [made])
    assert cells(grid) == [
        {
            "": "seed, long-tailed",
            "rows / padded": "25 %",
            OURS: "0.30",
            ANY_ORDER: "0.50",
            PADDED: "1.00",
            "einsum, padded + mask": "1.50",
            "grouped_mm, packed": "unsupported",
        }
    ]
    assert grid.notes[0] == "grouped_mm, packed, unsupported: strides must be multiples"
    assert grid.notes[1].startswith("not measured in this record: seed, uniform, hours, uniform")
    alone = made.model_copy(update={"results": (measured(OURS, 12.0),)})
    assert over_padding(alone, OURS, Clock.WALL) is None
    assert cells(ratios_grid(cpu_record(), [alone]))[0][OURS] == "-"


def test_page_readme_and_terminal_show_ragged_rows() -> None:
    text = page_text({"cpu": cpu_record()}, "benchmarks")
    section = text.split("### Ragged rows\n")[1]
    assert "| seed, long-tailed | 32,10,4,8 R=80 | float32 | 80 | 320 | 25 % |" in section
    assert "| seed, long-tailed | 25 % | 0.30 | 0.50 | 1.00 | 1.50 | unsupported |" in section
    for rival in RAGGED_RIVALS:
        assert rival.name in text.split("On samples that differ in length:")[1].split("##")[0]
    without = page_text({"cpu": cpu_record(ragged=())}, "")
    assert "Not measured." in without.split("### Ragged rows\n")[1]
    readme = readme_text([cpu_record()])
    assert "| seed, long-tailed | 32,10,4,8 R=80 | float32 | 25 % | 0.30 | 0.50 |" in readme
    assert "differ in length" not in readme_text([cpu_record(ragged=())])
    shown = list(grids(cpu_record(), with_all_rivals=False))
    assert shown[-2:] == [work_grid([ragged_row()]), ratios_grid(cpu_record(), [ragged_row()])]


def test_the_cpus_instructions_are_shown_where_a_record_has_them() -> None:
    record = cpu_record()
    told = record.model_copy(
        update={"machine": record.machine.model_copy(update={"vectors": "AVX512"})}
    )
    assert "- CPU: Abacus 9000, 2 threads, AVX512\n" in page_text({"cpu": told}, "")
    assert "- CPU: Abacus 9000, 2 threads\n" in page_text({"cpu": record}, "")


def test_ragged_rows_are_compared() -> None:
    slower = ragged_row().model_copy(update={"results": (measured(OURS, 60.0),)})
    record = cpu_record(rows=(), overhead=(), training=(), windows=())
    (pair,) = compare(record, record.model_copy(update={"ragged": (slower,)})).slower
    computed = "seed, long-tailed 32,10,4,8 R=80 float32, forward, bias"
    assert pair.key[:3] == ("ragged", computed, OURS)
