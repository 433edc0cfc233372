"""The command: measures, or shows a record."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from ..cases import GPU_CASES
from ..generated import begin_marker, replace_between
from ..machine import describe_machine
from ..record import Pass, read_as, write
from ..timing import ColdStopwatch
from ..workload import Workload
from .measure import ACTIVATION, measure
from .record import TilesRecord
from .table import format_line, format_table, wrong

DESCRIPTION = """\
For each of the 24 layers, forward (bias, gelu) and backward (all three gradients), forces every
tile of every family that takes it, compares it with float64 and times it cold; beside them what the
chooser takes, and torch's bare products into buffers that lie ready. Needs a GPU.
"""

BEGIN = begin_marker("python -m bench.tiles --show")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a line a layer and pass; 1 where a kernel was wrong or failed."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.tiles",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--cases", nargs="+", metavar="NAME", choices=[c.name for c in GPU_CASES])
    parser.add_argument("--json", type=Path, metavar="FILE", help="the record, after each row")
    parser.add_argument("--show", type=Path, metavar="FILE", help="of a record, print the table")
    parser.add_argument(
        "--update", type=Path, metavar="DOCUMENT", help="with --show, put the table into it"
    )
    options = parser.parse_args(argv)
    if options.show:
        return show(read_as(TilesRecord, options.show), options.update)
    if not torch.cuda.is_available():
        parser.error("torch sees no GPU")
    return run(options.cases, options.json)


def show(record: TilesRecord, document: Path | None) -> int:
    """Of a record."""
    if document is None:
        print(format_table(record))
    else:
        document.write_text(with_table(document.read_text(), record))
    return 0


def with_table(text: str, record: TilesRecord) -> str:
    """The text with the record's table between its markers."""
    return replace_between(text, BEGIN, format_table(record))


def run(names: Sequence[str] | None, path: Path | None) -> int:
    """Of the current GPU."""
    device = torch.device("cuda", torch.cuda.current_device())
    stopwatch = ColdStopwatch(device)
    record = TilesRecord(machine=describe_machine(device))
    for case in GPU_CASES:
        if names is not None and case.name not in names:
            continue
        for computed in (Pass.FORWARD, Pass.BACKWARD):
            row = measure(Workload(case, device, computed, True, ACTIVATION), stopwatch)
            print(format_line(row), flush=True)
            record = record.model_copy(update={"rows": (*record.rows, row)})
            if path:
                write(record, path)
            torch.cuda.empty_cache()
    return int(any(wrong(row) for row in record.rows))


if __name__ == "__main__":
    sys.exit(main())
