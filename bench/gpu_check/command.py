"""The command: runs the parts that are left, or shows the last record."""

from __future__ import annotations

import argparse
import math
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import torch

from per_step_dense import _ops

from ..machine import describe_machine
from ..record import RecordError, write
from .part import Part
from .program import ROOT, Runner, run_program
from .record import GpuCheckRecord, Outcome, last_record, path_of
from .run import Checks, Clock, Deadline
from .sanitizer import SANITIZERS
from .show import section, with_section
from .state import State, digest_of_sources, open_state
from .suite import BIG_TENSORS, FUZZING_ON_CUDA, SUITE
from .sweep import SweepPart

PARTS: Final[tuple[Part, ...]] = (
    SUITE,
    SweepPart("determinism"),
    SweepPart("batch_invariance"),
    SweepPart("soak"),
    FUZZING_ON_CUDA,
    BIG_TENSORS,
    *SANITIZERS,
)
"""In the order in which they are worth having."""

PASSED, FAILED, UNUSABLE, UNFINISHED, INTERRUPTED = 0, 1, 2, 3, 130

DESCRIPTION: Final = """\
Asks a GPU what no other machine can answer. A run that is cut, by --time-limit or by anything else,
goes on where it was when the same command is given again, on the same GPU with the same code, torch
and CUDA. The record goes to bench/results/gpu_check.

parts:
"""
EPILOG: Final = """\
exit status: 0 nothing failed; 1 something did; 2 there is no GPU, or no kernels for one;
3 parts are left, run it again; 130 interrupted, likewise.
"""


def main(
    argv: Sequence[str] | None = None,
    *,
    parts: Sequence[Part] = PARTS,
    runner: Runner = run_program,
    clock: Clock = time.monotonic,
) -> int:
    """Returns the process's exit status."""
    options = _parser(parts).parse_args(argv)
    try:
        if options.show is not None or options.update or options.check:
            return _show(_shown(options), options.update, options.check)
        return _run(options, parts, runner, clock)
    except RecordError as error:
        print(f"gpu_check: {error}", file=sys.stderr)
        return UNUSABLE


def _parser(parts: Sequence[Part]) -> argparse.ArgumentParser:
    listed = "\n".join(f"  {part.name:17} {part.question}" for part in parts)
    parser = argparse.ArgumentParser(
        prog="tools/gpu_check",
        description=DESCRIPTION + listed,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [part.name for part in parts]
    parser.add_argument("--only", nargs="+", metavar="PART", choices=names, default=[])
    parser.add_argument(
        "--fresh", action="store_true", help="start over: all parts, or those of --only"
    )
    parser.add_argument(
        "--time-limit", type=float, default=math.inf, metavar="SECONDS", help="of this run"
    )
    parser.add_argument(
        "--state", type=Path, default=ROOT / "build" / "gpu_check", metavar="DIR", help="kept there"
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=ROOT / "bench" / "results" / "gpu_check",
        metavar="DIR",
        help="the folder of records",
    )
    parser.add_argument("--show", action="store_true", default=None, help="print the last record")
    document = parser.add_mutually_exclusive_group()
    document.add_argument(
        "--update", type=Path, metavar="DOCUMENT", help="put the last record into it"
    )
    document.add_argument(
        "--check", type=Path, metavar="DOCUMENT", help="1 where it has not the last record"
    )
    return parser


def _shown(options: argparse.Namespace) -> GpuCheckRecord | None:
    return last_record(options.results)


def _show(record: GpuCheckRecord | None, update: Path | None, check: Path | None) -> int:
    document = update or check
    if document is None:
        print(section(record))
        return PASSED
    before = document.read_text()
    after = with_section(before, record)
    if update:
        document.write_text(after)
    elif after != before:
        print(
            f"{document} is out of date: tools/gpu_check --show --update {document}",
            file=sys.stderr,
        )
        return FAILED
    return PASSED


def _run(options: argparse.Namespace, parts: Sequence[Part], runner: Runner, clock: Clock) -> int:
    why_not = _why_not()
    if why_not is not None:
        print(f"gpu_check: {why_not}; nothing was run", file=sys.stderr)
        return UNUSABLE
    checks = Checks(
        parts=parts,
        state=_state(options),
        runner=runner,
        deadline=Deadline(clock, clock() + options.time_limit),
        say=partial(print, flush=True),
        keep=partial(_keep, options.results),
    )
    names = options.only or [part.name for part in parts]
    try:
        with _interrupted_by_termination():
            checks.run(names)
    except KeyboardInterrupt:
        print("gpu_check: interrupted; the same command goes on from here", file=sys.stderr)
        return INTERRUPTED
    finally:
        print(f"record: {_keep(options.results, checks.record())}")
    return _status(checks.record(), names)


@contextmanager
def _interrupted_by_termination() -> Iterator[None]:
    """So that what a part runs is ended with us, and does not go on alone."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _why_not() -> str | None:
    if not torch.cuda.is_available():
        return "torch sees no GPU"
    if not _ops.has_cuda_kernels:
        return "this build has no CUDA kernels; see `python -m per_step_dense info`"
    return None


def _state(options: argparse.Namespace) -> State:
    machine = describe_machine(torch.device("cuda", torch.cuda.current_device()))
    is_fresh = options.fresh and not options.only
    state = open_state(options.state, machine, digest_of_sources(), is_fresh=is_fresh)
    if options.fresh:
        for name in options.only:
            state.start_over(name)
    return state


def _keep(folder: Path, record: GpuCheckRecord) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = path_of(record, folder)
    write(record, path)
    return path


def _status(record: GpuCheckRecord, names: Sequence[str]) -> int:
    asked = [result for result in record.parts if result.part in names]
    left = [result.part for result in asked if not result.is_over]
    if left:
        print(f"left: {', '.join(left)}; the same command goes on from here")
    if any(result.outcome is Outcome.FAILED for result in asked):
        return FAILED
    return UNFINISHED if left else PASSED
