"""The command: counts, or writes the scaling page's tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from ..generated import begin_marker, replace_between
from ..machine import describe_machine
from ..record import read_as, write
from .count import modelled
from .processes import counted_by
from .record import ScalingRecord
from .tables import computed_tables, counted_table

PROCESSES: Final = (2, 4)
COUNTED: Final = begin_marker("python -m bench.scaling --show, counted")
COMPUTED: Final = begin_marker("python -m bench.scaling --show, computed")


def main(argv: Sequence[str] | None = None) -> int:
    """1 where a count is not what the model says."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling",
        description="What a training step on several GPUs communicates, keeps and takes at least.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--count", type=Path, metavar="FILE", help="the record of a new count")
    what.add_argument("--show", type=Path, metavar="FILE", help="print a record's tables")
    parser.add_argument(
        "--update", type=Path, metavar="DOCUMENT", help="with --show, put the tables into it"
    )
    options = parser.parse_args(argv)
    if options.count:
        return count(options.count)
    record = read_as(ScalingRecord, options.show)
    if options.update is None:
        print(counted_table(record), computed_tables(), sep="\n\n")
    else:
        options.update.write_text(with_tables(options.update.read_text(), record))
    return 0


def with_tables(text: str, record: ScalingRecord) -> str:
    """The document with the tables between its markers."""
    text = replace_between(text, COUNTED, counted_table(record))
    return replace_between(text, COMPUTED, computed_tables())


def count(path: Path) -> int:
    """Every strategy, in 2 and in 4 processes."""
    machine = describe_machine(torch.device("cpu"))
    rows = [row for processes in PROCESSES for row in counted_by(processes)]
    write(ScalingRecord(machine=machine, rows=tuple(rows)), path)
    is_as_modelled = True
    for row in rows:
        model = modelled(row.strategy, row.mesh)
        if row.payload_bytes != model:
            is_as_modelled = False
            print(f"{row.strategy} {row.mesh}: counted {row.payload_bytes}, modelled {model}")
    return 0 if is_as_modelled else 1


if __name__ == "__main__":
    sys.exit(main())
