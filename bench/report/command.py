"""``python -m bench report``: the tables and plots of a record, and what differs between two."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from ..record import Record, RecordError, read
from .compare import compare, print_comparison
from .grid import make_console
from .plots import draw
from .table import print_record


def main(argv: Sequence[str]) -> int:
    """Returns 0, or 2 where a file is not a record."""
    options = _parser().parse_args(argv)
    paths: list[Path] = options.records
    try:
        records = [read(path) for path in paths]
    except RecordError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    for index, (record, path) in enumerate(zip(records, paths, strict=True)):
        if index:
            print()
        show(record, path, options.output, options.all_rivals)
    if len(records) == 2:
        old, new = records
        titles = (str(paths[0]), str(paths[1]))
        print_comparison(compare(old, new), titles, make_console(), options.all_rivals)
    return 0


def show(record: Record, path: Path, plots: Path, with_all_rivals: bool = False) -> None:
    """Prints the tables of the record in ``path`` and draws its plots into the folder."""
    console = make_console()
    console.print(Text(str(path), style="bold"), soft_wrap=True)
    print_record(record, console, with_all_rivals)
    for file in draw(record, path, plots):
        console.print(Text(f"plot: {file}"), soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench report",
        description="Prints the tables of records and draws their plots; of two records, also what "
        "differs: the old one first.",
    )
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD.json")
    parser.add_argument(
        "--output",
        type=_folder,
        default=Path(),
        metavar="DIR",
        help="the folder of the plots, named after the record (default: the current one)",
    )
    parser.add_argument(
        "--all-rivals", action="store_true", help="every rival's times, or why there are none"
    )
    return parser


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be an existing folder; got {text!r}")
    return path
