"""Does ``python -m bench`` measure what it is asked for, and refuse what it does not know?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
import torch

for _package in ("matplotlib", "pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from rich.console import Console

import per_step_dense.__main__ as command
from bench import arguments, jobs, machine
from bench.arguments import parse
from bench.cases import CPU_CASES, WINDOW_CASES, ragged_cases_for
from bench.jobs import Job
from bench.machine import describe_machine, differences
from bench.record import Ceilings, Outcome, Pass, Record, Row, Sizes, read, write
from bench.rivals import OURS, RIVALS
from bench.run import run_jobs

pytestmark = pytest.mark.slow  # it measures, if quickly

ROOT = Path(__file__).parents[1]
CONSOLE = Console(file=StringIO())


def run_bench(*options: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "bench", *options],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=1200,
    )


@pytest.mark.in_turn
def test_one_small_case_with_every_installed_rival(tmp_path: Path) -> None:
    file = tmp_path / "smoke.json"
    case = ["--cases", "hours", "--device", "cpu", "--quick"]
    patience = ["--row-seconds", "600", "--stop-after", "30"]  # on however busy a machine
    what = ["--sections", "rows", "--json", str(file), "--activation", "gelu"]
    done = run_bench(*case, *what, *patience)
    assert done.returncode == 0, done.stderr
    record = read(file)  # of this schema, or an error
    assert json.loads(file.read_text())["schema_version"] == 1
    assert [row.computed for row in record.rows] == [Pass.FORWARD, Pass.BOTH]
    for row in record.rows:
        assert (row.case, row.has_bias, row.activation) == ("hours", True, "gelu")
        asked = [rival.name for rival in RIVALS if not rival.only_when_named]
        assert [result.rival for result in row.results] == asked
        for result in row.results:
            if result.outcome is Outcome.MEASURED:
                assert result.measurements and all(m.timing for m in result.measurements)
                assert result.error is not None and result.error < 1
            else:
                assert result.outcome in (Outcome.NOT_INSTALLED, Outcome.UNSUPPORTED), result
                assert result.reason
        assert row.results[0].rival == OURS and row.results[0].outcome is Outcome.MEASURED
    assert record.machine.torch == torch.__version__ and record.is_quick
    assert record.ceilings.tflops["float32"] > 0 and len(record.ceilings.copies) == 3
    assert "hours" in done.stdout and OURS in done.stdout
    assert len(list(tmp_path.glob("*.png"))) == 2
    assert not list(tmp_path.glob("*.part"))


def test_both_ways_to_call_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for main in (lambda argv: command.main(["bench", *argv]),):
        with pytest.raises(SystemExit) as raised:
            main(["--cases", "nothing like it"])
        assert raised.value.code == 2
        error = capsys.readouterr().err
        assert "there is no 'nothing like it'; there are" in error and "LTSF electricity" in error


def test_outside_a_checkout_it_says_where_the_bench_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "CHECKOUT", tmp_path)
    assert command.main(["bench"]) == 1
    assert "the bench is in the project's checkout" in capsys.readouterr().err


NONSENSE = [
    (["--cases", "seed", "sed"], "--cases: there is no 'sed'; there are\n  seed\n"),
    (["--rivals", "cublas"], "--rivals: there is no 'cublas'; there are\n  per_step_dense\n"),
    (["--dtype", "int8"], "invalid choice: 'int8' (choose from"),
    (["--activation", "swish"], "invalid choice: 'swish' (choose from"),
    (["--device", "abacus"], "--device: must be cpu, cuda or cuda:N; got 'abacus'"),
    (["--device", "meta"], "--device: must be cpu, cuda or cuda:N; got 'meta'"),
    (["--pass", "sideways"], "invalid choice: 'sideways'"),
    (["--resume", "no/such.json"], "--resume: there is no no/such.json"),
    (["--json", "no/such.json"], "--json: there is no folder no"),
    (["--stop-after", "-1"], "--stop-after: must be a number above 0; got '-1'"),
    (["--plots", "no/such"], "--plots: must be an existing folder; got 'no/such'"),
]


@pytest.mark.parametrize(("argv", "text"), NONSENSE, ids=[" ".join(argv) for argv, _ in NONSENSE])
def test_nonsense_is_answered_with_what_exists(
    argv: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        parse(["--device", "cpu", *argv])
    assert raised.value.code == 2
    assert text in capsys.readouterr().err


def test_no_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        parse(["--device", "cuda"])
    error = capsys.readouterr().err
    assert "torch sees no GPU; the CPU is measured by python -m bench --device cpu" in error


def test_existing_record_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "there.json"
    file.write_text("{}")
    with pytest.raises(SystemExit):
        parse(["--device", "cpu", "--json", str(file)])
    assert "exists; go on with it by --resume" in capsys.readouterr().err
    assert file.read_text() == "{}"


# What is selected


def jobs_of(*argv: str) -> list[Job]:
    return list(parse(["--device", "cpu", *argv]).selection.jobs())


def test_everything_by_default() -> None:
    everything = jobs_of()
    sections = [job.section for job in everything]
    # 6 cases, two passes, three epilogues
    assert sections.count("rows") == 36 and sections.count("overhead") == 3
    assert sections.count("training") == 3
    assert sections.count("windows") == 12  # 6 cases, two passes, the first epilogue
    assert sections.count("ragged") == 16  # 4 layers, two distributions, two passes
    assert len({job.key for job in everything}) == len(everything)
    selection = parse(["--device", "cpu"]).selection
    assert selection.epilogues == ((True, None), (True, "gelu"), (False, None))
    assert selection.cases == CPU_CASES and selection.window_cases == WINDOW_CASES
    assert selection.ragged_cases == ragged_cases_for("cpu")


def test_a_gpu_has_its_own_cases_and_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    parsed = parse(["--device", "cuda"])
    assert len(parsed.selection.cases) == 24
    assert parsed.selection.passes == (Pass.FORWARD, Pass.BACKWARD)
    quick = parse(["--device", "cuda", "--quick"])
    assert (
        len(quick.selection.cases) == 8 and quick.stop_after == 60 * arguments.QUICK_MINUTES < 240
    )
    assert quick.selection.epilogues == ((True, "gelu"),)


def test_overhead_is_measured_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []
    monkeypatch.setattr(
        jobs, "measure_row", lambda *arguments: threads.append(torch.get_num_threads())
    )
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for job in jobs_of("--sections", "overhead"):
            job.run(lambda text: None)
        assert threads == [1, 1, 1] and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_options_select() -> None:
    options = "--device cpu --cases seed GEMV --dtype float16 tf32 --pass all --activation relu"
    more = "--bias with --rivals einsum matmul --sections rows"
    parsed = parse([*options.split(), *more.split()])
    selection = parsed.selection
    assert [(case.name, case.arithmetic) for case in selection.cases] == [
        ("seed", "float16"),
        ("seed", "tf32"),
        ("GEMV", "float16"),
        ("GEMV", "tf32"),
    ]
    assert selection.passes == (Pass.FORWARD, Pass.BACKWARD, Pass.BOTH)
    assert selection.epilogues == ((True, "relu"),)
    assert [rival.name for rival in selection.rivals] == [OURS, "einsum", "matmul"]
    assert {job.section for job in selection.jobs()} == {"rows"}
    assert selection.arithmetics() == {"float16", "tf32", "float32"}


def test_autotuning_is_asked_for_by_name() -> None:
    name = "torch.compile(einsum, max-autotune-no-cudagraphs)"
    assert name not in [rival.name for rival in parse(["--device", "cpu"]).selection.rivals]
    named = parse(["--device", "cpu", "--rivals", name]).selection.rivals
    assert [rival.name for rival in named] == [OURS, name]


# Runs that are cut and gone on with


def a_row(case: str) -> Row:
    return Row(
        case=case,
        sizes=Sizes(batch=1, steps=1, in_features=1, out_features=1),
        arithmetic="float32",
        computed=Pass.FORWARD,
        has_bias=True,
        activation=None,
        results=(),
    )


def jobs_named(*names: str, log: list[str]) -> list[Job]:
    def job(name: str) -> Job:
        def run(say: object) -> Row:
            log.append(name)
            if name == "interrupted" and log.count(name) == 1:
                raise KeyboardInterrupt
            return a_row(name)

        return Job("rows", a_row(name).key, name, run)

    return [job(name) for name in names]


@pytest.fixture
def record() -> Record:
    ceilings = Ceilings(copies=(), tflops={}, launch_us=1.0)
    return Record(machine=describe_machine(torch.device("cpu")), is_quick=True, ceilings=ceilings)


def test_each_row_is_written_as_soon_as_it_exists(tmp_path: Path, record: Record) -> None:
    file = tmp_path / "r.json"
    log: list[str] = []
    seen: list[int] = []
    jobs = jobs_named("a", "b", log=log)
    for job in jobs:
        run = job.run
        object.__setattr__(job, "run", lambda say, run=run: seen.append(rows_in(file)) or run(say))
    write(record, file)
    done, left = run_jobs(record, jobs, file, 60, CONSOLE)
    assert seen == [0, 1] and rows_in(file) == 2 and left == 0
    assert read(file) == done


def rows_in(file: Path) -> int:
    return len(read(file).rows)


def test_interrupted_run_goes_on_where_it_was(tmp_path: Path, record: Record) -> None:
    file = tmp_path / "r.json"
    log: list[str] = []
    jobs = jobs_named("a", "interrupted", "b", log=log)
    _, left = run_jobs(record, jobs, file, 60, CONSOLE)
    assert (left, log) == (2, ["a", "interrupted"])
    done, left = run_jobs(read(file), jobs, file, 60, CONSOLE)
    assert (left, log) == (0, ["a", "interrupted", "interrupted", "b"])
    assert [row.case for row in done.rows] == ["a", "interrupted", "b"]


def test_no_row_is_begun_after_the_time(tmp_path: Path, record: Record) -> None:
    log: list[str] = []
    _, left = run_jobs(record, jobs_named("a", "b", log=log), tmp_path / "r.json", -1, CONSOLE)
    assert (left, log) == (2, [])


def test_record_of_another_machine_is_not_gone_on_with(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "r.json"
    other = record.machine.model_copy(update={"torch": "1.0", "date": "long ago"})
    write(record.model_copy(update={"machine": other}), file)
    done = run_bench("--device", "cpu", "--resume", str(file), "--quick", "--cases", "seed")
    assert done.returncode == 1
    assert f"torch: 1.0 and {torch.__version__}" in done.stderr
    assert "date" not in done.stderr
    assert "ceilings were not measured for float32" in done.stderr


def test_machine_and_checkout() -> None:
    here = describe_machine(torch.device("cpu"))
    assert (here.device, here.driver) == ("cpu", None)
    assert here.threads == torch.get_num_threads() and here.python.startswith("3.")
    assert differences(here, here) == []
    other = here.model_copy(update={"threads": 64})
    assert differences(here, other) == [f"threads: {here.threads} and 64"]


def test_checkout_without_git(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_output", lambda command: None)
    here = describe_machine(torch.device("cpu"))
    assert here.commit is None and here.is_dirty is None
