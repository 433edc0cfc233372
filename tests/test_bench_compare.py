"""Does a comparison tell what got slower from what only looks so?"""

from __future__ import annotations

from pathlib import Path

import pytest
from bench_records import OURS, cpu_record, failed, machine, measured, row, timing

from bench.record import Outcome, Record, RivalResult, Timing, write
from bench.report import command
from bench.report.compare import Change, Pair, compare

KEY = ("layer", "a row", OURS, "wall")


def record_of(*results: RivalResult, **fields: object) -> Record:
    values: dict[str, object] = {"overhead": (), "training": (), "windows": (), "ragged": ()}
    return cpu_record(rows=(row(results),), **values | fields)


@pytest.mark.parametrize(
    ("new", "change"),
    [
        (timing(10.0), Change.WITHIN),
        (timing(10.9), Change.WITHIN),  # 10.36 to 11.45 against 9.5 to 10.5
        (timing(11.2), Change.SLOWER),  # from 10.64
        (timing(9.2), Change.WITHIN),
        (timing(8.9), Change.FASTER),  # up to 9.35
        (timing(20.0, spread=1.0), Change.WITHIN),  # from 10.0
    ],
)
def test_beyond_the_spread_is_where_quartiles_do_not_overlap(new: Timing, change: Change) -> None:
    assert Pair(KEY, timing(10.0), new).change is change


def test_pairs_what_both_have() -> None:
    old = record_of(measured(OURS, 10.0), measured("einsum", 20.0, as_left=15.0))
    new = record_of(measured(OURS, 12.0), measured("einsum", 20.0, as_left=20.0))
    comparison = compare(old, new)
    assert [(pair.key[2:], pair.ratio) for pair in comparison.pairs] == [
        ((OURS, "wall"), 1.2),
        (("einsum", "wall"), 1.0),
        (("einsum", "wall, as left"), pytest.approx(4 / 3)),
    ]
    assert [pair.key[2:] for pair in comparison.slower] == [
        (OURS, "wall"),
        ("einsum", "wall, as left"),
    ]
    assert not (comparison.appeared or comparison.disappeared or comparison.differences)


def test_what_came_and_what_went() -> None:
    old = record_of(measured(OURS, 10.0), measured("einsum", 20.0))
    new = record_of(
        measured(OURS, 10.0), failed("einsum", Outcome.WRONG, "y is off"), measured("matmul", 9.0)
    )
    comparison = compare(old, new)
    where = "layer, seed 32,10,4,8 float32, forward, bias"
    assert comparison.disappeared == (f"einsum, wall: {where}: wrong: y is off",)
    assert comparison.appeared == (f"matmul, wall: {where}",)


def test_other_sections_are_compared_too() -> None:
    sections = {pair.key[0] for pair in compare(cpu_record(), cpu_record()).pairs}
    assert sections == {"layer", "overhead", "training", "windows", "ragged"}
    gone = compare(cpu_record(), cpu_record(rows=(), training=())).disappeared
    assert len(gone) == 2 * 4 + 2


def test_says_when_the_circumstances_differ() -> None:
    new = cpu_record(
        machine=machine(torch="2.13.0", threads=4, commit="fedcba", date="2027-01-01"),
        is_quick=True,
    )
    assert set(compare(cpu_record(), new).differences) == {
        "torch: 2.11.0 -> 2.13.0",
        "threads: 2 -> 4",
        "quick: False -> True",
    }


def test_the_command_prints_what_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "old.json", tmp_path / "new.json"]
    rivals = [measured("einsum", 20.0), measured("matmul", 30.0)]
    write(record_of(measured(OURS, 10.0), *rivals), files[0])
    slow = rivals[1].model_copy(update={"measurements": measured("matmul", 40.0).measurements})
    moved = machine(torch="2.13.0")
    write(record_of(measured(OURS, 10.2), rivals[0], slow, machine=moved), files[1])
    arguments = [*map(str, files), "--output", str(tmp_path)]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out.split(f"{files[0]} -> {files[1]}")[1]
    cells = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines()]
    by_rival = {line[3]: line[5:-1] for line in cells if len(line) > 5}
    assert by_rival[OURS] == ["10.0 +- 0.5", "10.2 +- 0.5", "1.02", ""]
    assert by_rival["matmul"] == ["30.0 +- 1.5", "40.0 +- 2.0", "1.33", "SLOWER"]
    assert "einsum" not in by_rival
    assert "1 of 3 times got slower beyond the spread" in printed
    assert "1 time of rivals, within the spread, not shown" in printed
    assert "differs: torch: 2.11.0 -> 2.13.0" in printed
    assert "not the same machine and software" in printed

    assert command.main([*arguments, "--all-rivals"]) == 0
    printed = capsys.readouterr().out.split(f"{files[0]} -> {files[1]}")[1]
    assert "| einsum " in printed and "not shown" not in printed
