"""One run: what is asked for, measured, written, shown."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console

from .arguments import Arguments, parse
from .ceilings import measure_ceilings
from .machine import describe_machine, differences
from .record import Record, RecordError, read, write
from .report.command import show
from .run import run_jobs


def main(argv: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where a record cannot be gone on with."""
    arguments = parse(argv)
    selection = arguments.selection
    console = Console(stderr=True)
    try:
        record = _begin(arguments, console)
    except RecordError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    record, left = run_jobs(
        record, list(selection.jobs()), arguments.json, arguments.stop_after, console
    )
    show(record, arguments.json, arguments.plots)
    if left:
        print(f"\n{left} rows are left; go on with: python -m bench ... --resume {arguments.json}")
    return 0


def _begin(arguments: Arguments, console: Console) -> Record:
    """The record to go on with, or a new one with the machine's ceilings."""
    selection = arguments.selection
    machine = describe_machine(selection.device)
    if not arguments.resume:
        with console.status("measuring the machine's ceilings"):
            ceilings = measure_ceilings(selection.device, selection.arithmetics())
        record = Record(machine=machine, is_quick=selection.is_quick, ceilings=ceilings)
        write(record, arguments.json)
        return record
    record = read(arguments.json)
    differing = differences(record.machine, machine)
    if record.is_quick != selection.is_quick:
        differing.append(f"--quick: {record.is_quick} and {selection.is_quick}")
    missing = selection.arithmetics() - record.ceilings.tflops.keys()
    if missing:
        differing.append(f"ceilings were not measured for {', '.join(sorted(missing))}")
    if differing:
        raise RecordError(
            f"{arguments.json} was measured on something else than this (the record's, then "
            "today's):\n  " + "\n  ".join(differing)
        )
    return record
