"""What a run leaves behind: one JSON file, of which every table, plot and page is made.

Floors, ratios and speed-ups are not in it: they are computed from it (``bench.derived``), so that
a better formula needs no new measurement.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

SCHEMA_VERSION: Final = 1


class Strict(BaseModel):
    """Neither unknown fields nor changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Pass(str, Enum):
    """What one call computes."""

    FORWARD = "forward"
    """y, where nothing needs a gradient."""
    RECORDED = "forward, recorded"
    """y, with what a backward needs."""
    BACKWARD = "backward"
    """The gradients of x, weight and bias, of a y that is there."""
    BOTH = "forward+backward"

    @property
    def has_gradients(self) -> bool:
        """Whether gradients are among the results."""
        return self in (Pass.BACKWARD, Pass.BOTH)


class Clock(str, Enum):
    """How a time was taken."""

    WALL = "wall"
    """Of calls on the CPU, one after another."""
    COLD = "cold"
    """CUDA events, every call on other buffers, together more than L2 holds."""
    WARM = "warm"
    """CUDA events, always the same buffers."""
    GRAPH = "graph"
    """CUDA events around the replay of a graph of calls on the same buffers."""
    EAGER = "eager"
    """Of the CPU, until the call returns: what a call costs before the GPU computes anything."""


class Layout(str, Enum):
    """The order of the result's memory."""

    CONTIGUOUS = "contiguous"
    """(B, T, O), by a copy where a rival leaves another."""
    AS_LEFT = "as left"


class Outcome(str, Enum):
    """What became of a rival in a row."""

    MEASURED = "measured"
    UNSUPPORTED = "unsupported"
    NOT_INSTALLED = "not installed"
    WRONG = "wrong"
    """Too far from float64: never timed."""
    OUT_OF_MEMORY = "out of memory"
    OUT_OF_TIME = "out of time"
    FAILED = "failed"


class Timing(Strict):
    """Microseconds a call: the median over turns, and the quartiles."""

    median_us: float
    low_us: float
    high_us: float
    turns: int

    @property
    def spread_us(self) -> float:
        """The span of the middle half of the turns."""
        return self.high_us - self.low_us


class Memory(Strict):
    """Bytes that one call needs."""

    peak_bytes: int
    """The most that it allocated at any one time, and what it was given."""
    tensors_bytes: int
    """Of what it was given and of its results: no call can do with less."""


class Measurement(Strict):
    """One clock on one layout."""

    clock: Clock
    layout: Layout
    timing: Timing | None
    reason: str | None = None
    """Why there is no timing."""


class RivalResult(Strict):
    """One rival in one row."""

    rival: str
    outcome: Outcome
    reason: str | None = None
    """Why it was not measured."""
    kernel: str | None = None
    """Which one this package chose."""
    error: float | None = None
    """The largest error of any result, as a part of what is allowed."""
    measurements: tuple[Measurement, ...] = ()
    memory: Memory | None = None

    def timing(self, clock: Clock, layout: Layout) -> Timing | None:
        """None where it was not measured."""
        for measurement in self.measurements:
            if (measurement.clock, measurement.layout) == (clock, layout):
                return measurement.timing
        return None


class Sizes(Strict):
    """Of x (B, T, I), weight (T, I, O) and y (B, T, O).

    Of windows, k steps s steps apart: of x (B, (T - 1) s + k, I) and weight (T, k I, O).
    Of samples that differ in length, R rows of the B T exist.
    """

    batch: int
    steps: int
    in_features: int
    out_features: int
    kernel_size: int = 1
    stride: int = 1
    rows: int | None = None
    """Of all samples together, where they differ in length; None: B T."""

    @property
    def padded_rows(self) -> int:
        """Of x and y, those past a sample's length included."""
        return self.batch * self.steps

    @property
    def real_rows(self) -> int:
        """Those that some sample has."""
        return self.padded_rows if self.rows is None else self.rows

    @property
    def in_steps(self) -> int:
        """Of x."""
        return (self.steps - 1) * self.stride + self.kernel_size

    @property
    def window_size(self) -> int:
        """The terms of a sum."""
        return self.kernel_size * self.in_features

    def __str__(self) -> str:
        sizes = f"{self.batch},{self.steps},{self.in_features},{self.out_features}"
        more = [("k", self.kernel_size), ("s", self.stride)]
        shown = [(name, size) for name, size in more if size != 1]
        shown += [] if self.rows is None else [("R", self.rows)]
        return sizes + "".join(f" {name}={size}" for name, size in shown)


