"""On a GPU whose driver refuses a launch, what does a call say, and what does it leave behind?

A library that is loaded before CUDA's runtime takes the launches of this package's kernels, and no
others: it costs the package nothing. Without a GPU see test_emulated_launch_failures.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import scripts
import torch

from per_step_dense import _ops

SHIM = r"""
#include <dlfcn.h>
static int failing = -1;
void fail_launch(int launch) { failing = launch; }
int cudaLaunchKernelExC(const void* config, const void* function, void** arguments) {
  typedef int (*Launch)(const void*, const void*, void**);
  if (failing >= 0 && failing-- == 0) return 701;  // cudaErrorLaunchOutOfResources
  return ((Launch)dlsym(RTLD_NEXT, "cudaLaunchKernelExC"))(config, function, arguments);
}
"""

CALLS = """
import ctypes, os, torch
import per_step_dense as psd
from per_step_dense import _ops

fail_launch = ctypes.CDLL(os.environ["LD_PRELOAD"]).fail_launch
x, weight, bias = (torch.randn(shape, device="cuda").requires_grad_()
                   for shape in ((300, 2, 304), (2, 304, 8), (2, 8)))
leaves = x, weight, bias

def call(activation=None):
    return psd.per_step_dense(*leaves, activation=activation)

def refused(launch, function):
    torch.cuda.synchronize()
    allocated = torch.cuda.memory_allocated()
    fail_launch(launch)
    try:
        function()
    except RuntimeError as error:
        print(str(error).splitlines()[0])
    fail_launch(-1)
    assert torch.cuda.memory_allocated() == allocated
    assert all(tensor.grad is None for tensor in leaves)
    torch.cuda.synchronize()  # no error is left there

with psd.use_kernel("simt"):
    _ops.compiled.force_tile(0, 3, 3)  # split sums: two launches, and a workspace
    expected = call("relu")
    loss = expected.square().sum()
    refused(0, call)
    refused(1, call)
    for launch in range(3):  # the activation's gradient, both products, their parts
        refused(launch, lambda: loss.backward(retain_graph=True))
    assert torch.equal(call("relu"), expected)
    loss.backward()
    assert all(tensor.grad.isfinite().all() for tensor in leaves)
"""


def test_what_cannot_be_launched_is_said(gpu: torch.device, tmp_path: Path) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if not _ops.has_cuda_kernels or compiler is None:
        pytest.skip("needs a compiled module with CUDA kernels, and a C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    shim = tmp_path / "shim.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-D_GNU_SOURCE", tmp_path / "shim.c", "-o", shim, "-ldl"],
        check=True,
    )
    printed = subprocess.run(
        [sys.executable, "-c", CALLS],
        capture_output=True,
        text=True,
        env={**os.environ, **scripts.environment(), "LD_PRELOAD": str(shim)},
        check=False,
        timeout=scripts.SECONDS,
    )
    assert printed.returncode == 0, printed.stderr
    told = printed.stdout.splitlines()
    subjects = ["forward"] * 2 + ["gradient of relu"] + ["backward"] * 2
    assert len(told) == len(subjects)
    for line, subject in zip(told, subjects, strict=True):
        assert line.startswith(f"per_step_dense: the {subject} of B, T, ")
        assert " cannot be launched: " in line
        assert line.endswith(" (cudaErrorLaunchOutOfResources)")
