"""Do the tests of the Keras layer pass on Keras's other backends? Each has a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # every test of the layer, once more on each backend

if find_spec("keras") is None:
    pytest.skip("needs pip install '.[keras]'", allow_module_level=True)

TESTS = Path(__file__).parent


@pytest.mark.in_turn
@pytest.mark.parametrize(
    ("backend", "install"),
    [("jax", "pip install '.[bench-jax]'"), ("tensorflow", "pip install tensorflow")],
)
def test_the_layer_passes_its_tests(backend: str, install: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"needs {install}")
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore"]  # what others warn of is theirs
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options, "test_keras_layer.py"],
        cwd=TESTS,
        env={**os.environ, "KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-10000:] + ran.stderr[-2000:]
    assert " passed" in ran.stdout and "skipped" not in ran.stdout


def last_line_without(module: str, folder: Path) -> str:
    """What a Python says in the end that imports the layer where Keras lacks that module."""
    (folder / "keras.py").write_text(f"raise ModuleNotFoundError('none here', name={module!r})\n")
    script = (
        "import per_step_dense, sys\n"
        "assert 'keras' not in sys.modules\n"
        "per_step_dense.LocallyConnected1d(5, 4, 3, 2)\n"
        "import per_step_dense.keras\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=TESTS.parent,
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    return ran.stderr.strip().splitlines()[-1]


def test_without_keras_the_rest_imports_and_says_how_to_install_it(tmp_path: Path) -> None:
    assert last_line_without("keras", tmp_path) == (
        "ModuleNotFoundError: per_step_dense.keras needs Keras 3: pip install 'keras>=3'"
    )


def test_what_keras_itself_lacks_is_said_in_its_words(tmp_path: Path) -> None:
    assert last_line_without("optree", tmp_path) == "ModuleNotFoundError: none here"
