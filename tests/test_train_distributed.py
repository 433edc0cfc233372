"""Does the distributed example train, and go on where it was when a process is killed?"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

import per_step_dense

pytestmark = [pytest.mark.slow, pytest.mark.in_turn]  # several processes each, several times

if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
    pytest.skip("needs torch.distributed with gloo", allow_module_level=True)

EXAMPLE = Path(__file__).parents[1] / "examples" / "train_distributed.py"
SMALL = ["--channels=8", "--window=48", "--horizon=12", "--batch=8"]
HANGS = 400  # seconds: four processes on two cores need a minute, or on a slow day two
ITERATIONS, INTERVAL = 1500, 200


@contextmanager
def torchrun(
    folder: Path, processes: int, *arguments: str, max_restarts: int = 0
) -> Iterator[subprocess.Popen[str]]:
    package = Path(per_step_dense.__file__).parents[1]
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    variables = {
        "PYTHONPATH": path,
        "OMP_NUM_THREADS": "1",
        "CUDA_VISIBLE_DEVICES": "",
        # Or else Gloo, started again, finds the addresses of the processes that were killed.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={processes}", f"--max-restarts={max_restarts}"),
        *(str(EXAMPLE), *SMALL, f"--checkpoint-every={INTERVAL}", "--report-every=100"),
        *arguments,
    ]
    process = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()  # torchrun ends its workers, which are no group of its own
        process.communicate(timeout=HANGS)


def finished(folder: Path, processes: int, *arguments: str) -> str:
    with torchrun(folder, processes, *arguments) as process:
        out, err = process.communicate(timeout=HANGS)
        check_that_it_ended(process, out, err)
        return out


def check_that_it_ended(process: subprocess.Popen[str], out: str, err: str) -> None:
    """Through all that it had to do.

    What follows is torch's: Gloo's groups, which a mesh holds on to, now and then abort the process
    while it exits. So does a program that makes a mesh, reduces one tensor and ends.
    """
    assert out.endswith("done; the noise alone has 0.010000\n"), err
    aborted = "terminate called without an active exception" in err
    assert process.returncode == 0 or aborted, err


def losses_of(printed: str) -> dict[int, float]:
    found = re.findall(r"^iteration (\d+): loss (\d\.\d+), [1-9]\d* windows/s$", printed, re.M)
    return {int(iteration): float(loss) for iteration, loss in found}


def workers_of(launcher: int) -> list[int]:
    children = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    return [int(child) for child in children]


def kill_one_after(process: subprocess.Popen[str], iteration: int) -> list[str]:
    """Kills a worker once that iteration is reported; returns what had been printed."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(f"iteration {iteration}:"):
            os.kill(workers_of(process.pid)[-1], signal.SIGKILL)
            return lines
    raise AssertionError("".join(lines))


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The losses of one process, by the iteration."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    return losses_of(finished(folder, 1, f"--iterations={ITERATIONS}"))


def test_it_learns(uninterrupted: dict[int, float]) -> None:
    assert list(uninterrupted) == list(range(100, ITERATIONS + 1, 100))
    assert uninterrupted[100] > 0.05
    assert 0.01 < uninterrupted[ITERATIONS] < 0.04  # the noise alone has 0.01


@pytest.mark.parametrize(("processes", "data_parallel"), [(2, 2), (4, 2)], ids=["2x1", "2x2"])
def test_any_mesh_trains_alike(
    uninterrupted: dict[int, float], tmp_path: Path, processes: int, data_parallel: int
) -> None:
    arguments = (f"--data-parallel={data_parallel}", "--iterations=200")
    losses = losses_of(finished(tmp_path, processes, *arguments))
    assert losses == pytest.approx({k: uninterrupted[k] for k in (100, 200)}, abs=2e-6)


@pytest.mark.parametrize("afterwards", [4, 1])
def test_killed_and_started_again(
    uninterrupted: dict[int, float], tmp_path: Path, afterwards: int
) -> None:
    everything = f"--iterations={ITERATIONS}"
    with torchrun(tmp_path, 2, everything) as process:
        kill_one_after(process, 700)
        _, err = process.communicate(timeout=HANGS)
        assert process.returncode != 0
        assert "exitcode  : -9" in err
    unfinished = tmp_path / "checkpoints" / "99999999"
    unfinished.mkdir()
    (unfinished / "__0_0.distcp").write_bytes(b"half of a ")

    printed = finished(tmp_path, afterwards, everything)
    start = re.search(r"^from iteration (\d+) of 1500$", printed, re.M)
    assert start is not None
    assert 700 - INTERVAL < int(start[1]) < ITERATIONS and int(start[1]) % INTERVAL == 0
    losses = losses_of(printed)
    assert list(losses) == list(range(int(start[1]) + 100, ITERATIONS + 1, 100))
    assert losses == pytest.approx({k: uninterrupted[k] for k in losses}, abs=2e-6)
    kept = sorted(file.parent.name for file in tmp_path.glob("checkpoints/*/.metadata"))
    assert kept == ["00001400", "00001500"]


def test_torchrun_restarts_it(uninterrupted: dict[int, float], tmp_path: Path) -> None:
    with torchrun(tmp_path, 2, f"--iterations={ITERATIONS}", max_restarts=1) as process:
        before = kill_one_after(process, 700)
        after, err = process.communicate(timeout=HANGS)
        check_that_it_ended(process, after, err)
    starts = re.findall(r"^from iteration (\d+)", "".join(before) + after, re.M)
    assert len(starts) == 2 and int(starts[1]) > 700 - INTERVAL
    assert losses_of(after)[ITERATIONS] == pytest.approx(uninterrupted[ITERATIONS], abs=2e-6)


def test_wrong_meshes_are_refused(tmp_path: Path) -> None:
    for arguments, message in (
        (["--data-parallel=3"], "--data-parallel 3 must divide 2 processes and --batch 8"),
        (["--data-parallel=0"], "--data-parallel 0 must divide 2 processes and --batch 8"),
        (["--window=1989"], "--window and --horizon must have at most 2000 values together"),
        (["--channels=7"], "per_step_dense: the mesh must divide steps = 7 into equal parts"),
    ):
        with torchrun(tmp_path, 2, *arguments) as process:
            _, err = process.communicate(timeout=HANGS)
        assert process.returncode != 0
        assert message in err
