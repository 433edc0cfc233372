"""A plugin of pytest that keeps a part's journal: tests that it has are left out.

``python -m pytest -p bench.gpu_check.keeper --journal FILE --journal-seconds 600 ...``
"""

from __future__ import annotations

import math
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import pytest

from .journal import Journal, Unit

PATIENCE: Final = 1.05  # with a test that runs when the time is over: so much of it
MOST_PATIENCE: Final = 15.0  # or so many seconds


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options."""
    group = parser.getgroup("gpu_check")
    group.addoption("--journal", type=Path, metavar="FILE", help="of the tests that are done")
    group.addoption(
        "--journal-seconds", type=float, default=math.inf, help="stop between tests after so long"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Keeps the journal, where one is named."""
    path = config.getoption("--journal")
    if path is not None:
        seconds = config.getoption("--journal-seconds")
        keeper = Keeper(Journal(path), time.monotonic() + seconds)
        config.pluginmanager.register(keeper)
        if not math.isinf(seconds):
            signal.signal(signal.SIGALRM, keeper.interrupt)
            signal.setitimer(signal.ITIMER_REAL, min(seconds * PATIENCE, seconds + MOST_PATIENCE))


class Keeper:
    """Of one run's journal."""

    def __init__(self, journal: Journal, end: float) -> None:
        self._journal = journal
        self._end = end
        self._session: pytest.Session | None = None
        self._reports: list[pytest.TestReport] = []

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        self._session = session

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        done = self._journal.read().units
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in done])
        items[:] = [item for item in items if item.nodeid not in done]

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._journal.start(nodeid)
        self._reports = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._reports.append(report)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        unit = unit_of(nodeid, self._reports)
        self._journal.end(unit)
        if unit.outcome == "failed" and _context_is_broken():
            self._stop("the GPU no longer answers this process")
        elif time.monotonic() >= self._end:
            self._journal.stop()
            self._stop("the time is over")

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        codes = pytest.ExitCode
        if exitstatus in (codes.OK, codes.TESTS_FAILED, codes.NO_TESTS_COLLECTED):
            self._journal.complete()

    def interrupt(self, *_: object) -> None:
        """Ends a test that is still running: what watches the process has a last word to say."""
        self._journal.stop()
        raise KeyboardInterrupt

    def _stop(self, why: str) -> None:
        assert self._session is not None
        self._session.shouldstop = why


def unit_of(name: str, reports: Sequence[pytest.TestReport]) -> Unit:
    """Of a test's setup, call and teardown."""
    failed = [report for report in reports if report.failed]
    skipped = [report for report in reports if report.skipped and not hasattr(report, "wasxfail")]
    outcome: Literal["passed", "failed", "skipped"] = "passed"
    text = None
    if failed:
        outcome, text = "failed", failed[0].longreprtext
    elif skipped:
        outcome, text = "skipped", _why_skipped(skipped[0])
    seconds = sum(report.duration for report in reports)
    return Unit(name=name, outcome=outcome, seconds=round(seconds, 3), text=text)


def _why_skipped(report: pytest.TestReport) -> str:
    where = report.longrepr
    return where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)


def _context_is_broken() -> bool:
    if "torch" not in sys.modules:  # which the tests load themselves, after settings of theirs
        return False
    from .context import is_broken

    return is_broken()
