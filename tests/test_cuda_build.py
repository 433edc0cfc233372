"""What did nvcc make of the kernels? Needs the CUDA build, but no GPU."""

from __future__ import annotations

import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from per_step_dense import _ops

KERNELS = ("simt11gemm_kernel", "activation_backward_kernel")  # parts of the mangled names


@pytest.fixture(scope="module")
def cuobjdump() -> Callable[[str], str]:
    """Runs cuobjdump on the compiled module."""
    if _ops.compiled is None or not _ops.has_cuda_kernels:
        pytest.skip("the module was built without CUDA kernels")
    in_environment = Path(sysconfig.get_path("purelib")) / "nvidia/cu13/bin/cuobjdump"
    tool = str(in_environment) if in_environment.exists() else shutil.which("cuobjdump")
    if tool is None:
        pytest.skip("needs cuobjdump: pip install nvidia-cuda-cuobjdump")
    module = _ops.compiled.__file__
    return lambda option: (
        subprocess.run([tool, option, module], capture_output=True, text=True, check=True).stdout
    )


def test_machine_code_and_ptx_are_those_of_the_architectures_built_for(cuobjdump):
    named = _ops.compiled.build_info()["cuda_architectures"]
    wanted = {arch.replace(".", "").removesuffix("+PTX") for arch in re.split("[; ]", named)}
    resources = cuobjdump("--dump-resource-usage")
    assert set(re.findall(r"^arch = sm_(\w+)", resources, re.MULTILINE)) == wanted
    if "+PTX" in named:
        assert "sm_80.ptx" in cuobjdump("--list-ptx") or "8.0+PTX" not in named


@pytest.mark.parametrize("kernel", KERNELS)
def test_kernels_spill_nothing_and_keep_their_occupancy(cuobjdump, kernel):
    found = re.findall(
        rf"Function \S*{kernel}\S*:\s+REG:(\d+) STACK:(\d+) SHARED:\d+ LOCAL:(\d+)",
        cuobjdump("--dump-resource-usage"),
    )
    assert len(found) >= 1
    for registers, stack, local in found:
        assert (int(stack), int(local)) == (0, 0)
        assert int(registers) <= 128  # two blocks of 256 threads an SM