class Row(Strict):
    """The same work by all rivals, in turns."""

    case: str
    sizes: Sizes
    arithmetic: str
    """The dtype, or "tf32"."""
    computed: Pass
    has_bias: bool
    activation: str | None
    results: tuple[RivalResult, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """What no two rows of a record share."""
        return (self.case, self.arithmetic, self.computed, self.has_bias, self.activation)


class TrainingResult(Strict):
    """A model's training step with one layer in it."""

    layer: str
    outcome: Outcome
    reason: str | None = None
    timing: Timing | None = None
    """Of forward, backward and the optimizer's step."""
    peak_bytes: int | None = None
    """Parameters, gradients and the optimizer's state included."""


class TrainingRow(Strict):
    """One model, trained with each layer in turns."""

    model: str
    description: str
    results: tuple[TrainingResult, ...]

    @property
    def key(self) -> tuple[object, ...]:
        """What no two rows of a record share."""
        return (self.model,)


class Bandwidth(Strict):
    """Of a copy: bytes read and written, by the size of what is touched."""

    working_set_bytes: int
    gb_per_s: float


class Ceilings(Strict):
    """What the machine reached on the spot."""

    copies: tuple[Bandwidth, ...]
    """By rising working set."""
    tflops: dict[str, float]
    """Of one large matrix product, by arithmetic."""
    launch_us: float
    """Of the least that can be asked: one call of an op on one element."""
    graph_launch_us: float | None = None
    """Of the same in a CUDA graph."""


class Machine(Strict):
    """What a record was measured on, and of what."""

    device: Literal["cpu", "cuda"]
    device_name: str
    cpu: str
    threads: int
    vectors: str | None = None
    """The widest instructions that torch uses of the CPU; older records do not say."""
    driver: str | None
    cuda: str | None
    torch: str
    python: str
    per_step_dense: str
    commit: str | None
    is_dirty: bool | None
    """Whether files differed from the commit's."""
    date: str
    """ISO 8601, UTC, of the first row."""


class Record(Strict):
    """Everything that one run measured."""

    schema_version: Literal[1] = SCHEMA_VERSION
    machine: Machine
    is_quick: bool
    """Fewer turns: for a look, not for publication."""
    ceilings: Ceilings
    rows: tuple[Row, ...] = ()
    overhead: tuple[Row, ...] = ()
    """A call so small that only the CPU's part counts, on one thread."""
    training: tuple[TrainingRow, ...] = ()
    windows: tuple[Row, ...] = ()
    """Of locally connected layers."""
    ragged: tuple[Row, ...] = ()
    """Of samples that differ in length."""

    def keys(self) -> Iterator[tuple[object, ...]]:
        """Of all rows."""
        rows: tuple[Row, ...] = (*self.rows, *self.overhead, *self.windows, *self.ragged)
        yield from (row.key for row in rows)
        yield from (row.key for row in self.training)


class RecordError(ValueError):
    """A file that is not a record of this schema; the text is for people."""


AnyRecord = TypeVar("AnyRecord", bound=Strict)


def read(path: Path) -> Record:
    """A record of the bench from its file; raises as ``read_as``."""
    return read_as(Record, path)


def read_as(kind: type[AnyRecord], path: Path) -> AnyRecord:
    """A record of this kind, which has a ``schema_version``.

    Raises:
        RecordError: where there is no such file, or it is not a record of this schema.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        schema = kind.model_fields["schema_version"].default
        raise RecordError(
            f"{path} is not a record of schema {schema}: {where}: {first['msg']}"
        ) from None


def write(record: Strict, path: Path) -> None:
    """Replaces the file at once: a run that is cut leaves the last whole record."""
    draft = path.with_name(f"{path.name}.part")
    draft.write_text(record.model_dump_json(indent=1) + "\n")
    os.replace(draft, path)
