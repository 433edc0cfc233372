"""Tables beside those of the layer: a call's overhead, training, memory, also of windows."""

from __future__ import annotations

from collections.abc import Sequence

from .. import derived
from ..record import Layout, Outcome, Record, RivalResult, Row, TrainingResult, TrainingRow
from ..rivals import OURS
from . import text
from .grid import Grid, Slower, names, numbers, speed_up
from .layer import label_of, matrix
from .reasons import unmeasured, unmeasured_training


def overhead_grid(record: Record) -> Grid:
    """Two rows a pass: calls as they are, and through torch.compile."""
    rows = record.overhead
    clock = derived.overhead_clock(record.machine)
    lines = [
        (row.computed.value, called, *_overhead(record, row, compiled=called != "eager"))
        for row in rows
        for called in ("eager", "torch.compile")
    ]
    columns = (
        *names("pass", "called"),
        *numbers("ours, us"),
        *names("fastest rival"),
        *numbers("its us", "ours / its"),
    )
    title = f"overhead of a call, one thread, {clock.value}"
    if rows:
        title += f": {rows[0].sizes} {rows[0].arithmetic}"
    return Grid(title, columns, tuple(lines), unmeasured(rows, lambda row: row.computed.value))


def overhead_ratio(record: Record, row: Row, compiled: bool = False) -> float | None:
    """Our time over the fastest rival's, both compiled or both not."""
    clock = derived.overhead_clock(record.machine)
    name = derived.OURS_COMPILED if compiled else OURS
    ours = derived.time_of(derived.result_of(row, name), clock, Layout.CONTIGUOUS)
    best = fastest_to_call(record, row, compiled)
    return None if ours is None or best is None else ours.median_us / best.timing.median_us


def fastest_to_call(record: Record, row: Row, compiled: bool) -> derived.Best | None:
    """Of the compiled rivals, or of the others."""
    return derived.best_rival(
        row,
        derived.overhead_clock(record.machine),
        takes_part=lambda name: derived.is_compiled(name) is compiled,
    )


def training_grid(record: Record) -> Grid:
    """A row a model and layer."""
    lines = [
        (row.model, result.layer, *_training_cells(row, result))
        for row in record.training
        for result in row.results
    ]
    columns = (
        *names("model", "layer"),
        *numbers("step, us", "steps/s", "peak, MB", "ours is faster by"),
    )
    descriptions = tuple(f"{row.model}: {row.description}" for row in record.training)
    notes = (*descriptions, *unmeasured_training(record.training))
    return Grid("training: forward, backward, optimizer's step", columns, tuple(lines), notes)


def memory_grid(rows: Sequence[Row]) -> Grid:
    """A row a case and a column a rival: the peak over what is given and returned."""
    title = f"peak memory over inputs and outputs: {text.group(rows[0])}"
    grid = matrix(title, rows, _memory_cell, label_of)
    return Grid(grid.title, grid.columns, grid.rows, (*_unseen(rows), *unmeasured(rows)))


def windows_memory_grid(rows: Sequence[Row]) -> Grid:
    """A row a case and a column a rival, of bytes: whether the windows were copied."""
    title = f"peak memory, MB: {text.group(rows[0])}"
    grid = matrix(title, rows, _peak_cell, label_of)
    lines = []
    for row, (label, *peaks) in zip(rows, grid.rows, strict=True):
        sizes = map(text.megabytes, (_given_and_returned(row), derived.windows_bytes(row)))
        lines.append((label, *sizes, *peaks))
    case, *rivals = grid.columns
    columns = (case, *numbers("inputs and outputs", "windows"), *rivals)
    return Grid(title, columns, tuple(lines), _unseen(rows))


def held(row: Row, name: str) -> int | None:
    """The peak in bytes beyond what the rival is given and returns; None where it is not seen."""
    result = derived.result_of(row, name)
    if result is None or result.memory is None:
        return None
    return result.memory.peak_bytes - result.memory.tensors_bytes


def _overhead(record: Record, row: Row, compiled: bool) -> tuple[str, ...]:
    clock = derived.overhead_clock(record.machine)
    name = derived.OURS_COMPILED if compiled else OURS
    ours = derived.time_of(derived.result_of(row, name), clock, Layout.CONTIGUOUS)
    best = fastest_to_call(record, row, compiled)
    value = overhead_ratio(record, row, compiled)
    shown = text.ratio(value)
    return (
        text.time(ours),
        "none" if best is None else best.rival,
        text.time(None if best is None else best.timing),
        Slower(shown) if value is not None and value > 1 else shown,
    )


def _training_cells(row: TrainingRow, result: TrainingResult) -> tuple[str, ...]:
    if result.timing is None:
        return (result.outcome.value, *[text.NOTHING] * 3)
    ours = next((other.timing for other in row.results if other.layer == OURS), None)
    ratio = None if ours is None else result.timing.median_us / ours.median_us
    return (
        text.time(result.timing),
        text.number(1e6 / result.timing.median_us),
        text.megabytes(result.peak_bytes),
        text.NOTHING if result.layer == OURS else speed_up(ratio),
    )


def _memory_cell(row: Row, result: RivalResult) -> str:
    return text.memory(result.memory) if result.memory else _state(result)


def _peak_cell(row: Row, result: RivalResult) -> str:
    return text.megabytes(result.memory.peak_bytes) if result.memory else _state(result)


def _given_and_returned(row: Row) -> int | None:
    """Bytes, the same for all; None where nobody's memory is seen."""
    seen = (result.memory.tensors_bytes for result in row.results if result.memory)
    return next(seen, None)


def _unseen(rows: Sequence[Row]) -> tuple[str, ...]:
    """A line with the rivals whose memory is out of sight, if there are any."""
    names = [
        result.rival
        for row in rows
        for result in row.results
        if result.outcome is Outcome.MEASURED and result.memory is None
    ]
    return (f"memory cannot be seen of: {', '.join(dict.fromkeys(names))}",) if names else ()


def _state(result: RivalResult) -> str:
    return text.NOTHING if result.outcome is Outcome.MEASURED else result.outcome.value
