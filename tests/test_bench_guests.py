"""Are rivals in processes of their own checked and timed as others are, and always ended?"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from bench.cases import Case
from bench.gate import Gate, WrongError
from bench.guests.process import GuestError
from bench.record import Clock, Layout, Pass
from bench.rivals.base import ACTIVATIONS
from bench.rivals.guests import (
    PYTHON_VARIABLE,
    EinsumDense,
    GuestContestant,
    GuestRival,
    JaxEinsum,
    LocallyConnected1D,
)
from bench.timing import Budget, NoTimingError, take_turns
from bench.workload import Workload

pytestmark = pytest.mark.slow  # guests hang, and are waited for

ROOT = Path(__file__).resolve().parents[1]
BUDGET = Budget(seconds=0.01, turn_seconds=0.001, most_turns=3)
FRAMEWORKS = (LocallyConnected1D, EinsumDense, JaxEinsum)


class NumpyGuest(GuestRival):
    name = "numpy"
    summary = "numpy.einsum"
    module = "numpy_guest"
    needs = ("numpy",)
    install = "pip install numpy"
    packages = "numpy"
    seconds = 60.0


Enter = Callable[..., GuestContestant]


@pytest.fixture
def enter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Enter]:
    """The numpy guest of a mode, in this interpreter; whatever it leaves behind is an error."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    entered: list[GuestContestant] = []
    had = children()

    def begin(mode: str = "", seconds: float = 60.0, **changes: object) -> GuestContestant:
        monkeypatch.setenv("NUMPY_GUEST", mode)
        rival = NumpyGuest(sys.executable)
        rival.seconds = seconds
        work = workload(**changes)
        entered.append(rival.enter(work, [work.inputs()], {}))
        return entered[-1]

    yield begin
    for contestant in entered:
        contestant.close()
    assert children() <= had
    assert list(tmp_path.iterdir()) == []


def children() -> set[str]:
    """Processes that this one has started and not waited for: running ones and zombies."""
    lists = Path(f"/proc/{os.getpid()}/task").glob("*/children")
    return {process for children in lists for process in children.read_text().split()}


