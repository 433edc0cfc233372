"""What became of the parts: a line in a terminal, a table in docs/guarantees.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ..generated import begin_marker, replace_between
from ..report import text
from ..report.grid import Grid, escape, names, numbers, to_markdown
from .record import GpuCheckRecord, Outcome, PartResult

BEGIN: Final = begin_marker("tools/gpu_check --show")
NEVER: Final = "`tools/gpu_check` was never run: bench/results/gpu_check has no record."


def section(record: GpuCheckRecord | None) -> str:
    """A line of the machine and a table of the parts; of no record, that there is none."""
    if record is None:
        return NEVER
    lines = [_machine(record), "", *to_markdown(_grid(record))]
    return "\n".join(lines).rstrip("\n")


def with_section(document: str, record: GpuCheckRecord | None) -> str:
    """The document with that between its markers."""
    return replace_between(document, BEGIN, section(record))


def told(part: PartResult) -> str:
    """For a terminal: a line, and one for each failure."""
    figures = f" ({_figures(part)})" if part.figures else ""
    reason = f": {_one_line(part.reason)}" if part.reason is not None else ""
    line = f"{part.part}: {_outcome(part)} in {part.seconds:.0f} s{figures}{reason}"
    failures = (f"\n    {one.name}: {_one_line(one.text)}" for one in part.failures)
    return line + "".join(failures)


def _machine(record: GpuCheckRecord) -> str:
    machine = record.machine
    commit = "an unknown commit" if machine.commit is None else f"commit {machine.commit[:12]}"
    state = ", files differed" if machine.is_dirty else ""
    return escape(
        f"Last run {machine.date[:10]}: {machine.device_name}, driver "
        f"{machine.driver or 'unknown'}, torch {machine.torch}, CUDA {machine.cuda or 'unknown'}, "
        f"{commit}{state}."
    )


def _grid(record: GpuCheckRecord) -> Grid:
    rows = tuple(
        (part.part, part.question, _outcome(part), _figures(part), _seconds(part))
        for part in record.parts
    )
    columns = (*names("part", "question", "outcome", "figures"), *numbers("seconds"))
    return Grid("", columns, rows, tuple(_notes(record)))


def _outcome(part: PartResult) -> str:
    if part.outcome is Outcome.FAILED and not part.is_over:
        return "FAILED, unfinished"
    return "FAILED" if part.outcome is Outcome.FAILED else part.outcome.value


def _figures(part: PartResult) -> str:
    return ", ".join(f"{_number(value)} {name}" for name, value in part.figures.items())


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else text.number(value)


def _seconds(part: PartResult) -> str:
    return f"{part.seconds:.0f}" if part.seconds else text.NOTHING


def _notes(record: GpuCheckRecord) -> Iterator[str]:
    for part in record.parts:
        if part.reason is not None:
            yield f"{part.part}, {part.outcome.value}: {_one_line(part.reason)}"
        for failure in part.failures:
            yield f"{part.part}, {failure.name}: {_one_line(failure.text)}"


def _one_line(words: str) -> str:
    """The last one, where Python and pytest say what was wrong."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1] if lines else "failed"
