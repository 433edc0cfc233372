"""One table, for a terminal, a pipe or a page."""

from __future__ import annotations

from dataclasses import dataclass

from rich import box
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from . import text


class Faster(str):
    """A cell that says that ours is ahead."""

    __slots__ = ()


class Slower(str):
    """A cell that says that ours is behind."""

    __slots__ = ()


@dataclass(frozen=True)
class Column:
    """Its heading; numbers are aligned to the right."""

    title: str
    is_number: bool = True


@dataclass(frozen=True)
class Grid:
    """Rows of cells under a title, and what has to be said about them."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def names(*titles: str) -> tuple[Column, ...]:
    """Columns of words."""
    return tuple(Column(title, is_number=False) for title in titles)


def numbers(*titles: str) -> tuple[Column, ...]:
    """Columns of figures."""
    return tuple(map(Column, titles))


def speed_up(value: float | None) -> str:
    """A ratio that is good from 1 on."""
    shown = text.ratio(value)
    if value is None:
        return shown
    return Faster(shown) if value >= 1 else Slower(shown)


def make_console() -> Console:
    """Of the standard output; a pipe has no width, so nothing is folded or cut."""
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, emoji=False, width=1000, no_color=True)
    return console


def show(grid: Grid, console: Console) -> None:
    """Prints the table and the notes below it."""
    if console.is_terminal:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    else:
        table = Table(box=box.MARKDOWN)
    for column in grid.columns:
        justify: JustifyMethod = "right" if column.is_number else "left"
        # On a narrow terminal names are folded; a figure that is cut would be another figure.
        table.add_column(column.title, justify=justify, overflow="fold")
    for row in grid.rows:
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    console.print()
    console.print(Text(grid.title, style="bold"), soft_wrap=True)
    if grid.rows:
        with console.capture() as printed:
            console.print(table)
        lines = [line for line in printed.get().splitlines() if line.strip()]  # no blank edges
        console.out("\n".join(lines), highlight=False)
    for note in grid.notes:
        console.print(Text(f"  {note}", style="dim"), soft_wrap=True)


def to_markdown(grid: Grid) -> list[str]:
    """The lines of the table and of the notes, without the title."""
    lines: list[str] = []
    if grid.rows:
        rules = ["---:" if column.is_number else "---" for column in grid.columns]
        header = [column.title for column in grid.columns]
        lines += [_line(header), _line(rules), *map(_line, grid.rows), ""]
    if grid.notes:
        lines += [*(f"- {escape(note)}" for note in grid.notes), ""]
    return lines


def escape(cell: str) -> str:
    """What Markdown would take for its own."""
    for character in "\\|*<`[":
        cell = cell.replace(character, f"\\{character}")
    return cell


def _line(cells: list[str] | tuple[str, ...]) -> str:
    return f"| {' | '.join(map(escape, cells))} |"


def _style(cell: str) -> str:
    return "green" if isinstance(cell, Faster) else "red" if isinstance(cell, Slower) else ""
