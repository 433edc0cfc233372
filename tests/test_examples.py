"""Do the example scripts run as they stand, and do they reach what they promise?"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import per_step_dense

EXAMPLES = Path(__file__).parent.parent / "examples"


def run_example(name: str, folder: Path, *, is_quiet: bool = True) -> str:
    """Runs the script as a user does, in another folder, with the package under test."""
    package = Path(per_step_dense.__file__).parent.parent
    path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    finished = subprocess.run(
        [sys.executable, str(EXAMPLES / name)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    assert not is_quiet or finished.stderr == ""
    return finished.stdout


def test_question_trains_400_parameters_to_the_noise_floor(tmp_path: Path) -> None:
    printed = run_example("question.py", tmp_path)
    assert "PerStepDense(steps=10, in_features=4, out_features=8, bias=True)\n" in printed
    assert "parameters: 400\n" in printed
    losses = [float(loss) for loss in re.findall(r"^epoch +\d+: loss (\d\.\d+)$", printed, re.M)]
    floor = re.search(r"^noise floor: +(\d\.\d+)", printed, re.M)
    assert floor is not None and float(floor[1]) == 0.01
    assert len(losses) >= 4
    assert losses[0] > 0.05, "the first loss already lies at the floor: nothing was learned"
    # 2048 * 80 squares estimate the variance to sqrt(2 / 163840) = 0.35 %; the fit of 400
    # parameters takes off 0.25 %, and Adam's last steps add some.
    assert losses[-1] == pytest.approx(0.01, rel=0.05)
    assert list(tmp_path.iterdir()) == []


def test_lightning_learns_a_layer_for_each_hour(tmp_path: Path) -> None:
    if importlib.util.find_spec("lightning") is None:
        pytest.skip("needs pip install '.[interop]'")
    printed = run_example("lightning_module.py", tmp_path, is_quiet=False)  # Lightning has its say
    own, shared = (float(error) for error in re.findall(r"(\d+\.\d+)$", printed, re.M))
    assert own < 0.05
    assert shared > 1  # the variance of what the hours do not have in common
