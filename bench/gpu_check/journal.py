"""What a part is through with: a line of JSON an event, so that nothing is lost where it is cut.

The process that does the part says what it starts and how that ended, the one that watches over it
how the process ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, ValidationError

from ..record import Strict

MOST_CHARACTERS: Final = 4000  # of what is said about a failure


class Unit(Strict):
    """The smallest thing that is not done again: a test, a kernel, a stretch of calls."""

    name: str
    outcome: Literal["passed", "failed", "skipped"]
    seconds: float = 0.0
    text: str | None = None
    """Why it failed or was skipped."""
    figures: dict[str, float] = Field(default_factory=dict)


class Event(Strict):
    """One line."""

    what: Literal[
        "process",  # begins
        "started",  # a unit
        "ended",
        "noted",  # a unit, by the one that watches over the processes
        "cut",  # a unit that was running when its process ended for the time
        "stopped",  # the process, by itself for the time
        "complete",  # says the process: nothing is left
        "left",  # the process, by whatever means, after so many seconds
        "judged",  # what it noted counts
        "dropped",  # or does not
        "refused",  # the part, as a whole
    ]
    name: str | None = None
    unit: Unit | None = None
    seconds: float = 0.0
    words: str | None = None


@dataclass
class Progress:
    """All that a journal says."""

    units: dict[str, Unit] = field(default_factory=dict)
    cuts: Counter[str] = field(default_factory=Counter)
    running: str | None = None
    """What the last process started and did not end."""
    processes: int = 0
    seconds: float = 0.0
    was_stopped: bool = False
    """Whether the last process stopped for the time."""
    unjudged: set[str] = field(default_factory=set)
    """Units of a last process that nobody has judged."""
    is_complete: bool = False
    refusal: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left to do."""
        return self.is_complete or self.refusal is not None

    def add(self, event: Event) -> None:
        """What happened next."""
        if event.what == "process":
            self.processes += 1
            self.running, self.was_stopped = None, False
            self.unjudged = set()
        elif event.what == "started":
            self.running = event.name
        elif event.what in ("ended", "noted") and event.unit is not None:
            self.units[event.unit.name] = event.unit
            self.running = None
            if event.what == "ended":
                self.unjudged.add(event.unit.name)
        elif event.what == "cut" and event.name is not None:
            self.cuts[event.name] += 1
        elif event.what == "stopped":
            self.was_stopped = True
        elif event.what == "left":
            self.seconds += event.seconds
        elif event.what == "judged":
            self.unjudged = set()
        elif event.what == "dropped":
            self.units = {
                name: unit for name, unit in self.units.items() if name not in self.unjudged
            }
            self.unjudged, self.is_complete = set(), False
        elif event.what == "refused":
            self.refusal = event.words
        elif event.what == "complete":
            self.is_complete = True


class Journal:
    """A part's file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> Progress:
        """What it says up to now; nothing where there is no file."""
        progress = Progress()
        for event in self._events():
            progress.add(event)
        return progress

    def begin_process(self) -> None:
        """Before every process that does the part."""
        self._write(Event(what="process"))

    def start(self, name: str) -> None:
        """Of a unit."""
        self._write(Event(what="started", name=name))

    def end(self, unit: Unit) -> None:
        """With how it ended."""
        self._write(Event(what="ended", unit=_shortened(unit)))

    def note(self, unit: Unit) -> None:
        """How a unit ended that could not say so itself."""
        self._write(Event(what="noted", unit=_shortened(unit)))

    def cut(self, name: str) -> None:
        """A unit that was running when its process ended for the time."""
        self._write(Event(what="cut", name=name))

    def stop(self) -> None:
        """By the process itself: the time is over before the part is."""
        self._write(Event(what="stopped"))

    def leave(self, seconds: float) -> None:
        """After a process that took so long."""
        self._write(Event(what="left", seconds=seconds))

    def judge(self) -> None:
        """What the last process noted counts."""
        self._write(Event(what="judged"))

    def drop(self) -> None:
        """What the last process noted does not count."""
        self._write(Event(what="dropped"))

    def refuse(self, words: str) -> None:
        """The part cannot be done here."""
        self._write(Event(what="refused", words=shortened(words)))

    def complete(self) -> None:
        """Nothing is left."""
        self._write(Event(what="complete"))

    def _write(self, event: Event) -> None:
        line = event.model_dump_json(exclude_defaults=True)
        with self.path.open("a+b") as file:
            if self._ends_within_a_line(file.tell()):
                line = f"\n{line}"  # of a process that was killed while it wrote
            file.write(f"{line}\n".encode())

    def _ends_within_a_line(self, size: int) -> bool:
        if size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(size - 1)
            return file.read() != b"\n"

    def _events(self) -> Iterator[Event]:
        if not self.path.exists():
            return
        for line in self.path.read_bytes().splitlines():
            try:
                yield Event.model_validate_json(line)
            except ValidationError:  # half a line
                continue


def _shortened(unit: Unit) -> Unit:
    if unit.text is None:
        return unit
    return unit.model_copy(update={"text": shortened(unit.text)})


def shortened(text: str) -> str:
    """The beginning and the end of what is too long to keep."""
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n...\n{text[-half:]}"
