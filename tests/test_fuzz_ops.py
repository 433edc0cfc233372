"""Is every malformed call answered by an error? Does the fuzzer notice what it is there for?"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

from fuzzing import attempt, loop, supervise
from fuzzing.calls import ENTRIES, Call, draw_call
from fuzzing.tensors import TensorSpec

COMMAND = Path(__file__).with_name("fuzz_ops.py")
RIGHT = Call(
    "forward",
    {
        "x": TensorSpec((2, 3, 4), (12, 4, 1)),
        "weight": TensorSpec((3, 4, 5), (20, 5, 1)),
        "bias": None,
        "activation": "none",
        "family": "auto",
    },
)


def test_some_hundred_calls(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, str(COMMAND), "--runs", "600", "--seed", "7", "--log", str(log)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for line in log.read_text().splitlines():
        counts = line.split()
        if counts and counts[0] in ENTRIES:
            succeeded, refused = (int(count.replace(",", "")) for count in counts[1:3])
            assert succeeded > 0 and refused > 0, line


def test_a_call_is_the_same_whenever_it_is_drawn() -> None:
    calls = [repr(draw_call(random.Random("3:14"))) for _ in range(2)]
    assert calls[0] == calls[1] == repr(loop.call_of(3, 14))
    assert repr(eval(calls[0].replace("nan", "float('nan')"))) == calls[0]  # noqa: S307 - of this test


def test_right_results_pass() -> None:
    assert attempt.attempt(RIGHT) == attempt.Outcome("succeeded")


@pytest.mark.parametrize("result", [torch.ones(2, 3, 4), None, (torch.ones(2, 3, 5),) * 2])
def test_results_of_other_shapes_are_noticed(
    monkeypatch: pytest.MonkeyPatch, result: object
) -> None:
    monkeypatch.setattr(attempt, "called", lambda call, arguments: result)
    outcome = attempt.attempt(RIGHT)
    assert outcome.verdict == "WRONG"
    assert outcome.message.endswith("in place of [(2, 3, 5)]")


def test_a_call_that_should_have_been_refused_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "called", lambda call, arguments: torch.ones(2, 3, 5))
    wrong = RIGHT._replace(arguments=RIGHT.arguments | {"weight": TensorSpec((4, 3, 5), (0, 0, 0))})
    assert attempt.attempt(wrong).message == "a call that has to be refused was not"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("vector::_M_default_append"),
        RuntimeError("x INTERNAL ASSERT FAILED at"),
        ValueError("INTERNAL ASSERT FAILED"),
        IndexError("out of range"),
    ],
)
def test_an_error_that_should_not_come_is_noticed(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(attempt, "called", fail)
    assert attempt.attempt(RIGHT).verdict == "WRONG"


CRASHES = """
import os, sys, time
from pathlib import Path
from fuzzing.supervise import Progress
Progress(Path(sys.argv[1])).at(5)
"""


@pytest.mark.parametrize(
    ("end", "told"),
    [
        ("os.abort()", r"DIED \(-6\): call 5"),
        ("os._exit(0)", r"DIED \(0\): call 5"),
        ("time.sleep(600)", r"HANGS for \d+ s: call 5"),
        ("while True: pass", r"HANGS for \d+ s: call 5"),
    ],
    ids=["crash", "exit", "deadlock", "loop"],
)
def test_the_call_that_ends_the_process_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], end: str, told: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(COMMAND.parent), *sys.path]))
    status = supervise.supervised(
        lambda path: [sys.executable, "-c", CRASHES + end, str(path)],
        patience=0.5,
        describe=lambda index: f"call {index}",
    )
    assert status != 0
    assert re.fullmatch(told + "\n", capsys.readouterr().out)