def workload(
    computed: Pass = Pass.BOTH,
    has_bias: bool = True,
    activation: str | None = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Workload:
    case = Case("ragged", 9, 5, 7, 3, dtype, "a test")
    return Workload(case, torch.device(device), computed, has_bias, activation)


def wrapper(path: Path, script: str) -> str:
    """A program, by the path to it."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def error_of(contestant: GuestContestant, work: Workload) -> float:
    """As a part of what is allowed."""
    return Gate(work, work.inputs()).check(contestant.results())


@pytest.mark.parametrize("activation", [None, "relu"])
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("computed", Pass)
def test_results_come_back_as_they_were(
    enter: Enter, computed: Pass, has_bias: bool, activation: str | None
) -> None:
    asked = {"computed": computed, "has_bias": has_bias, "activation": activation}
    assert error_of(enter(**asked), workload(**asked)) < 0.1


def test_inputs_need_not_be_contiguous(enter: Enter, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Workload.inputs

    def transposed(self: Workload, seed: int = 0) -> object:
        inputs = whole(self, seed)
        weight = inputs.weight.transpose(1, 2).contiguous().transpose(1, 2)
        return type(inputs)(inputs.x, weight, inputs.bias, inputs.dy)

    monkeypatch.setattr(Workload, "inputs", transposed)
    assert error_of(enter(), workload()) < 0.1


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("is wrong", "dbias is off by"),
        ("has one result less", "results are y, dx, dweight; expected y, dx, dweight, dbias"),
        ("transposes", r"y is of shape \(5, 9, 3\); expected \(9, 5, 3\)"),
    ],
)
def test_the_gate_stops_a_wrong_guest(enter: Enter, mode: str, message: str) -> None:
    with pytest.raises(WrongError, match=message):
        error_of(enter(mode), workload())


def test_a_turn_is_timed_where_it_is_made(enter: Enter) -> None:
    guest = enter("sleeps")  # for 2 ms a call
    assert 2000 <= guest.turn(Clock.WALL, Layout.CONTIGUOUS, 20) < 20_000
    # Nothing of what a turn takes beside the calls counts: 10 ms go by before it alone.
    assert 2000 <= min(guest.turn(Clock.WALL, Layout.AS_LEFT, 1) for _ in range(5)) < 10_000


def test_guests_take_turns_with_rivals_of_torch(enter: Enter) -> None:
    guest = enter("sleeps")

    def turn(calls: int) -> float:
        return guest.turn(Clock.WALL, Layout.CONTIGUOUS, calls)

    timings = take_turns({"guest": turn, "torch": lambda calls: 1.0}, BUDGET)
    assert timings["guest"].median_us >= 2000 > timings["torch"].median_us


@pytest.mark.parametrize("clock", [clock for clock in Clock if clock is not Clock.WALL])
def test_other_clocks_have_no_timing(enter: Enter, clock: Clock) -> None:
    with pytest.raises(NoTimingError, match="times itself by the wall clock only"):
        enter().turn(clock, Layout.CONTIGUOUS, 1)


def test_what_no_one_can_see_is_not_given(enter: Enter) -> None:
    guest = enter()
    assert guest.memory() is None
    assert guest.is_contiguous


@pytest.mark.parametrize("threads", [1, 2])
def test_a_guest_is_told_the_threads_of_torch(
    enter: Enter, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    guest = enter("tells its threads")
    assert guest.results().y.unique().tolist() == [threads]


@pytest.mark.parametrize(
    "mode", ["exhausts memory", "exhausts memory as XLA", "exhausts memory as TensorFlow"]
)
def test_out_of_memory_is_told_from_other_errors(enter: Enter, mode: str) -> None:
    with pytest.raises(MemoryError, match=r"8 TiB|8796093022208 bytes|OOM when allocating"):
        enter(mode)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("fails", "TypeError: no such activation: 'gelü'"),
        ("is not importable", "ImportError: libframework.so.7 is missing"),
        ("ends at once", "(?s)the guest ended with status 9; its last words:.*out of luck"),
    ],
)
def test_an_error_has_its_type_and_text(enter: Enter, mode: str, message: str) -> None:
    with pytest.raises(GuestError, match=message):
        enter(mode)


def test_a_guest_may_end_midway(enter: Enter) -> None:
    guest = enter("ends midway")
    with pytest.raises(GuestError, match=r"(?s)ended with status 9; its last words:.*out of luck"):
        guest.turn(Clock.WALL, Layout.CONTIGUOUS, 10)
    with pytest.raises(GuestError, match="the guest was ended before"):
        guest.turn(Clock.WALL, Layout.CONTIGUOUS, 10)


def test_a_guest_that_hangs_is_ended(enter: Enter) -> None:
    start = time.monotonic()
    with pytest.raises(
        TimeoutError, match=r"(?s)did not answer 'prepare' in 15 s and was ended.*about to wait"
    ):
        enter("hangs", seconds=15.0)
    assert time.monotonic() - start < 120


def test_a_turn_that_hangs_leaves_the_others_theirs(enter: Enter) -> None:
    guest = enter("hangs at a turn", seconds=15.0)

    def turn(calls: int) -> float:
        return guest.turn(Clock.WALL, Layout.CONTIGUOUS, calls)

    timings = take_turns({"guest": turn, "torch": lambda calls: 1.0}, BUDGET)
    assert isinstance(timings["guest"], TimeoutError)
    assert timings["torch"].median_us == 1.0
    with pytest.raises(GuestError, match="the guest was ended before"):
        turn(1)


def test_what_is_no_guest_is_an_error(tmp_path: Path) -> None:
    python = wrapper(tmp_path / "python", "read question; echo hello")
    work = workload()
    with pytest.raises(GuestError, match="no answer of a guest: b'hello'"):
        NumpyGuest(python).enter(work, [work.inputs()], {})


def test_a_guest_ends_with_its_host() -> None:
    guest = [sys.executable, "-m", "bench.guests", "numpy_guest"]
    assert subprocess.run(guest, cwd=ROOT, stdin=subprocess.DEVNULL, timeout=60).returncode == 0


def test_guests_import_neither_torch_nor_this_package() -> None:
    script = """
import sys
import bench.guests.server, bench.guests.process, bench.guests.protocol, bench.guests.__main__
print([name for name in ("torch", "per_step_dense", "pydantic") if name in sys.modules])
"""
    printed = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout == "[]\n"


@pytest.mark.parametrize("rival", FRAMEWORKS)
def test_what_is_missing_is_said_with_the_line_that_installs_it(
    rival: type[GuestRival], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.rivals.base.find_spec", lambda module: None)
    needs = " and ".join(rival.needs)
    extra = "bench-jax" if rival is JaxEinsum else "bench-keras"
    said = rival(sys.executable).why_not_installed()
    assert said == (
        f"needs {needs}: pip install '.[{extra}]', "
        "or name a Python that has them in PER_STEP_DENSE_GUEST_PYTHON"
    )


def test_another_interpreter_is_asked_what_it_has(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Odd(NumpyGuest):
        needs = ("json", "no_such_module")
        packages = "no-such-package"

    python = wrapper(tmp_path / "python", f'exec {sys.executable} "$@"')
    monkeypatch.setenv(PYTHON_VARIABLE, os.path.relpath(python))
    assert NumpyGuest().python == python
    assert NumpyGuest().why_not_installed() is None
    assert Odd().why_not_installed() == (
        f"needs no_such_module in {python}: {python} -m pip install no-such-package"
    )


def test_an_interpreter_that_does_not_run_is_named() -> None:
    said = NumpyGuest("/no/such/python").why_not_installed()
    assert said is not None
    assert said.startswith("/no/such/python does not run as the guests' Python: ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({}, None),
        ({"device": "cuda"}, "on CPUs only"),
        ({"dtype": torch.bfloat16}, "in float32 only"),
        ({"dtype": torch.float64}, "in float32 only"),
    ],
)
def test_what_a_guest_is_not_measured_for_has_a_reason(
    changes: dict[str, object], reason: str | None
) -> None:
    said = NumpyGuest().why_not(workload(**changes))
    assert said is None if reason is None else reason in said


@pytest.fixture(params=FRAMEWORKS, ids=lambda rival: rival.name)
def framework(request: pytest.FixtureRequest) -> GuestRival:
    rival = request.param()
    missing = rival.why_not_installed()
    if missing is not None:
        pytest.skip(missing)
    return rival


@pytest.mark.parametrize("computed", Pass)
def test_frameworks_compute_the_layer(framework: GuestRival, computed: Pass) -> None:
    work = workload(computed, activation="gelu")
    had = children()
    contestant = framework.enter(work, [work.inputs()], {})
    try:
        assert error_of(contestant, work) < 0.5
        assert contestant.turn(Clock.WALL, Layout.CONTIGUOUS, 3) > 0
    finally:
        contestant.close()
    assert children() <= had


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_frameworks_have_the_activations_of_torch(framework: GuestRival, activation: str) -> None:
    work = workload(has_bias=False, activation=activation)
    contestant = framework.enter(work, [work.inputs()], {})
    try:
        assert error_of(contestant, work) < 0.5
    finally:
        contestant.close()


def test_frameworks_keep_to_the_threads_of_torch_and_finish_what_is_timed(
    framework: GuestRival, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    case = Case("large", 64, 64, 128, 128, torch.float32, "a test")
    work = Workload(case, torch.device("cpu"), Pass.BOTH, True, None)
    had = children()
    contestant = framework.enter(work, [work.inputs()], {})
    try:
        (process,) = children() - had
        before = cpu_seconds(process)
        wall = 20 * contestant.turn(Clock.WALL, Layout.CONTIGUOUS, 20) / 1e6
        assert cpu_seconds(process) - before <= 1.1 * wall + TICKS
        after = cpu_seconds(process)
        time.sleep(0.1)
        assert cpu_seconds(process) - after <= TICKS, "a call returned before its work was done"
    finally:
        contestant.close()


TICKS = 2 / os.sysconf("SC_CLK_TCK")


def cpu_seconds(process: str) -> float:
    """In user and in system mode, of all threads."""
    fields = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
