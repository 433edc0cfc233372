"""python -m tools.mutants: changes the package, one place at a time, and sees which tests notice.

    python -m tools.mutants per_step_dense/_checks.py per_step_dense/functional.py

Each mutant meets the tests that run its line, the shortest first. Which those are, a run of the
tests that need no emulator tells first. What is found is kept in build/mutants, and not run again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from .changes import Mutant, mutants_of
from .tests_of import Known, read
from .trial import Trials

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "mutants"
TREE = FOLDER / "tree"


@dataclass(frozen=True)
class Result:
    """What became of a mutant."""

    name: str
    before: str
    after: str
    outcome: str
    seconds: float


def main() -> int:
    """Runs mutants until none is left, or the time is over; prints counts and survivors."""
    options = _parse()
    results = _results_so_far()
    known = _learned()
    _copy_the_tree()
    plan: list[tuple[Mutant, list[str]]] = []
    for file in options.files:
        source = (ROOT / file).read_text()
        mutants = list(mutants_of(file, source, known.lines_of(file)))
        for mutant in mutants[options.skip :: options.every]:
            before = results.get(mutant.name)
            if before is None or (options.again and before.outcome == "survived"):
                tests = known.tests_of(file, range(mutant.first_line, mutant.last_line + 1))
                plan.append((mutant, _affordable(known.seconds, tests, options.tests_s)))
    trials = Trials(TREE, sorted({test for _, tests in plan for test in tests}))
    print(f"{len(plan)} mutants, {len(trials.seconds)} tests", flush=True)
    until = time.monotonic() + 60 * options.minutes
    for mutant, tests in plan:
        if time.monotonic() > until:
            break
        passing = [test for test in tests if test in trials.seconds]
        result = _tried(trials, mutant, passing, options.limit_s)
        results[mutant.name] = result
        with (FOLDER / "results.jsonl").open("a") as written:
            print(json.dumps(asdict(result)), file=written)
    _report(results)
    return 0


def _learned() -> Known:
    data, report = FOLDER / "coverage", FOLDER / "tests.xml"
    if not report.exists():
        print("which test runs which line: takes as long as the tests do", flush=True)
        measured = ["--cov", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
        noted = ["-o", "junit_family=xunit1", f"--junitxml={report}"]
        without = ["--ignore-glob=tests/test_emula*", "--ignore-glob=tests/test_bench*"]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *measured, *noted, *without],
            cwd=ROOT,
            env={**os.environ, "COVERAGE_FILE": str(data)},
            check=True,
        )
    return read(data, report)


def _tried(trials: Trials, mutant: Mutant, tests: list[str], limit_s: float) -> Result:
    start, outcome = time.monotonic(), "no test"
    if tests:
        outcome = trials.outcome_of(TREE / mutant.file, mutant.source, tests, limit_s)
    seconds = round(time.monotonic() - start, 1)
    print(f"{outcome:9} {seconds:5} s  {mutant.name}  {mutant.after}", flush=True)
    return Result(mutant.name, mutant.before, mutant.after, outcome, seconds)


def _affordable(seconds: dict[str, float], tests: list[str], tests_s: float) -> list[str]:
    """The shortest, as far as they take no longer than that together."""
    chosen: list[str] = []
    for test in tests:
        tests_s -= seconds[test]
        if chosen and tests_s < 0:
            break
        chosen.append(test)
    return chosen


def _copy_the_tree() -> None:
    shutil.rmtree(TREE, ignore_errors=True)
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    compiled = [str(path.relative_to(ROOT)) for path in ROOT.glob("per_step_dense/_C*.so")]
    for name in (*listed.stdout.strip("\0").split("\0"), *compiled):
        if (ROOT / name).is_file():
            (TREE / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, TREE / name)


def _results_so_far() -> dict[str, Result]:
    file = FOLDER / "results.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return {line["name"]: Result(**line) for line in map(json.loads, lines)}


def _report(results: dict[str, Result]) -> None:
    for result in results.values():
        if result.outcome in ("survived", "no test"):
            print(f"{result.name}\n  - {result.before}\n  + {result.after}")
    counts = Counter(result.outcome for result in results.values())
    print(", ".join(f"{count} {outcome}" for outcome, count in counts.most_common()))


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("files", nargs="+", help="such as per_step_dense/_checks.py")
    parser.add_argument("--every", type=int, default=1, help="one in so many mutants")
    parser.add_argument("--skip", type=int, default=0, help="so many at first, for another fifth")
    parser.add_argument("--minutes", type=float, default=1e6, help="the run's")
    parser.add_argument("--limit-s", type=float, default=60, help="a mutant's")
    parser.add_argument("--tests-s", type=float, default=10, help="of tests, the shortest first")
    parser.add_argument("--again", action="store_true", help="run survivors again")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
