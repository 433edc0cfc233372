"""Runs tests on a changed file, in a fork of a process that has imported them all.

The fork is given the functions' changed code. What a file does when it is imported cannot be
changed afterwards: of such a mutant the tests are imported anew, in a fork of a process that has
imported nothing but torch. Either way the changed file lies on the disk, for processes that tests
start.
"""

from __future__ import annotations

import compileall
import gc
import importlib.util
import os
import py_compile
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

# Threads do not survive a fork, and those of OpenMP are waited for.
os.environ |= {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "KERAS_BACKEND": "torch"}
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import pytest
import torch._dynamo
import torch.distributed.tensor.parallel
import torch.nn.utils.parametrize
import torch.utils.flop_counter  # noqa: F401

_OPTIONS = ("-q", "-x", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov")


class Trials:
    """Of mutants of one copy of the checkout."""

    def __init__(self, tree: Path, tests: list[str]) -> None:
        self._tree = tree
        # By what is written there, not by when, Python finds it stale: mutants are quick to follow.
        compileall.compile_dir(
            tree / "per_step_dense",
            quiet=1,
            force=True,
            invalidation_mode=py_compile.PycInvalidationMode.CHECKED_HASH,
        )
        _load_the_compiled_module(tree)
        self._ours, theirs = Pipe()
        self._server = _forked(lambda: _serve(tree, tests, theirs))
        theirs.close()
        self.seconds: dict[str, float] = self._answer()
        """Of the tests that pass on the files as they are."""

    def outcome_of(self, file: Path, source: str, tests: list[str], limit_s: float) -> str:
        """``"survived"`` if all tests pass, else ``"killed"``, or ``"timed out"``."""
        original = file.read_text()
        file.write_text(source)
        try:
            if _changed_functions(original, source, file) is None:
                child = _forked(lambda: _run_anew(self._tree, tests))
                status = _status_of(child, limit_s)
            else:
                self._ours.send((file, original, source, tests, limit_s))
                status = self._answer()
        finally:
            file.write_text(original)
        if status is None:
            return "timed out"
        return "survived" if status == 0 else "killed"

    def _answer(self) -> Any:
        try:
            return self._ours.recv()
        except EOFError:
            raise RuntimeError(f"pytest has ended: {self._tree / 'last.log'} says why") from None


def _serve(tree: Path, tests: list[str], connection: Connection) -> int:
    _enter(tree)
    return int(pytest.main([*_OPTIONS, *tests], [_Server(connection)]))


class _Server:
    """Instead of running the tests that were collected, runs some of them for each mutant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outcomes: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and report.passed:
            self._outcomes[report.nodeid] = report.duration

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        ours, theirs = Pipe()

        def run_all() -> int:
            session.config.option.maxfail = 0
            _run_items(session, list(items.values()))
            theirs.send(self._outcomes)
            return 0

        _forked(run_all)
        theirs.close()
        self._connection.send(ours.recv())
        functions = _functions_of(session.config.rootpath / "per_step_dense")
        while True:
            try:
                file, original, source, tests, limit_s = self._connection.recv()
            except EOFError:
                return True
            changed = _changed_functions(original, source, file) or []
            chosen = [items[test] for test in tests]
            run = partial(_run_changed, session, changed, functions, chosen)
            self._connection.send(_status_of(_forked(run), limit_s))


def _run_changed(
    session: pytest.Session,
    changed: list[tuple[CodeType, CodeType]],
    functions: dict[tuple[str, int], list[FunctionType]],
    items: list[pytest.Item],
) -> int:
    for before, after in changed:
        for function in functions.get(_key(before), ()):
            function.__code__ = after
    _run_items(session, items)
    return int(session.testsfailed > 0)


def _run_items(session: pytest.Session, items: list[pytest.Item]) -> None:
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail or session.shouldstop:
            return


def _run_anew(tree: Path, tests: list[str]) -> int:
    _enter(tree)
    return int(pytest.main([*_OPTIONS, *tests]))


def _changed_functions(
    original: str, source: str, file: Path
) -> list[tuple[CodeType, CodeType]] | None:
    """What is to be put in the place of what; None where what an import does is changed."""
    before, after = (compile(each, str(file), "exec") for each in (original, source))
    return _pairs(before, after)


def _pairs(before: CodeType, after: CodeType) -> list[tuple[CodeType, CodeType]] | None:
    """Of a module's or a class's functions, those that differ."""
    if before.co_code != after.co_code or before.co_names != after.co_names:
        return None
    if len(before.co_consts) != len(after.co_consts):
        return None
    pairs: list[tuple[CodeType, CodeType]] = []
    for one, other in zip(before.co_consts, after.co_consts, strict=True):
        if not isinstance(one, CodeType) or not isinstance(other, CodeType):
            if one != other or type(one) is not type(other):
                return None
        elif one.co_flags & _IS_FUNCTION:
            if one.co_freevars != other.co_freevars:
                return None
            if _body(one) != _body(other):
                pairs.append((one, other))
        else:
            inner = _pairs(one, other)
            if inner is None:
                return None
            pairs += inner
    return pairs


_IS_FUNCTION = 0x02  # CO_NEWLOCALS, which classes and modules do not have


def _body(code: CodeType) -> tuple[object, ...]:
    """All of it but its lines."""
    consts = [_body(each) if isinstance(each, CodeType) else repr(each) for each in code.co_consts]
    handlers = getattr(code, "co_exceptiontable", b"")  # from Python 3.11 on
    return code.co_code, consts, code.co_names, code.co_varnames, handlers


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_filename, code.co_firstlineno


def _functions_of(folder: Path) -> dict[tuple[str, int], list[FunctionType]]:
    """All that exist now, by their file and line."""
    found: dict[tuple[str, int], list[FunctionType]] = {}
    gc.unfreeze()  # or what a conftest has frozen is not among them
    for each in gc.get_objects():
        if type(each) is FunctionType and each.__code__.co_filename.startswith(str(folder)):
            found.setdefault(_key(each.__code__), []).append(each)
    return found


def _load_the_compiled_module(tree: Path) -> None:
    """Once for all forks, which find it where their package looks for it."""
    name = "per_step_dense._C"
    for file in tree.glob("per_step_dense/_C*.so"):
        spec = importlib.util.spec_from_file_location(name, file)
        assert spec is not None and spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])


def _enter(tree: Path) -> None:
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    log = os.open(tree / "last.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)


def _forked(run: Callable[[], int]) -> int:
    """The process that runs this and ends with that status."""
    sys.stdout.flush()
    child = os.fork()
    if child:
        return child
    status = 70
    try:
        os.setsid()
        status = run()
    finally:
        os._exit(status)


def _status_of(child: int, limit_s: float) -> int | None:
    """None if the time was over."""
    until = time.monotonic() + limit_s
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None
