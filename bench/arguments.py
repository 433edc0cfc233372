"""The command line of a run; whatever is unknown is answered with what exists."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from pathlib import Path
from typing import Final, NoReturn, TypeVar

import torch

from per_step_dense._types import Activation

from .cases import (
    CASES,
    QUICK_CASES,
    QUICK_RAGGED_CASES,
    QUICK_WINDOW_CASES,
    WINDOW_CASES,
    Case,
    cases_for,
    ragged_cases_for,
)
from .jobs import ARITHMETICS, SECTIONS, Selection, in_arithmetic
from .record import Pass
from .rivals import OURS, RAGGED_RIVALS, RIVALS, WINDOW_RIVALS, Rival
from .rivals.base import ACTIVATIONS

T = TypeVar("T")

PASSES: Final = {
    "forward": (Pass.FORWARD,),
    "backward": (Pass.BACKWARD,),
    "both": (Pass.BOTH,),
    "all": (Pass.FORWARD, Pass.BACKWARD, Pass.BOTH),
}
MINUTES: Final = 8.5
QUICK_MINUTES: Final = 3.5

DESCRIPTION: Final = """\
Measures this package and its rivals on the same work, in turns: checks every result against
float64, prints a table, writes a JSON record and draws two plots.

    python -m bench report RECORD.json ...   tables and plots again; of two records, what changed
    python -m bench page                     docs/benchmarks.md and README.md from bench/results
