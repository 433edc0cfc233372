"""Does tools/mutants change what runs, one place at a time, and say right whether tests notice?"""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest
import scripts

from tools.mutants.changes import Mutant, mutants_of
from tools.mutants.tests_of import Known

SOURCE = '''\
"""What it is for: "nothing"."""

def scaled(x: "int", by: int = 2) -> int:
    """Its docstring."""
    if x > 10:
        check(x)
    return x * by
'''


def of(source: str) -> list[Mutant]:
    return list(mutants_of("package/file.py", source, set(range(1, 20))))


def test_every_mutant_is_one_change_of_what_runs() -> None:
    mutants = of(SOURCE)
    assert {(mutant.first_line, mutant.before, mutant.after) for mutant in mutants} >= {
        (5, "if x > 10:", "if x >= 10:"),
        (5, "if x > 10:", "if x > 11:"),
        (5, "if x > 10:", "if not (x > 10):"),
        (6, "check(x)", "..."),
        (6, "check(x)", "check(None)"),
        (7, "return x * by", "return x / by"),
    }
    for mutant in mutants:
        ast.parse(mutant.source)
        before, after = SOURCE.splitlines(), mutant.source.splitlines()
        changed = [n + 1 for n, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
        assert changed == [mutant.last_line] and mutant.last_line in (3, 5, 6, 7)
        assert "nothing" in mutant.source and "docstring" in mutant.source
        assert '"int"' in mutant.source


def test_names_are_of_one_mutant_each() -> None:
    names = [mutant.name for mutant in of(SOURCE)]
    assert names and len(set(names)) == len(names)
    assert all(name.startswith("package/file.py:") for name in names)


def test_lines_that_no_test_need_run_are_left_alone() -> None:
    assert {m.first_line for m in mutants_of("package/file.py", SOURCE, {7})} == {7}


def test_arguments_do_not_take_one_another_s_place() -> None:
    after = {mutant.after for mutant in of("f(one, two, by=3)\n")}
    assert after == {
        "...",
        "f(None, two, by=3)",
        "f(one, None, by=3)",
        "f(one, two, by=None)",
        "f(one, two, by=4)",
        "f(one, two, )",
    }


class Contexts:
    """As coverage has them of a file: by line, which tests ran it, if it knows."""

    def get_data(self) -> Contexts:
        return self

    def contexts_by_lineno(self, file: str) -> dict[int, list[str]]:
        assert file.endswith("per_step_dense/file.py")
        of_two = ["tests/test_it.py::long|run", "tests/test_it.py::short|run"]
        return {1: [""], 2: of_two, 3: ["tests/test_it.py::long|run", ""]}


def test_which_tests_a_mutant_meets_first() -> None:
    seconds = {
        **{"tests/test_it.py::long": 3.0, "tests/test_it.py::short": 1.0},
        **{"tests/test_it.py::other": 0.1, "tests/test_fallback.py::in_a_process": 9.0},
    }
    known = Known(Contexts(), seconds)
    long, short, _, in_a_process = seconds
    for lines, tests in {
        (2,): [short, long],
        (3,): [long, in_a_process],
        (1,): [in_a_process, short, long],
        (9,): [in_a_process, short, long],
    }.items():
        assert known.tests_of("per_step_dense/file.py", lines) == tests


PACKAGE = """
    LIMIT = 10

    def doubled(x):
        return x + x

    def is_large(x):
        return x > LIMIT

    def waited(n):
        while n > 0:
            n -= 1
        return n

    class Half:
        def of(self, x):
            return x // 2
"""
TESTS = """
    import gc
    import subprocess
    import sys

    import per_step_dense as package
    from per_step_dense import doubled

    gc.freeze()  # as a conftest may when tests are collected

    def test_doubled():
        assert doubled(2) == 4

    def test_is_large():
        assert package.is_large(12) and not package.is_large(9)

    def test_waited():
        assert package.waited(3) == 0

    def test_half():
        assert package.Half().of(8) == 4

    def test_in_another_process():
        script = "import per_step_dense; assert per_step_dense.doubled(3) == 6"
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_that_fails():
        assert False
"""
TRIALS = """
    import os
    from pathlib import Path

    from tools.mutants.trial import Trials

    class File(type(Path())):
        "One whose times tell no two texts apart, as on a fast machine."

        def write_text(self, text):
            super().write_text(text)
            os.utime(self, (0, 0))

    tree = Path({tree!r})
    file = File(tree / "per_step_dense/__init__.py")
    original = file.read_text()
    names = ["doubled", "is_large", "waited", "half", "in_another_process", "that_fails"]
    trials = Trials(tree, [f"test_it.py::test_{{name}}" for name in names])
    assert {{name.removeprefix("test_it.py::test_") for name in trials.seconds}} == set(names[:-1])
    for (old, new, *tests), outcome in {outcomes!r}.items():
        assert original.count(old) == 1, old
        tests = [f"test_it.py::test_{{test}}" for test in tests]
        limit_s = 2 if outcome == "timed out" else 60
        print(trials.outcome_of(file, original.replace(old, new), tests, limit_s), flush=True)
        assert file.read_text() == original
"""
OUTCOMES = {
    ("x + x", "x - x", "doubled"): "killed",
    ("x + x", "x * x", "doubled"): "survived",
    ("x + x", "x * x", "doubled", "in_another_process"): "killed",
    ("x > LIMIT", "x >= LIMIT", "is_large"): "survived",
    ("x > LIMIT", "x < LIMIT", "is_large"): "killed",
    ("x // 2", "x // 4", "half"): "killed",
    ("n -= 1", "n -= 0", "waited"): "timed out",
    ("LIMIT = 10", "LIMIT = 20", "is_large"): "killed",
    ("LIMIT = 10", "LIMIT = 11", "is_large"): "survived",
    ("class Half:", "class Double:", "half"): "killed",
}


@pytest.mark.slow  # torch is imported ten times
def test_outcomes(tmp_path: Path) -> None:
    for name, text in (("per_step_dense/__init__.py", PACKAGE), ("test_it.py", TESTS)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(text))
    printed = scripts.run(TRIALS.format(tree=str(tmp_path), outcomes=OUTCOMES))
    assert dict(zip(OUTCOMES, printed.splitlines(), strict=True)) == OUTCOMES


NOT_THERE = """
    from pathlib import Path

    from tools.mutants.trial import Trials

    try:
        Trials(Path({tree!r}), ["test_it.py::test_that_was"])
    except RuntimeError as error:
        print(error)
"""


@pytest.mark.slow  # torch is imported
def test_tests_that_are_no_longer_there(tmp_path: Path) -> None:
    (tmp_path / "per_step_dense").mkdir()
    (tmp_path / "test_it.py").touch()
    log = tmp_path / "last.log"
    printed = scripts.run(NOT_THERE.format(tree=str(tmp_path)))
    assert printed.strip() == f"pytest has ended: {log} says why"
    assert "test_it.py::test_that_was" in log.read_text()
