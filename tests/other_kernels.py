"""Runs tests with other kernels of the CPU, a process a run, which is forked from this one.

Of each line of the input, a library and tests: the exit status of pytest is printed, or minus the
signal that ended it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import sys
from pathlib import Path

import pytest
import truth  # noqa: F401 - what is imported here need not be by every run
import worlds  # noqa: F401

from per_step_dense import _ops

# Not imported, for it computes, and threads of OpenMP do not survive a fork.
TESTS = Path(__file__).parent / "test_cpu_kernels.py"
SECONDS = 120  # after which a run hangs
NAME = "_ZN14per_step_dense3cpu12kAvx2KernelsE"
BYTES = 5 * 8  # two numbers and three functions: csrc/cpu/kernels.h
READ_AND_WRITE = 1 | 2


def put_in_place(library: str) -> None:
    """Where the compiled module looks for its own."""
    assert _ops.compiled is not None
    ours, others = (
        ctypes.addressof(ctypes.c_char.in_dll(ctypes.CDLL(path), NAME))
        for path in (_ops.compiled.__file__, library)
    )
    page = ours // mmap.PAGESIZE * mmap.PAGESIZE
    size = ctypes.c_size_t(ours + BYTES - page)
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(page), size, READ_AND_WRITE) == 0
    ctypes.memmove(ours, others, BYTES)


def run(library: str, *tests: str) -> int:
    """The status that a test run ends with."""
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    put_in_place(library)
    signal.alarm(SECONDS)
    options = ["-qx", "--tb=line", "-p", "no:cacheprovider", "-p", "no:cov", "-p", "no:xdist"]
    return int(pytest.main([*options, *(f"{TESTS}::{test}" for test in tests)]))


def main() -> None:
    """Serves until the input ends."""
    for line in sys.stdin:
        child = os.fork()
        if not child:
            os._exit(run(*line.split()))
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
