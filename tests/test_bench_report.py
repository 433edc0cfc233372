"""Do the tables say what the record says, with nothing left out?"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from bench_records import (
    H200_CEILINGS,
    OURS,
    cpu_record,
    cuda_record,
    failed,
    machine,
    measured,
    row,
    timing,
)
from rich.console import Console

from bench.cases import GPU_CASES
from bench.record import Clock, Measurement, Outcome, Pass, Record, RivalResult, write
from bench.report import command, text
from bench.report.grid import Faster, Grid, Slower, make_console, names, numbers, show, to_markdown
from bench.report.layer import groups, headline_grid, rivals_grid
from bench.report.sections import memory_grid, overhead_grid, training_grid
from bench.report.table import print_record


def cells(grid: Grid) -> list[dict[str, str]]:
    titles = [column.title for column in grid.columns]
    return [dict(zip(titles, row, strict=True)) for row in grid.rows]


def printed(record: Record, capsys: pytest.CaptureFixture[str], all_rivals: bool = False) -> str:
    print_record(record, make_console(), all_rivals)
    return capsys.readouterr().out


def with_failure(result: RivalResult) -> Record:
    return cpu_record(rows=(row([measured(OURS, 10.0), result]),))


def test_headline_of_a_cpu() -> None:
    record = cpu_record()
    ((_, forward), (_, both)) = groups(record.rows).items()
    (line,) = cells(headline_grid(record, forward))
    # 32 * 10 * 4 * 8 products of 2 flops in 10 us; 17 KB; a floor of 1 us
    assert line == {
        "case": "seed",
        "B,T,I,O": "32,10,4,8",
        "dtype": "float32",
        "kernel": "reference",
        "us": "10.0 +- 0.5",
        "GFLOP/s": "2.05",
        "GB/s": "1.70",
        "floor / time": "10 %",
        "bound by": "launch",
        "best rival": "baddbmm",
        "its us": "12.0 +- 0.6",
        "speed-up": "1.20",
        "as left": "0.80",
    }
    grid = headline_grid(record, both)
    assert grid.title == "forward+backward, bias"
    assert isinstance(grid.rows[0][-2], Faster) and isinstance(grid.rows[0][-1], Slower)


def test_headline_of_a_gpu_is_cold_and_shows_the_other_clocks() -> None:
    record = cuda_record()
    forward = next(iter(groups(record.rows).values()))
    lines = cells(headline_grid(record, forward))
    assert [line["case"] for line in lines] == [case.name for case in GPU_CASES]
    compute = lines[18]
    assert compute["us"] == "57.0 +- 2.9"
    assert compute["TFLOP/s"] == "19290"
    assert [compute[name] for name in ("speed-up", "warm", "graph", "eager")] == ["1.55"] * 4
    assert lines[0]["floor / time"] == "50 %" and lines[0]["bound by"] == "launch"


def test_groups_are_by_pass_and_epilogue() -> None:
    rows = [
        row([], computed=computed, has_bias=has_bias, activation=activation)
        for has_bias, activation in ((True, None), (True, "gelu"), (False, None), (False, "relu"))
        for computed in (Pass.BOTH, Pass.FORWARD)
    ]
    titles = [text.group(group[0]) for group in groups(rows).values()]
    epilogues = ["bias", "bias + gelu", "product alone", "relu"]
    assert titles == [
        f"{computed}, {epilogue}"
        for computed in ("forward", "forward+backward")
        for epilogue in epilogues
    ]


def test_ours_that_failed_is_a_row_with_its_outcome_and_reason() -> None:
    record = cpu_record(
        rows=(row([failed(OURS, Outcome.WRONG, "y is off by 1"), measured("einsum", 20.0)]),)
    )
    grid = headline_grid(record, record.rows)
    (line,) = cells(grid)
    assert line["us"] == "wrong" and line["best rival"] == "einsum" and line["speed-up"] == "-"
    assert f"{OURS}, wrong: y is off by 1" in grid.notes


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome != "measured"])
def test_no_rival_is_left_out_in_silence(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = printed(with_failure(failed("einsum", outcome, "this is why")), capsys)
    assert f"einsum, {outcome.value}: this is why" in shown
    assert "| none " in shown  # no best rival


def test_a_clock_that_failed_is_told() -> None:
    lost = Measurement(
        clock=Clock.GRAPH, layout="contiguous", timing=None, reason="failed: no CUDA graph"
    )
    rival = measured("einsum", by_clock={Clock.COLD: 20.0})
    rival = rival.model_copy(update={"measurements": (*rival.measurements, lost)})
    ours = measured(OURS, by_clock={Clock.COLD: 10.0, Clock.GRAPH: 5.0})
    record = cuda_record(rows=(row([ours, rival]),))
    grid = headline_grid(record, record.rows)
    assert "einsum, graph: failed: no CUDA graph" in grid.notes
    (line,) = cells(grid)
    assert line["speed-up"] == "2.00" and line["graph"] == "-"


def test_reasons_are_told_once_with_their_cases() -> None:
    refusal = failed("grouped_mm", Outcome.UNSUPPORTED, "not of this size")
    other = failed("grouped_mm", Outcome.UNSUPPORTED, "nor of that")
    rows = [
        row([measured(OURS, 1.0), result], case=case)
        for case, result in (("seed", refusal), ("hours", refusal), ("towers", other))
    ]
    grid = headline_grid(cpu_record(), rows)
    assert grid.notes == (
        "grouped_mm, unsupported: not of this size (seed, hours)",
        "grouped_mm, unsupported: nor of that (towers)",
        "not measured in this record: quarter hours, long sequence, TabM, batch 128",
    )


def test_sections_that_are_missing_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(cpu_record(rows=(), overhead=(), training=(), windows=(), ragged=()), capsys)
    every = "the layer, a call's overhead, training, windows of steps, ragged rows"
    assert f"not measured in this record: {every}" in shown
    assert "not measured in this record: a call's overhead, training" in printed(
        cpu_record(overhead=(), training=()), capsys
    )


def test_overhead_compares_eager_with_eager_and_compiled_with_compiled() -> None:
    assert cells(overhead_grid(cpu_record())) == [
        {
            "pass": "forward",
            "called": "eager",
            "ours, us": "3.00 +- 0.15",
            "fastest rival": "baddbmm",
            "its us": "4.00 +- 0.20",
            "ours / its": "0.75",
        },
        {
            "pass": "forward",
            "called": "torch.compile",
            "ours, us": "6.00 +- 0.30",
            "fastest rival": "torch.compile(matmul)",
            "its us": "5.00 +- 0.25",
            "ours / its": "1.20",
        },
    ]


def test_overhead_on_a_gpu_is_the_time_until_the_call_returns() -> None:
    clocks = {Clock.EAGER: 5.0, Clock.GRAPH: 2.0}
    rival = measured("matmul", by_clock={Clock.EAGER: 4.0, Clock.GRAPH: 9.0})
    record = cuda_record(overhead=(row([measured(OURS, by_clock=clocks), rival]),))
    eager, compiled = cells(overhead_grid(record))
    assert eager["ours / its"] == "1.25"
    assert compiled["fastest rival"] == "none"


def test_training() -> None:
    grid = training_grid(cpu_record())
    ours, loop, einsum = cells(grid)
    assert ours["steps/s"] == "1000" and ours["peak, MB"] == "5.00"
    assert loop["step, us"] == "2500 +- 125" and loop["ours is faster by"] == "2.50"
    assert einsum["step, us"] == "failed"
    assert "a small model: einsum, failed: RuntimeError: no" in grid.notes
    assert "a small model: batch 16. Linear." in grid.notes


def test_memory_is_over_what_is_given_and_returned() -> None:
    record = cpu_record()
    unseen = measured("jax", 9.0).model_copy(update={"memory": None})
    rows = [record.rows[0].model_copy(update={"results": (*record.rows[0].results, unseen)})]
    grid = memory_grid(rows)
    (line,) = cells(grid)
    assert line == {
        "": "seed",
        OURS: "1.00",
        "einsum": "2.00",
        "baddbmm": "2.00",
        "grouped_mm": "unsupported",
        "jax": "-",
    }
    assert "memory cannot be seen of: jax" in grid.notes


def test_all_rivals_have_a_line_each() -> None:
    grid = rivals_grid(cpu_record(), cpu_record().rows[0])
    ours, einsum, baddbmm, grouped = cells(grid)
    contiguous, as_left = "wall: us (times ours)", "wall, as left: us (times ours)"
    assert ours[contiguous] == "10.0 +- 0.5"
    assert einsum[contiguous] == einsum[as_left] == "20.0 +- 1.0 (2.00)"
    assert baddbmm[contiguous] == "12.0 +- 0.6 (1.20)"
    assert baddbmm[as_left] == "8.00 +- 0.40 (0.80)"
    assert baddbmm["peak / tensors"] == "2.00" and baddbmm["error / allowed"] == "0.25"
    assert grouped[contiguous] == "unsupported"
    assert grouped["why not"] == "strides must be multiples of 16 bytes"


# On the terminal and in a pipe


def test_a_pipe_gets_plain_text(capsys: pytest.CaptureFixture[str]) -> None:
    shown = printed(cpu_record(), capsys)
    shown.encode("ascii")
    assert "\x1b" not in shown
    lines = [line for line in shown.splitlines() if line.startswith("| seed ")]
    assert "| reference | 10.0 +- 0.5 |" in lines[0]  # neither folded nor cut
    assert all(line == line.rstrip() for line in shown.splitlines())
    assert "Abacus 9000, 2 threads" in shown and "commit 0123456789ab" in shown
    assert "why not" not in shown
    assert "why not" in printed(cpu_record(), capsys, all_rivals=True)


def test_a_terminal_gets_colours() -> None:
    console = Console(force_terminal=True, width=100, color_system="standard", markup=False)
    grid = Grid("a title", numbers("speed-up"), ((Faster("1.20"),), (Slower("0.80"),)))
    with console.capture() as seen:
        show(grid, console)
    green, red = "\x1b[32m", "\x1b[31m"
    assert green in seen.get().split("1.20")[0].splitlines()[-1]
    assert red in seen.get().split("0.80")[0].splitlines()[-1]


def test_a_narrow_terminal_folds_and_never_cuts() -> None:
    console = Console(force_terminal=True, width=60, color_system=None, markup=False)
    record = cpu_record()
    grid = headline_grid(record, groups(record.rows).popitem()[1])
    with console.capture() as seen:
        show(grid, console)
    assert "\u2026" not in seen.get()
    characters = {character for cell in grid.rows[0] for character in cell}
    assert characters <= set(seen.get())
    letters = re.sub(r"\s", "", seen.get())
    assert len(letters) >= sum(len(cell.replace(" ", "")) for cell in grid.rows[0])


def test_names_are_never_taken_for_markup(capsys: pytest.CaptureFixture[str]) -> None:
    reason = "[red]x[/red] a|b *c* <d> `e`"
    shown = printed(with_failure(failed("einsum", Outcome.FAILED, reason)), capsys)
    assert reason in shown
    grid = Grid("", (*names("a"), *numbers("b")), ((reason, "1"),), ("a note",))
    assert to_markdown(grid) == [
        "| a | b |",
        "| --- | ---: |",
        "| \\[red]x\\[/red] a\\|b \\*c\\* \\<d> \\`e\\` | 1 |",
        "",
        "- a note",
        "",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.001234, "0.00123"), (0.5, "0.500"), (1.234, "1.23"), (12.34, "12.3"), (1234.5, "1234")],
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert text.number(value) == shown


def test_times_show_the_spread_in_the_same_digits() -> None:
    assert text.time(timing(123.4)) == "123 +- 6"
    assert text.time(timing(1.234)) == "1.23 +- 0.06"
    assert text.time(None) == text.number(None) == text.ratio(None) == text.percent(None) == "-"
    assert [text.percent(part) for part in (0.031, 0.5, 1.5)] == ["3.1 %", "50 %", "150 %"]


def test_the_header_tells_the_state_of_the_code() -> None:
    def commit(**fields: object) -> str:
        lines = dict(text.machine_lines(cpu_record(machine=machine(**fields))))
        return lines["per_step_dense"]

    assert commit() == "0.1.0, commit 0123456789ab"
    assert commit(is_dirty=True).endswith("files differed")
    assert commit(is_dirty=None).endswith("unknown whether files differed")
    assert commit(commit=None).endswith("commit unknown")
    lines = dict(text.machine_lines(cuda_record()))
    assert lines["CUDA"] == "13.0, driver 999.1"
    assert lines["smallest call"] == "4.00 us, in a CUDA graph 1.50 us"
    assert f"float64 {H200_CEILINGS.tflops['float64']:.1f}" in lines["products, TFLOP/s"]


# The command


def test_report_prints_tables_and_draws_plots(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.json"
    write(cpu_record(), path)
    assert command.main([str(path), "--output", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "| seed " in shown
    for name in ("mine-floor.png", "mine-speedup.png"):
        assert (tmp_path / name).stat().st_size > 10_000
        assert f"plot: {tmp_path / name}" in shown


def test_plots_go_to_the_current_folder_by_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "records").mkdir()
    write(cpu_record(), tmp_path / "records" / "mine.json")
    monkeypatch.chdir(tmp_path)
    assert command.main(["records/mine.json"]) == 0
    assert (tmp_path / "mine-floor.png").exists()


def test_a_bad_file_is_status_2_and_prints_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    write(cpu_record(), good)
    bad.write_text("junk")
    assert command.main([str(good), str(bad), "--output", str(tmp_path)]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"bench: {bad} is not a record of schema 1: ")
    assert not list(tmp_path.glob("*.png"))


def test_a_missing_folder_is_an_argparse_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as raised:
        command.main(["a.json", "--output", "no/such/folder"])
    assert raised.value.code == 2
    assert "must be an existing folder; got 'no/such/folder'" in capsys.readouterr().err
