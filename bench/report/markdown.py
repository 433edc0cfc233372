"""The text of docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .. import derived
from ..cases import GPU_CASES, WINDOW_CASES, Case
from ..record import Layout, Outcome, Pass, Record, Row
from ..rivals import PADDED, RAGGED_RIVALS, RIVALS, WINDOW_RIVALS, Rival
from . import text
from .grid import Grid, escape, names, to_markdown
from .layer import groups, headline_grid, headline_groups, rivals_of, time_matrices
from .ragged import ratios_grid, work_grid
from .sections import memory_grid, overhead_grid, training_grid, windows_memory_grid

HEADER: Final = """\
<!-- Written by `python -m bench page` from bench/results/*.json; edit bench/report/markdown.py. -->

# Benchmarks

## What is compared, and how

One layer, `y[b, t] = activation(x[b, t] @ weight[t] + bias[t])`, by this package and by everything
else that computes it, on the same tensors, in the same process, on the same machine:

- **Right before fast.** Every rival's result and gradients are compared with float64's. What is
  too far off is not timed and says so.
- **In turns.** Every rival is timed in every round, so that what disturbs the machine disturbs
  them alike. A time is the median over the rounds; behind `+-` is half the span of the middle half.
- **The same result.** Times are of a result in (B, T, O) order; where a rival leaves another, the
  copy counts. "As left" compares without that copy. The time of this package is the same in both.
- **The best rival** is the fastest of all that were measured in the row. The speed-up is its time
  over ours: below 1, ours is the slower one.
- **The floor** is the longest of three times: the products at the rate of one large matrix
  product, the least bytes at the bandwidth of a copy of that size, the smallest call there is. All
  are measured on the spot. "Floor / time" says how much of it is reached: more than 100 % where
  data stays in a cache that the copy of that size does not fit.
- **The least bytes** are those of every argument read once and of every result written once.
  Products are counted as 2 B T I O forward and twice that backward.

A locally connected layer's step sees a window of k steps, s steps on from the last one's:
`y[b, t] = activation(x[b, t s : t s + k] @ weight[t] + bias[t])`, with k I in place of I. It has
rivals of its own, and its memory is in bytes: where a forward's peak is below inputs, outputs and
windows together, the windows were not copied. A backward holds their gradient.

Of samples that differ in length R rows of the B T exist. Lengths are uniform from 1 to T, or
long-tailed: log-normal, as lengths of sentences are (Williams, Biometrika 31, 1940), with a median
of T / 8 and a sigma of 1, cut at T. They are the same for all, results are compared on the rows
that exist, and products are counted as 2 R I O. Rivals are given rows as they take them, packed or
padded: what packs and pads before is not timed.

Clocks. CPU: `wall`, of calls one after another. CUDA: `cold`, every call on other buffers, so that
L2 holds none of them: the headline; `warm`, always the same buffers; `graph`, replays of a CUDA
graph; `eager`, the CPU's time until a call returns.

"Forward" is without a gradient; "forward, recorded" keeps what a backward needs; "backward" is the
gradients of x, weight and bias; "forward+backward" both as one.

## How to repeat it

```
pip install -e '.[bench]'
python -m bench --device cpu --json cpu.json      # or cuda; --help names the choices
python -m bench --resume cpu.json                 # goes on with a run that was cut
python -m bench report cpu.json --all-rivals      # tables and plots
python -m bench report old.json new.json          # and what got slower
python -m bench page                              # this page, of bench/results/*.json
```
"""


def page_text(records: Mapping[str, Record], pictures: str) -> str:
    """The page.

    Args:
        records: by name.
        pictures: the folder of their plots, as seen from the page.
    """
    lines = [*HEADER.splitlines(), "", *_rivals(records), *_gpu(records)]
    if not records:
        lines += ["## Results", "", "Not measured: there is no record in bench/results.", ""]
    for name, record in records.items():
        lines += _section(name, record, pictures)
    return "\n".join(lines).rstrip("\n") + "\n"


def _rivals(records: Mapping[str, Record]) -> Iterator[str]:
    layer = [row for record in records.values() for row in (*record.rows, *record.overhead)]
    windows = [row for record in records.values() for row in record.windows]
    yield "## Rivals"
    yield ""
    yield from to_markdown(_rivals_grid(RIVALS, layer))
    ragged = [row for record in records.values() for row in record.ragged]
    yield "On windows of steps:"
    yield ""
    yield from to_markdown(_rivals_grid(WINDOW_RIVALS, windows))
    yield "On samples that differ in length:"
    yield ""
    yield from to_markdown(_rivals_grid(RAGGED_RIVALS, ragged))


def _rivals_grid(rivals: Sequence[Rival], measured: Sequence[Row]) -> Grid:
    """Those that are measured, and those that rows tell of beside them."""
    known = {rival.name: rival for rival in rivals}
    rows = [
        (name, rival.summary, _asks(rival.install, rival.only_when_named))
        for name, rival in known.items()
    ]
    rows += [(name, _summary(name), "") for name in rivals_of(measured) if name not in known]
    return Grid("", names("name", "what is called", ""), tuple(rows))


def _asks(install: str, only_when_named: bool) -> str:
    parts = (install, "takes long to prepare: only where named" if only_when_named else "")
    return "; ".join(part for part in parts if part)


def _summary(name: str) -> str:
    """Of a rival that takes part in the overhead only, or that no longer exists."""
    if derived.is_compiled(name):
        return "the function of that name, compiled"
    return "the op below the function" if derived.is_ours(name) else "no longer measured"


def _gpu(records: Mapping[str, Record]) -> Iterator[str]:
    """Every case of the GPU, measured or not."""
    found = {name: record for name, record in records.items() if record.machine.device == "cuda"}
    passes = [Pass.FORWARD, Pass.BACKWARD]
    if any(row.computed is Pass.BOTH for record in found.values() for row in record.rows):
        passes.append(Pass.BOTH)
    rows = tuple(
        (
            case.name,
            str(case.sizes),
            case.arithmetic,
            case.source,
            *(_covered(found, case, computed) for computed in passes),
        )
        for case in GPU_CASES
    )
    columns = names("case", "B,T,I,O", "dtype", "whose", *(computed.value for computed in passes))
    yield "## CUDA: what is measured, and what is not"
    yield ""
    yield "Speed-up over the best rival: cold, contiguous; with a bias and no activation where that"
    yield "was measured."
    yield ""
    yield from to_markdown(Grid("", columns, rows))


def _covered(records: Mapping[str, Record], case: Case, computed: Pass) -> str:
    cells = [
        f"{name}{', quick' if record.is_quick else ''}: {_state(record, row)}"
        for name, record in records.items()
        for row in headline_groups(record.rows).get(computed, ())
        if (row.case, row.arithmetic) == (case.name, case.arithmetic)
    ]
    return "; ".join(cells) or "not measured"


def _state(record: Record, row: Row) -> str:
    clock = derived.headline_clock(record.machine)
    ours = derived.result_of(row)
    if ours is not None and ours.outcome is not Outcome.MEASURED:
        return str(ours.outcome.value)
    if derived.time_of(ours, clock, Layout.CONTIGUOUS) is None:
        return "not measured"
    ratio = derived.speed_up(row, clock)
    return "no rival" if ratio is None else text.ratio(ratio)


def _section(name: str, record: Record, pictures: str) -> Iterator[str]:
    yield f"## {escape(name)}: {escape(record.machine.device_name)}, {text.day(record)}"
    yield ""
    for label, value in text.machine_lines(record):
        yield f"- {label}: {escape(value)}"
    yield ""
    if headline_groups(record.rows):
        yield f"![Time of a call and the machine's floor]({pictures}/{name}-floor.png)"
        yield ""
        yield f"![Speed-up over the best rival]({pictures}/{name}-speedup.png)"
        yield ""
    yield from _titled("The layer", _layer(record))
    yield from _titled("A call's overhead", _overhead(record))
    yield from _titled("Training", _training(record))
    yield from _titled("Memory", _memory(record))
    yield from _titled("Windows of steps", _windows(record))
    yield from _titled("Ragged rows", _ragged(record))


def _titled(title: str, lines: Iterator[str]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    found = list(lines)
    yield from found or ("Not measured.", "")


def _layer(record: Record) -> Iterator[str]:
    for rows in groups(record.rows).values():
        grid = headline_grid(record, rows)
        yield f"#### {escape(grid.title)}"
        yield ""
        yield from to_markdown(grid)
        yield from _folded("every rival's time", time_matrices(record, rows))


def _overhead(record: Record) -> Iterator[str]:
    if record.overhead:
        yield from _with_title(overhead_grid(record))
        yield from _folded(
            "every rival's time", time_matrices(record, record.overhead, by_pass=True)
        )


def _training(record: Record) -> Iterator[str]:
    if record.training:
        yield from _with_title(training_grid(record))


def _memory(record: Record) -> Iterator[str]:
    grids = [memory_grid(rows) for rows in groups(record.rows).values()]
    if grids:
        yield "The most bytes that a call held, over those that it was given and returned."
        yield ""
        for grid in grids:
            yield from _with_title(grid)


def _windows(record: Record) -> Iterator[str]:
    for rows in groups(record.windows).values():
        grid = headline_grid(record, rows, WINDOW_CASES)
        yield f"#### Windows: {escape(grid.title)}"
        yield ""
        yield from to_markdown(grid)
        for times in time_matrices(record, rows):
            yield from _with_title(times)
        yield from _with_title(windows_memory_grid(rows))


def _ragged(record: Record) -> Iterator[str]:
    if record.ragged:
        yield f"Times over that of `{PADDED}`. In proportion to the work they would be"
        yield "as large as the rows over the padded batch's."
        yield ""
    for rows in groups(record.ragged).values():
        yield f"#### Ragged: {escape(text.group(rows[0]))}"
        yield ""
        yield from _with_title(work_grid(rows))
        yield from _with_title(ratios_grid(record, rows))
        yield from _folded("every rival's time", time_matrices(record, rows))


def _with_title(grid: Grid) -> Iterator[str]:
    yield f"{escape(grid.title)}:"
    yield ""
    yield from to_markdown(grid)


def _folded(summary: str, grids: Sequence[Grid]) -> Iterator[str]:
    yield f"<details><summary>{summary}</summary>"
    yield ""
    for grid in grids:
        yield from _with_title(grid)
    yield "</details>"
    yield ""
