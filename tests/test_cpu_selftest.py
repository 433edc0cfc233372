"""Do the tests of the CPU's kernels notice? Faults are planted in copies of the kernels.

Those need no torch, and are compiled within seconds. A library loaded before the compiled module
puts its own in the place of the module's.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from cpu_faults import FAULTS
from emulator import Mutation, mutated_tree

from per_step_dense import _ops

TESTS = Path(__file__).parent / "test_cpu_kernels.py"

pytestmark = [
    pytest.mark.slow,  # each fault compiles the kernels
    pytest.mark.skipif(
        _ops.compiled is None
        or platform.machine() != "x86_64"
        or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
        reason="the CPU's kernels need AVX2 and the compiled module",
    ),
]


def kernels_with(library: Path, *mutations: Mutation) -> Path:
    with mutated_tree(*mutations) as root:
        flags = ("-std=c++17", "-O2", "-fPIC", "-shared", "-I", str(root / "csrc"))
        source = str(root / "csrc/cpu/avx2.cpp")
        subprocess.run(["g++", *flags, "-o", str(library), source], check=True)
    return library


def outcome_of(tests: Sequence[str], kernels: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-qx", "-p", "no:cacheprovider", "--tb=line", "--no-cov"]
        + [f"{TESTS}::{test}" for test in tests],
        env={**os.environ, "LD_PRELOAD": str(kernels), "ATEN_CPU_CAPABILITY": "avx2"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_kernels_without_a_fault_pass(tmp_path: Path) -> None:
    tests = sorted({fault.test for fault in FAULTS.values()})
    outcome = outcome_of(tests, kernels_with(tmp_path / "kernels.so"))
    assert outcome.returncode == pytest.ExitCode.OK, outcome.stdout
    assert "skipped" not in outcome.stdout


@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name: str, tmp_path: Path) -> None:
    test, mutation = FAULTS[name]
    outcome = outcome_of([test], kernels_with(tmp_path / "kernels.so", mutation))
    died = outcome.returncode < 0  # of a page that nobody may touch
    assert died or outcome.returncode == pytest.ExitCode.TESTS_FAILED, outcome.stdout
