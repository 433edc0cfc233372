"""Do the tests of the CPU's kernels notice? Faults are planted in copies of the kernels.

Those need no torch, and are compiled within a second.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import scripts
import torch
from cpu_faults import FAULTS
from emulator import Mutation, mutated_tree

from per_step_dense import _ops

pytestmark = [
    pytest.mark.slow,  # each fault compiles the kernels
    pytest.mark.skipif(
        _ops.compiled is None
        or platform.machine() != "x86_64"
        or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
        reason="the CPU's kernels need AVX2 and the compiled module",
    ),
]


# Of a page that nobody may touch, or of the allocator, which found its own records overwritten.
DEATHS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
SERVER = Path(__file__).parent / "other_kernels.py"


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, str(SERVER)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**scripts.environment(), "ATEN_CPU_CAPABILITY": "avx2"},
    ) as process:
        yield process
        process.stdin.close()


def status_of(server: subprocess.Popen[str], kernels: Path, *tests: str) -> int:
    print(kernels, *tests, file=server.stdin, flush=True)
    return int(server.stdout.readline())


def kernels_with(library: Path, *mutations: Mutation) -> Path:
    with mutated_tree(*mutations) as root:
        flags = ("-std=c++17", "-O1", "-fPIC", "-shared", "-I", str(root / "csrc"))
        source = str(root / "csrc/cpu/avx2.cpp")
        subprocess.run(["g++", *flags, "-o", str(library), source], check=True)
    return library


def test_kernels_without_a_fault_pass(server: subprocess.Popen[str], tmp_path: Path) -> None:
    tests = sorted({fault.test for fault in FAULTS.values()})
    kernels = kernels_with(tmp_path / "kernels.so")
    assert status_of(server, kernels, *tests) == pytest.ExitCode.OK


@pytest.mark.in_turn
@pytest.mark.parametrize("name", FAULTS)
def test_planted_fault_is_caught(name: str, server: subprocess.Popen[str], tmp_path: Path) -> None:
    test, mutation = FAULTS[name]
    status = status_of(server, kernels_with(tmp_path / "kernels.so", mutation), test)
    assert status == pytest.ExitCode.TESTS_FAILED or -status in DEATHS
