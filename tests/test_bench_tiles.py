"""Are all tiles measured, checked and shown as they are?"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

pytest.importorskip("pydantic", reason="needs the bench extra: pip install '.[bench]'")

from bench.cases import Case
from bench.record import Machine, Pass, read_as, write
from bench.tiles import __main__ as command
from bench.tiles import measure as measuring
from bench.tiles.measure import Candidate, measure
from bench.tiles.record import AUTO, PRODUCTS, Measured, TilesRecord, TilesRow
from bench.tiles.table import format_line, format_table, wrong
from bench.timing import Call, Stopwatch, Turn
from bench.workload import Inputs, Workload

ROOT = Path(__file__).resolve().parents[1]
CASE = Case("small", 6, 3, 8, 16, torch.float32, "a test")
MACHINE = Machine(
    device="cuda",
    device_name="GPU",
    cpu="CPU",
    threads=1,
    driver=None,
    cuda=None,
    torch="2",
    python="3",
    per_step_dense="0",
    commit=None,
    is_dirty=None,
    date="2026-01-01T00:00:00+00:00",
)


def measured(name: str, us: float | None, tile: int = 0, **changed: object) -> Measured:
    fields = {"family": name.split()[0], "tile": tile, "estimate_us": 1.0, "error": 1e-3}
    return Measured(name=name, us=us, **{**fields, **changed})


def row(*candidates: Measured) -> TilesRow:
    return TilesRow(
        case="small",
        sizes="6,3,8,16",
        arithmetic="float32",
        computed="forward",
        chosen="simt 32x32",
        floor_us=1.0,
        candidates=candidates,
    )


ROW = row(
    measured(AUTO, 12.0, -1),
    measured(PRODUCTS, 5.0, -1, error=None),
    measured("simt 32x32", 12.5),
    measured("simt 64x64", 10.0, 1),
)


def test_fastest_is_one_that_was_forced() -> None:
    best = ROW.best()
    assert best is not None
    assert best.name == "simt 64x64"
    assert row(measured(AUTO, 1.0, -1), measured("simt", None)).best() is None


def test_line_and_table_say_how_far_the_choice_is_off() -> None:
    line = format_line(ROW)
    assert "auto   12.0 (simt 32x32) best   10.0 (simt 64x64) x1.20 products    5.0" in line
    table = format_table(TilesRecord(machine=MACHINE, rows=(ROW,))).splitlines()
    assert table[2] == (
        "| small | 6,3,8,16 | float32 | forward | 1.0 | simt 32x32 | 12.0 | simt 64x64 | 10.0 "
        "| 1.20 | 5.0 |"
    )
    assert len({one.count("|") for one in table}) == 1


@pytest.mark.parametrize(
    "bad",
    [
        measured("simt 32x32", 1.0, error=0.5),
        measured("simt 32x32", 1.0, error=None),
        measured("simt 32x32", None, error=None, failure="no such thing"),
    ],
    ids=["far", "unchecked", "failed"],
)
def test_wrong_ones_are_told(bad: Measured) -> None:
    assert wrong(ROW) == []
    assert len(wrong(row(bad))) == 1
    assert "WRONG simt 32x32" in format_line(row(bad))


def test_record_comes_back(tmp_path: Path) -> None:
    record = TilesRecord(machine=MACHINE, rows=(ROW,))
    write(record, tmp_path / "a.json")
    assert read_as(TilesRecord, tmp_path / "a.json") == record


class Counted(Stopwatch):
    """Every call takes as many microseconds as it has been bound before others."""

    def __init__(self) -> None:
        self.bound = 0

    def bind(self, calls: Sequence[Call]) -> Turn:
        self.bound += 1
        us = float(self.bound)
        return lambda count: us


@pytest.mark.parametrize("computed", [Pass.FORWARD, Pass.BACKWARD], ids=lambda p: p.value)
def test_candidates_are_compared_with_fp64(monkeypatch: pytest.MonkeyPatch, computed: Pass) -> None:
    """On the CPU, where nothing can be forced: one candidate is wrong, one fails."""
    call = measuring._call

    def stand_in(workload: Workload, inputs: Inputs, candidate: Candidate) -> Call:
        if candidate.name == "failing":
            raise RuntimeError("no launch\nmore")
        if candidate.name == "wrong":
            inputs = Inputs(inputs.x + 1, inputs.weight, inputs.bias, inputs.dy)
        family = candidate.family if candidate.family == PRODUCTS else AUTO
        return call(workload, inputs, Candidate(candidate.name, family, -1))

    names = [(AUTO, -1), (PRODUCTS, -1), ("right", 0), ("wrong", 1), ("failing", 2)]
    candidates = [Candidate(name, name, tile) for name, tile in names]
    monkeypatch.setattr(measuring, "_candidates", lambda *_: iter(candidates))
    monkeypatch.setattr(measuring, "_call", stand_in)
    workload = Workload(CASE, torch.device("cpu"), computed, True, "gelu")
    found = measure(workload, Counted())
    told = {one.name: one for one in found.candidates}
    assert [one.name for one in found.candidates] == [name for name, _ in names]
    assert told[AUTO].error is not None and told[AUTO].error < 1e-6
    assert told["right"].us == 3.0
    assert told["wrong"].error is not None and told["wrong"].error > 0.02
    assert told["failing"].failure == "no launch"
    assert [text.split(":")[0] for text in wrong(found)] == ["wrong", "failing"]
    assert told[PRODUCTS].us == 2.0


def test_needs_a_gpu(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as refusal:
        command.main(["--cases", "seed"])
    assert refusal.value.code == 2
    assert "torch sees no GPU" in capsys.readouterr().err


def test_document_shows_the_record() -> None:
    record = read_as(TilesRecord, ROOT / "bench" / "results" / "tiles" / "h200.json")
    text = (ROOT / "docs" / "h200.md").read_text()
    assert command.with_table(text, record) == text
