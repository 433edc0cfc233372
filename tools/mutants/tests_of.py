"""Which tests run which line, and how long they take: what a run with contexts has left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from coverage import Coverage

# What runs in other processes alone has no test's name beside it.
IN_OTHER_PROCESSES = {
    "per_step_dense/distributed/": (
        "tests/test_parallelize.py",
        "tests/test_sharding_rules.py",
        "tests/test_data_parallel.py",
        "tests/test_distributed_checkpoint.py",
    ),
    "per_step_dense/keras/": ("tests/test_keras_backends.py",),
    "per_step_dense/": ("tests/test_fallback.py",),
}


@dataclass(frozen=True)
class Known:
    """What is known of the tests."""

    coverage: Coverage
    seconds: dict[str, float]
    """Of every test, by its id."""

    def lines_of(self, file: str) -> set[int]:
        """Those that have to be run by some test."""
        _, statements, excluded, _, _ = self.coverage.analysis2(file)
        source = Path(file).read_text().splitlines()
        return set(range(1, len(source) + 1)) - set(excluded) if statements else set()

    def tests_of(self, file: str, lines: Iterable[int]) -> list[str]:
        """Those that run one of the lines, the shortest first, then those that start processes
        which may. Where none is known to, these first, then those that run any of the file's.
        """
        contexts = self.coverage.get_data().contexts_by_lineno(str(Path(file).resolve()))
        names = {name for line in lines for name in contexts.get(line, ())}
        of_lines = self._shortest_first(names)
        if of_lines and "" not in names:
            return of_lines
        homes = next(v for prefix, v in IN_OTHER_PROCESSES.items() if file.startswith(prefix))
        elsewhere = self._shortest_first(test for test in self.seconds if test.startswith(homes))
        of_file = self._shortest_first(name for names in contexts.values() for name in names)
        return list(dict.fromkeys([*of_lines, *elsewhere] if of_lines else [*elsewhere, *of_file]))

    def _shortest_first(self, names: Iterable[str]) -> list[str]:
        """Of those that passed; a name in a coverage file has the test's phase behind it."""
        tests = {name.partition("|")[0] for name in names} & self.seconds.keys()
        return sorted(tests, key=lambda test: (self.seconds[test], test))


def read(data: Path, report: Path) -> Known:
    """Of a coverage file with contexts, and of a report in JUnit's form."""
    coverage = Coverage(data_file=str(data))
    coverage.load()
    seconds: dict[str, float] = {}
    for case in ElementTree.parse(report).iter("testcase"):  # noqa: S314 - pytest wrote it
        if not list(case):  # it passed
            file = case.get("classname", "").replace(".", "/") + ".py"
            seconds[f"{file}::{case.get('name')}"] = float(case.get("time", 0))
    return Known(coverage, seconds)
