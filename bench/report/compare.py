"""Two records row by row: what got slower, what got faster, what came and went."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from rich.console import Console
from rich.text import Text

from ..record import Machine, Outcome, Record, Row, Timing
from ..rivals import OURS
from . import text
from .grid import Column, Faster, Grid, Slower, names, numbers, show

Key = tuple[str, ...]
"""Section, what is computed, the rival, and how it was timed."""


class Change(str, Enum):
    """From the old median to the new one; beyond the spread where the quartiles do not overlap."""

    SLOWER = "SLOWER"
    FASTER = "faster"
    WITHIN = ""


@dataclass(frozen=True)
class Pair:
    """One time in both records."""

    key: Key
    old: Timing
    new: Timing

    @property
    def ratio(self) -> float:
        """New over old: above 1 is slower."""
        return self.new.median_us / self.old.median_us

    @property
    def change(self) -> Change:
        """Whether they differ by more than their spreads."""
        if self.new.median_us > self.old.median_us and self.new.low_us > self.old.high_us:
            return Change.SLOWER
        if self.new.median_us < self.old.median_us and self.new.high_us < self.old.low_us:
            return Change.FASTER
        return Change.WITHIN


@dataclass(frozen=True)
class Comparison:
    """Of an old and a new record."""

    pairs: tuple[Pair, ...]
    appeared: tuple[str, ...]
    disappeared: tuple[str, ...]
    differences: tuple[str, ...]

    @property
    def slower(self) -> tuple[Pair, ...]:
        """Beyond the spread."""
        return tuple(pair for pair in self.pairs if pair.change is Change.SLOWER)


def compare(old: Record, new: Record) -> Comparison:
    """Every time that either has."""
    before, after = dict(_times(old)), dict(_times(new))
    pairs = [Pair(key, timing, after[key]) for key, timing in before.items() if key in after]
    reasons = dict(_reasons(new))
    gone = [
        _sentence(key) + (f": {reasons[key[:3]]}" if key[:3] in reasons else "")
        for key in before
        if key not in after
    ]
    come = [_sentence(key) for key in after if key not in before]
    return Comparison(tuple(pairs), tuple(come), tuple(gone), tuple(differences(old, new)))


def print_comparison(
    comparison: Comparison, titles: tuple[str, str], console: Console, with_all: bool = False
) -> None:
    """What changed beyond its spread, and ours in any case; the rest is counted.

    Args:
        comparison: of the two.
        titles: the names of the old and the new record.
        console: where to.
        with_all: rivals that did not change, too.
    """
    shown = [
        pair
        for pair in comparison.pairs
        if with_all or pair.change is not Change.WITHIN or pair.key[2] == OURS
    ]
    columns = (*names("", "computed", "rival", "timed"), *numbers("old us", "new us", "new / old"))
    rows = tuple(
        (*pair.key, text.time(pair.old), text.time(pair.new), *_verdict(pair)) for pair in shown
    )
    old, new = titles
    hidden = len(comparison.pairs) - len(shown)
    count = (
        f"{len(comparison.slower)} of {len(comparison.pairs)} times got slower beyond the spread"
    )
    notes = [count]
    if hidden:
        notes.append(f"{text.count(hidden, 'time')} of rivals, within the spread, not shown")
    notes += [f"differs: {line}" for line in comparison.differences]
    notes += [f"only in {old}: {line}" for line in comparison.disappeared]
    notes += [f"only in {new}: {line}" for line in comparison.appeared]
    title = f"{old} -> {new}"
    grid = Grid(title, (*columns, Column("", is_number=False)), rows, tuple(notes))
    show(grid, console)
    if comparison.differences:
        warning = "not the same machine and software: a change need not be the code's"
        console.print(Text(f"  {warning}", style="bold red"), soft_wrap=True)


_EXPECTED: Final = {"date", "commit", "is_dirty"}
"""What two records worth comparing differ in."""


def differences(old: Record, new: Record) -> Iterator[str]:
    """In what the circumstances differ, the state of the code aside."""
    for name in Machine.model_fields:
        before, after = getattr(old.machine, name), getattr(new.machine, name)
        if name not in _EXPECTED and before != after:
            yield f"{name}: {before} -> {after}"
    if old.is_quick != new.is_quick:
        yield f"quick: {old.is_quick} -> {new.is_quick}"


def _times(record: Record) -> Iterator[tuple[Key, Timing]]:
    for section, row in _rows(record):
        for result in row.results:
            for measurement in result.measurements:
                if measurement.timing is not None:
                    how = text.clock(measurement.clock, measurement.layout)
                    yield (section, _computed(row), result.rival, how), measurement.timing
    for training in record.training:
        for layer in training.results:
            if layer.timing is not None:
                yield ("training", training.model, layer.layer, "step"), layer.timing


def _reasons(record: Record) -> Iterator[tuple[Key, str]]:
    """Why a rival of a row was not measured, without how it would have been timed."""
    for section, row in _rows(record):
        for result in row.results:
            if result.outcome is not Outcome.MEASURED:
                why = f"{result.outcome.value}: {result.reason}"
                yield (section, _computed(row), result.rival), why
    for training in record.training:
        for layer in training.results:
            if layer.outcome is not Outcome.MEASURED:
                why = f"{layer.outcome.value}: {layer.reason}"
                yield ("training", training.model, layer.layer), why


def _rows(record: Record) -> Iterator[tuple[str, Row]]:
    yield from (("layer", row) for row in record.rows)
    yield from (("overhead", row) for row in record.overhead)
    yield from (("windows", row) for row in record.windows)
    yield from (("ragged", row) for row in record.ragged)


def _computed(row: Row) -> str:
    return f"{row.case} {row.sizes} {row.arithmetic}, {text.group(row)}"


def _sentence(key: Key) -> str:
    section, computed, rival, how = key
    return f"{rival}, {how}: {section}, {computed}"


def _verdict(pair: Pair) -> tuple[str, str]:
    ratio = text.ratio(pair.ratio)
    if pair.change is Change.SLOWER:
        return Slower(ratio), Slower(pair.change.value)
    if pair.change is Change.FASTER:
        return Faster(ratio), Faster(pair.change.value)
    return ratio, ""
