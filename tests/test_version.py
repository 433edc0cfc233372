"""Does a build's version say what it is for, and only where that is wanted?"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
import torch
from packaging.version import Version

import per_step_dense as psd
from build_support.version import local_version

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("of_torch", "cuda", "expected"),
    [
        ("2.11.0+cu130", "13.0", "torch2.11.cu130"),
        ("2.13.0+cpu", None, "torch2.13.cpu"),
        ("2.10.1+cu128", None, "torch2.10.cpu"),  # no kernels: either build of torch runs it
        ("2.10.1", "12.8", "torch2.10.cu128"),
        ("2.14.0a0+git1a2b3c4", "13.0.2", "torch2.14.cu130"),
        ("3.0.0.dev20270101", "12.10", "torch3.0.cu1210"),
    ],
)
def test_local_version(of_torch: str, cuda: str | None, expected: str) -> None:
    found = local_version(of_torch, cuda)
    assert found == expected
    assert str(Version(f"0.1.0+{found}")) == f"0.1.0+{found}", "no tool rewrites it"


def test_torch_without_a_version() -> None:
    with pytest.raises(ValueError, match=r"begin with two numbers; got 'main'$"):
        local_version("main", None)


def test_setup_names_a_wheel_that_is_handed_out() -> None:
    told = subprocess.run(
        [sys.executable, "setup.py", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PER_STEP_DENSE_CUDA": "0", "PER_STEP_DENSE_LOCAL_VERSION": "1"},
    ).stdout.splitlines()[-1]
    assert told == f"{psd.__version__}+{local_version(torch.__version__, None)}"


def test_installed_and_imported_agree() -> None:
    assert Version(metadata.version("per_step_dense")).public == psd.__version__
