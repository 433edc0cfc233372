"""Fuzzes the C++ entry points with malformed arguments; ends with 1 where one did what it must not.

    python tests/fuzz_ops.py --runs 20000 --seed 0
    python tests/fuzz_ops.py --seed 0 --first 1234 --runs 1      # one call again, printed
    tools/sanitized.sh python tests/fuzz_ops.py --runs 20000     # under the sanitizers

Every call has to give results of the right shapes, or raise an error of Python's: no crash, no
report of a sanitizer, no hang, no memory beyond a limit.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LIMIT_MB = 500  # beyond what a process holds at its start
PATIENCE = 60.0  # seconds that one call may compute

# Threads that wait for one another must not keep cores busy; OpenMP reads it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# Where torch has longer vectors, this package leaves most to it.
os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")


def main() -> int:
    """Makes the calls in processes of their own, or is one of those."""
    options = parsed()
    if options.results:
        return make_calls(options)
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(options.processes) as pool:
        shares = shared(options.first, options.runs, options.processes)
        results = [Path(folder) / str(n) for n in range(len(shares))]
        statuses = list(pool.map(lambda *share: supervise(options, *share), shares, results))
        if any(not result.exists() for result in results):
            return next(status for status in statuses if status)
        report(options, [result.read_text() for result in results])
    return max(statuses)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--runs", type=int, default=20_000, help="how many calls")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the index of the first call")
    parser.add_argument("--processes", type=int, default=1, help="that share the calls")
    parser.add_argument("--log", type=Path, help="a file for the summary as well")
    parser.add_argument("--results", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--progress", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


def shared(first: int, runs: int, processes: int) -> list[range]:
    """Indices, in neighbourhoods of about one size."""
    ends = [first + runs * n // processes for n in range(processes + 1)]
    return [range(begin, end) for begin, end in itertools.pairwise(ends)]


def supervise(options: argparse.Namespace, share: range, results: Path) -> int:
    """Has a process make these calls."""
    from fuzzing.supervise import supervised

    def describe(index: int) -> str:
        from fuzzing.loop import call_of

        return f"call {index} of seed {options.seed}\n{call_of(options.seed, index)!r}"

    what = ("--seed", options.seed, "--first", share.start, "--runs", len(share))
    command = [sys.executable, __file__, *map(str, what), "--results", str(results)]
    return supervised(lambda path: [*command, "--progress", str(path)], PATIENCE, describe)


def make_calls(options: argparse.Namespace) -> int:
    """All of them, in this process."""
    from fuzzing.loop import call_of, fuzz
    from fuzzing.supervise import FINISHED, Progress

    limit_memory()
    if options.runs == 1:
        print(call_of(options.seed, options.first), flush=True)
    progress = Progress(options.progress)
    indices = range(options.first, options.first + options.runs)
    summary = fuzz(options.seed, indices, progress.at)
    options.results.write_text(summary.as_json())
    progress.at(FINISHED)
    return 1 if summary.wrong else 0


def report(options: argparse.Namespace, results: list[str]) -> None:
    """Prints what the processes found."""
    import torch
    from fuzzing.summary import Summary

    summary = Summary()
    for text in results:
        summary.join(Summary.from_json(text))
    build = "under the sanitizers" if is_sanitized() else "the ordinary build"
    text = (
        f"{options.runs:,} calls from {options.first}, seed {options.seed}, {options.processes} "
        f"processes, {build}, torch {torch.__version__}: {summary.as_text()}\n"
    )
    print(text, flush=True)
    if options.log:
        options.log.write_text(text)


def limit_memory() -> None:
    """So that nothing large can be allocated.

    AddressSanitizer, which holds terabytes of addresses, does it itself.
    """
    import torch

    torch.ones(1 << 16).add(1)  # torch's threads have their stacks
    if not is_sanitized():
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + LIMIT_MB * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        torch.empty(2 * LIMIT_MB * 2**20, dtype=torch.int8)
    except RuntimeError:
        return
    raise SystemExit(
        "memory is not limited: with the sanitizers, ASAN_OPTIONS needs "
        "allocator_may_return_null=1:max_allocation_size_mb=500, as tools/sanitized.sh has it"
    )


def is_sanitized() -> bool:
    """Whether AddressSanitizer is in this process."""
    return "libasan" in Path("/proc/self/maps").read_text()


if __name__ == "__main__":
    sys.exit(main())
