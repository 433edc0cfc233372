"""What was not measured, and why: below every table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from ..cases import Case
from ..record import Outcome, Row, TrainingRow
from . import text


def unmeasured(
    rows: Sequence[Row], label: Callable[[Row], str] = lambda row: row.case
) -> tuple[str, ...]:
    """A line for each rival and reason, with the rows that it holds for."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        for line in _of_row(row):
            labels.setdefault(line, []).append(label(row))
    return tuple(
        f"{line} ({_listed(names, len(rows))})" if len(rows) > 1 else line
        for line, names in labels.items()
    )


def unmeasured_training(rows: Sequence[TrainingRow]) -> tuple[str, ...]:
    """A line for each model and layer."""
    return tuple(
        f"{row.model}: {_why(result.layer, result.outcome, result.reason)}"
        for row in rows
        for result in row.results
        if result.outcome is not Outcome.MEASURED
    )


def missing_cases(expected: Sequence[Case], rows: Sequence[Row]) -> tuple[str, ...]:
    """A line with the cases of which no row tells, if there are any."""
    present = {row.case for row in rows}
    missing = [case.name for case in expected if case.name not in present]
    return (f"not measured in this record: {', '.join(missing)}",) if missing else ()


def _of_row(row: Row) -> Iterator[str]:
    for result in row.results:
        if result.outcome is not Outcome.MEASURED:
            yield _why(result.rival, result.outcome, result.reason)
            continue
        for measurement in result.measurements:
            if measurement.timing is None:
                how = text.clock(measurement.clock, measurement.layout)
                yield f"{result.rival}, {how}: {measurement.reason or 'no reason given'}"


def _why(name: str, outcome: Outcome, reason: str | None) -> str:
    return f"{name}, {outcome.value}: {reason or 'no reason given'}"


def _listed(names: Sequence[str], rows: int) -> str:
    return "all" if len(names) == rows else ", ".join(dict.fromkeys(names))