"""


class Arguments(argparse.Namespace):
    """Of one run."""

    selection: Selection
    json: Path
    resume: bool
    stop_after: float
    plots: Path


def parse(argv: Sequence[str] | None) -> Arguments:
    """Exits with status 2 and a text that says what exists where something is unknown."""
    parser = _parser()
    options = parser.parse_args(argv)
    device = _device(parser, options.device)
    named = _named(parser, "--cases", options.cases, {case.name: case for case in CASES})
    cases = _in_arithmetics(named or _default_cases(device, options.quick), options.dtype)
    every_rival = (*RIVALS, *WINDOW_RIVALS, *RAGGED_RIVALS)
    existing = {rival.name: rival.name for rival in every_rival}
    rivals = _named(parser, "--rivals", options.rivals, existing)
    if options.json and options.json.exists():
        parser.error(f"--json: {options.json} exists; go on with it by --resume, or name another")
    if options.resume and not options.resume.exists():
        parser.error(f"--resume: there is no {options.resume}")
    if options.resume and options.json:
        parser.error("--resume names the file that is gone on with; leave out --json")
    path = options.resume or options.json or _default_path(device)
    if not path.parent.is_dir():
        parser.error(f"--json: there is no folder {path.parent}")
    selection = Selection(
        device=device,
        cases=tuple(case for case in cases if not (case.has_windows or case.is_ragged)),
        passes=_passes(device, options.computed, options.quick),
        epilogues=_epilogues(options),
        rivals=_chosen(RIVALS, rivals),
        window_cases=tuple(case for case in cases if case.has_windows),
        window_rivals=_chosen(WINDOW_RIVALS, rivals),
        ragged_cases=tuple(case for case in cases if case.is_ragged),
        ragged_rivals=_chosen(RAGGED_RIVALS, rivals),
        sections=tuple(section for section in SECTIONS if section in options.sections),
        is_quick=options.quick,
        row_seconds=options.row_seconds,
    )
    minutes = options.stop_after or (QUICK_MINUTES if options.quick else MINUTES)
    return Arguments(
        selection=selection,
        json=path,
        resume=options.resume is not None,
        stop_after=60 * minutes,
        plots=options.plots or path.parent,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    default = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", default=default, help="cpu, cuda or cuda:N")
    parser.add_argument(
        "--cases",
        nargs="+",
        metavar="NAME",
        help="layers by name; else the 24 of the GPU or the 6 of the CPU, 6 with windows "
        "and 8 of samples that differ in length",
    )
    parser.add_argument(
        "--dtype",
        nargs="+",
        choices=ARITHMETICS,
        help="compute the cases in these, not in their own",
    )
    parser.add_argument(
        "--pass",
        dest="computed",
        choices=PASSES,
        help="backward: its time alone; both: forward and backward as one; default: forward and, "
        "on the CPU, both, on CUDA, backward",
    )
    parser.add_argument(
        "--activation", nargs="+", choices=("none", *ACTIVATIONS), default=["none", "gelu"]
    )
    parser.add_argument(
        "--bias",
        choices=("with", "without", "both"),
        default="both",
        help="both: every activation with a bias, and the product alone",
    )
    parser.add_argument(
        "--rivals",
        nargs="+",
        metavar="NAME",
        help="by name; this package is always one. Left out unless named: "
        + ", ".join(rival.name for rival in RIVALS if rival.only_when_named),
    )
    parser.add_argument(
        "--sections",
        nargs="+",
        choices=SECTIONS,
        default=list(SECTIONS),
        help="rows: the layer; overhead: a call's cost on the CPU; training: steps of real models; "
        "windows: locally connected layers; ragged: samples that differ in length",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="the record to write")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="the record to go on with")
    parser.add_argument("--plots", type=_folder, metavar="DIR", help="default: beside the record")
    parser.add_argument("--quick", action="store_true", help="few cases, few turns: for a look")
    parser.add_argument(
        "--stop-after",
        type=_positive,
        metavar="MINUTES",
        help=f"begin no row after that (default: {MINUTES:g}, with --quick {QUICK_MINUTES:g})",
    )
    parser.add_argument(
        "--row-seconds",
        type=_positive,
        default=60.0,
        metavar="SECONDS",
        help="begin nothing in a row after that (default: %(default)g)",
    )
    return parser


def _named(
    parser: argparse.ArgumentParser,
    option: str,
    names: Sequence[str] | None,
    existing: dict[str, T],
) -> tuple[T, ...]:
    unknown = [name for name in names or () if name not in existing]
    if unknown:
        listed = "\n  ".join(existing)
        parser.error(
            f"{option}: there is no {', '.join(map(repr, unknown))}; there are\n  {listed}"
        )
    return tuple(existing[name] for name in dict.fromkeys(names or ()))


def _device(parser: argparse.ArgumentParser, text: str) -> torch.device:
    def refuse(reason: str) -> NoReturn:
        parser.error(f"--device: {reason}")

    try:
        device = torch.device(text)
    except RuntimeError:
        refuse(f"must be cpu, cuda or cuda:N; got {text!r}")
    if device.type not in ("cpu", "cuda"):
        refuse(f"must be cpu, cuda or cuda:N; got {text!r}")
    if device.type == "cpu":
        return device
    if not torch.cuda.is_available():
        refuse("torch sees no GPU; the CPU is measured by python -m bench --device cpu")
    if (device.index or 0) >= torch.cuda.device_count():
        refuse(f"torch sees {torch.cuda.device_count()} CUDA devices; got {text!r}")
    return torch.device("cuda", device.index or 0)


def _default_cases(device: torch.device, is_quick: bool) -> tuple[Case, ...]:
    if is_quick:
        return (
            *QUICK_CASES[device.type],
            *QUICK_WINDOW_CASES,
            *QUICK_RAGGED_CASES[device.type],
        )
    return (*cases_for(device.type), *WINDOW_CASES, *ragged_cases_for(device.type))


def _in_arithmetics(cases: Iterable[Case], arithmetics: Sequence[str] | None) -> tuple[Case, ...]:
    if arithmetics is None:
        return tuple(cases)
    return tuple(in_arithmetic(case, name) for case in cases for name in arithmetics)


def _passes(device: torch.device, name: str | None, is_quick: bool) -> tuple[Pass, ...]:
    if name is not None:
        return PASSES[name]
    return Pass.FORWARD, Pass.BOTH if device.type == "cpu" else Pass.BACKWARD


def _epilogues(options: argparse.Namespace) -> tuple[tuple[bool, Activation | None], ...]:
    activations = [None if name == "none" else name for name in dict.fromkeys(options.activation)]
    if options.quick and options.bias == "both":
        return ((True, activations[-1]),)
    with_bias = [(True, activation) for activation in activations]
    if options.bias == "with":
        return tuple(with_bias)
    if options.bias == "without":
        return tuple((False, activation) for activation in activations)
    return (*with_bias, (False, None))


def _chosen(rivals: Sequence[Rival], names: Sequence[str]) -> tuple[Rival, ...]:
    """Those named, after ours; else all but those that take too long to prepare."""
    if not names:
        return tuple(rival for rival in rivals if not rival.only_when_named)
    by_name = {rival.name: rival for rival in rivals}
    return tuple(by_name[name] for name in dict.fromkeys((OURS, *names)) if name in by_name)


def _default_path(device: torch.device) -> Path:
    now = datetime.now(timezone.utc)
    return Path(f"bench_{device.type}_{now:%Y%m%d-%H%M%S}.json")


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a number above 0; got {text!r}")
    return value


def _folder(text: str) -> Path:
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(f"must be an existing folder; got {text!r}")
    return path
