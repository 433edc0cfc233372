"""Does the record come back, and does the documentation show the last one, or say so if none?"""

from __future__ import annotations

from pathlib import Path

import pytest

for _package in ("pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench_records import machine

from bench.generated import END
from bench.gpu_check import command
from bench.gpu_check.record import (
    Failure,
    GpuCheckRecord,
    Outcome,
    PartResult,
    last_record,
    path_of,
)
from bench.gpu_check.show import BEGIN, NEVER, section
from bench.record import read_as, write


def part(name: str, outcome: Outcome, **changed: object) -> PartResult:
    told = {"question": f"is {name} right?", "is_over": True, **changed}
    return PartResult(part=name, outcome=outcome, **told)


RECORD = GpuCheckRecord(
    machine=machine("cuda"),
    parts=(
        part("suite", Outcome.PASSED, figures={"passed": 1234, "skipped": 2}, seconds=61.4),
        part("soak", Outcome.PASSED, figures={"calls": 1e6, "us a call": 12.345}, seconds=12.0),
        part(
            "determinism",
            Outcome.FAILED,
            is_over=False,
            seconds=3.0,
            failures=(Failure(name="sm80-1", text="Traceback:\n  a | b\nDifferentBits: in 3"),),
        ),
        part("memcheck", Outcome.REFUSED, reason="Device not supported"),
        part("racecheck", Outcome.NOT_RUN, is_over=False),
    ),
)

SECTION = """\
Last run 2026-03-04: NVIDIA Abacus, driver 999.1, torch 2.11.0, CUDA 13.0, commit 0123456789ab.

| part | question | outcome | figures | seconds |
| --- | --- | --- | --- | ---: |
| suite | is suite right? | passed | 1,234 passed, 2 skipped | 61 |
| soak | is soak right? | passed | 1,000,000 calls, 12.3 us a call | 12 |
| determinism | is determinism right? | FAILED, unfinished |  | 3 |
| memcheck | is memcheck right? | refused |  | - |
| racecheck | is racecheck right? | not run |  | - |

- determinism, sm80-1: DifferentBits: in 3
- memcheck, refused: Device not supported"""


def test_record_comes_back(tmp_path: Path) -> None:
    path = path_of(RECORD, tmp_path)
    assert path == tmp_path / "2026-03-04-nvidia-abacus.json"
    write(RECORD, path)
    assert read_as(GpuCheckRecord, path) == RECORD
    assert path_of(RECORD, tmp_path) == path


def test_another_run_of_the_day_has_another_file(tmp_path: Path) -> None:
    write(RECORD, path_of(RECORD, tmp_path))
    evening = machine("cuda", date="2026-03-04T23:00:00+00:00")
    later = RECORD.model_copy(update={"machine": evening})
    write(later, path_of(later, tmp_path))
    assert path_of(later, tmp_path) == tmp_path / "2026-03-04-nvidia-abacus-2.json"
    assert last_record(tmp_path) == later


def test_the_table() -> None:
    assert section(RECORD) == SECTION


def test_a_run_of_changed_files_says_so() -> None:
    changed = machine("cuda", is_dirty=True, commit=None)
    first = section(RECORD.model_copy(update={"machine": changed})).splitlines()[0]
    assert first.endswith("CUDA 13.0, an unknown commit, files differed.")


def test_the_command_shows_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = ["--results", str(tmp_path)]
    assert command.main(["--show", *results]) == 0
    assert capsys.readouterr().out == f"{NEVER}\n"
    assert "never run" in NEVER
    write(RECORD, path_of(RECORD, tmp_path))
    assert command.main(["--show", *results]) == 0
    assert capsys.readouterr().out == f"{SECTION}\n"


def test_a_document_is_checked_and_updated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, results = tmp_path / "guarantees.md", tmp_path / "results"
    document.write_text(f"# Before\n\n{BEGIN}\nby hand\n{END}\n\nafter\n")
    told = ["--results", str(results)]
    assert command.main(["--check", str(document), *told]) == 1
    assert f"{document} is out of date" in capsys.readouterr().err
    assert command.main(["--show", "--update", str(document), *told]) == 0
    assert document.read_text() == f"# Before\n\n{BEGIN}\n{NEVER}\n{END}\n\nafter\n"
    assert command.main(["--show", "--check", str(document), *told]) == 0
    results.mkdir()
    write(RECORD, path_of(RECORD, results))
    assert command.main(["--check", str(document), *told]) == 1
    assert command.main(["--update", str(document), *told]) == 0
    assert document.read_text() == f"# Before\n\n{BEGIN}\n{SECTION}\n{END}\n\nafter\n"


def test_a_file_that_is_no_record_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.json").write_text("{}")
    assert command.main(["--show", "--results", str(tmp_path)]) == command.UNUSABLE
    assert "is not a record of schema 1" in capsys.readouterr().err
