"""What did nvcc make of the kernels? Needs the CUDA build, but no GPU.

What to expect is not written down here: the emulator runs every instantiation once and tells its
name, its threads and its shared memory.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cases
import emulator
import pytest
import torch
from emulated import KERNELS, SM90_KERNELS, Kernel
from machine_code import (
    Opcodes,
    faults_of_tensor_core_kernel,
    faults_of_wgmma_kernel,
    is_form_of,
    opcodes_of,
)

from per_step_dense import _ops

pytestmark = pytest.mark.slow  # all kernels are emulated, and disassembled

REGISTERS_OF_AN_SM = 64 * 1024
REGISTERS_AT_A_TIME = 8  # a thread's are allocated so
SMEM_RESERVED = 1024  # of every block, by the driver
# Of an SM, by architecture; and what a block may have everywhere from sm_80 on (sm_86, sm_89), and
# on Hopper.
SMEM_OF_AN_SM = {"80": 164 * 1024, "90a": 228 * 1024}
SMEM_OF_A_BLOCK, SMEM_OF_HOPPERS_BLOCK = 99 * 1024, 227 * 1024
HOPPER = "90a"
# Jumps to addresses from a table: two where a kernel decides on the activation, which simt's do for
# each group of a row's outputs and sm80's for each width of stores. One for each output would be 30
# and more, and 8 in tiny.
USUAL_JUMPS = 2
MOST_JUMPS = {"simt": 8, "sm80": 10}


@dataclass(frozen=True)
class Launch:
    """How a kernel is launched, and what it was tuned for."""

    threads: int
    smem_bytes: int
    blocks_per_sm: int
    multiplied: torch.dtype | None = None  # by mma.sync
    hoppers: Kernel | None = None  # of the family that only Hopper runs
    is_backward: bool = False
    most_jumps: int = USUAL_JUMPS

    def runs_on(self, arch: str) -> bool:
        return self.hoppers is None or arch == HOPPER


# Kernels with an element a thread have no tile to say so.
ELEMENTWISE = Launch(threads=256, smem_bytes=0, blocks_per_sm=4)


@dataclass(frozen=True)
class Resources:
    """What a compiled kernel takes."""

    registers: int
    stack_bytes: int
    local_bytes: int
    smem_bytes: int  # known to the compiler


# Where PyPI's tools of CUDA 13 lie; what cuobjdump calls is looked for there, too.
TOOLS = Path(sysconfig.get_path("purelib")) / "nvidia/cu13/bin"
SEARCH_PATH = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"


def needs(tool: str) -> None:
    if shutil.which(tool, path=SEARCH_PATH) is None:
        pytest.skip(f"needs {tool}: pip install nvidia-cuda-{tool}")


@pytest.fixture(scope="module")
def cuobjdump() -> Callable[[str], str]:
    """Runs cuobjdump on the compiled module."""
    if _ops.compiled is None or not _ops.has_cuda_kernels:
        pytest.skip("the module was built without CUDA kernels")
    needs("cuobjdump")
    tool = shutil.which("cuobjdump", path=SEARCH_PATH)
    module = _ops.compiled.__file__
    environment = os.environ | {"PATH": SEARCH_PATH}
    return lambda option: (
        subprocess.run(
            [tool, option, module], capture_output=True, text=True, check=True, env=environment
        ).stdout
    )


@pytest.fixture(scope="module")
def compiled(cuobjdump) -> dict[str, dict[str, Resources]]:
    """By architecture and by name."""
    by_arch: dict[str, dict[str, Resources]] = {}
    pattern = re.compile(
        r"^arch = sm_(?P<arch>\w+)"
        r"|Function (?P<name>\S+):\s+REG:(\d+) STACK:(\d+) SHARED:(\d+) LOCAL:(\d+)",
        re.MULTILINE,
    )
    arch = ""
    for match in pattern.finditer(cuobjdump("--dump-resource-usage")):
        if match["arch"]:
            arch = match["arch"]
            continue
        registers, stack, shared, local = map(int, match.groups()[2:])
        by_arch.setdefault(arch, {})[match["name"]] = Resources(registers, stack, local, shared)
    return by_arch


@pytest.fixture(scope="module")
def launches() -> dict[str, Launch]:
    """Every kernel there is, by its mangled name."""
    found: dict[str, Launch] = {}
    for kernel in KERNELS:
        for name, launch in launches_of(kernel):
            smem_bytes = max(launch.smem_bytes, found[name].smem_bytes if name in found else 0)
            found[name] = replace(launch, smem_bytes=smem_bytes)
    for kernel in SM90_KERNELS:
        found |= hoppers_launches_of(kernel)
    return found


@pytest.fixture(scope="module")
def opcodes(cuobjdump) -> Opcodes:
    needs("nvdisasm")
    return opcodes_of(cuobjdump("--dump-sass").splitlines())


def launches_of(kernel: Kernel) -> Iterator[tuple[str, Launch]]:
    for b, i, o in (40, 40, 8), (3, 200, 7), (200, 7, 1):
        arguments = cases.of_sizes(b, 2, i, o, kernel.dtype, "cpu")
        dz = torch.randn(b, 2, o).to(kernel.dtype)
        for splits in (1, 1), (3, 3):
            kernel.forward(*arguments, splits=splits)
            yield from launches_of_last_run(kernel)
            kernel.backward(dz, *arguments[:2], splits=splits)
            yield from launches_of_last_run(kernel)
    for dy in dz, torch.cat([dz, dz], dim=2)[:, :, : dz.size(2)]:  # contiguous, and not
        emulator.activation_backward(dy, dz, "tanh")
        yield emulator.default_library().kernels[0], ELEMENTWISE


def hoppers_launches_of(kernel: Kernel) -> Iterator[tuple[str, Launch]]:
    library, arguments = (
        emulator.default_library(),
        cases.of_sizes(3, 2, 16, 8, kernel.dtype, "cpu"),
    )

    def launch(is_backward: bool) -> tuple[str, Launch]:
        plan, (name,) = library.plan, library.kernels
        return name, Launch(plan.threads, plan.smem_bytes, 1, None, kernel, is_backward)

    x, weight, bias = arguments
    dz = torch.randn(3, 2, 8).to(kernel.dtype)
    kernel.forward(x, weight, bias)
    yield launch(is_backward=False)
    kernel.backward(dz, x, weight, (True, kernel.has_backward, kernel.has_backward))
    yield launch(is_backward=True)
    if kernel.takes_ranges:
        rows = ((0, 2), (2, 1))
        kernel.forward(x[:, 0], weight, bias, rows=rows)
        yield launch(is_backward=False)
        if kernel.has_backward:
            kernel.backward(dz[:, 0], x[:, 0], weight, rows=rows)
            yield launch(is_backward=True)


def launches_of_last_run(kernel: Kernel) -> Iterator[tuple[str, Launch]]:
    library = emulator.default_library()
    plan = library.plan
    main, *others = library.kernels
    multiplied = kernel.dtype if kernel.family == "sm80" else None
    launch = Launch(plan.threads, plan.smem_bytes, kernel.facts.blocks_per_sm, multiplied)
    yield main, replace(launch, most_jumps=MOST_JUMPS.get(kernel.family, USUAL_JUMPS))
    yield from ((name, ELEMENTWISE) for name in others)


def test_machine_code_and_ptx_are_those_of_the_architectures_built_for(cuobjdump, compiled):
    named = _ops.compiled.build_info()["cuda_architectures"]
    wanted = {arch.replace(".", "").removesuffix("+PTX") for arch in re.split("[; ]", named)}
    assert set(compiled) == wanted
    if "+PTX" in named:
        assert "sm_80.ptx" in cuobjdump("--list-ptx") or "8.0+PTX" not in named


def test_every_instantiation_is_compiled_and_no_other(compiled, launches):
    for kernels in compiled.values():
        assert set(kernels) == set(launches)


def test_kernels_spill_nothing_and_have_no_stack(compiled):
    for arch, kernels in compiled.items():
        for name, taken in kernels.items():
            assert (taken.stack_bytes, taken.local_bytes) == (0, 0), f"{name}, sm_{arch}"


def test_kernels_of_tensor_cores_are_made_of_their_instructions(opcodes, compiled, launches):
    assert {arch: set(kernels) for arch, kernels in opcodes.items()} == {
        arch: set(kernels) for arch, kernels in compiled.items()
    }
    for arch, kernels in opcodes.items():
        for name, own in kernels.items():
            if (dtype := launches[name].multiplied) is not None:
                assert faults_of_tensor_core_kernel(own, dtype) == [], f"{name}, sm_{arch}"


def test_activations_are_decided_on_once_for_many_outputs(opcodes, launches):
    for arch, kernels in opcodes.items():
        for name, own in kernels.items():
            jumps = sum(count for opcode, count in own.items() if is_form_of("BRX", opcode))
            assert jumps <= launches[name].most_jumps, f"{name}, sm_{arch}"


def test_hoppers_kernels_are_made_of_its_instructions(opcodes, launches):
    if HOPPER not in opcodes:
        pytest.skip("the module was not built for sm_90a")
    of_hopper = {name: launch for name, launch in launches.items() if launch.hoppers}
    assert len(of_hopper) == sum(
        2 + kernel.takes_ranges * (1 + kernel.has_backward) for kernel in SM90_KERNELS
    )
    for name, launch in of_hopper.items():
        kernel = launch.hoppers
        facts = kernel.facts
        swaps_operands = kernel.is_tf32 and not launch.is_backward
        faults = faults_of_wgmma_kernel(
            opcodes[HOPPER][name],
            kernel.dtype,
            facts.block_m if swaps_operands else facts.block_n,
            consumers=launch.threads // 128 - 1,
            cluster=facts.cluster,
            is_backward=launch.is_backward,
        )
        assert faults == [], name


def test_elsewhere_hoppers_kernels_do_nothing_but_stop(opcodes, launches):
    for arch, kernels in opcodes.items():
        for name, own in kernels.items():
            if not launches[name].runs_on(arch):
                assert own["BPT.TRAP"] > 0, f"{name}, sm_{arch}"
                assert sum(own.values()) < 50


def test_as_many_blocks_fit_an_sm_as_the_tile_is_tuned_for(compiled, launches):
    for arch, kernels in compiled.items():
        for name, taken in kernels.items():
            launch = launches[name]
            if not launch.runs_on(arch):
                continue
            registers = -(-taken.registers // REGISTERS_AT_A_TIME) * REGISTERS_AT_A_TIME
            all_registers = registers * launch.threads * launch.blocks_per_sm
            assert all_registers <= REGISTERS_OF_AN_SM, f"{taken.registers}: {name}, sm_{arch}"

            smem_bytes = taken.smem_bytes + launch.smem_bytes
            most = SMEM_OF_HOPPERS_BLOCK if launch.hoppers else SMEM_OF_A_BLOCK
            assert smem_bytes <= most, f"{name}, sm_{arch}"
            of_an_sm = SMEM_OF_AN_SM.get(arch, min(SMEM_OF_AN_SM.values()))
            of_all = (smem_bytes + SMEM_RESERVED) * launch.blocks_per_sm
            assert of_all <= of_an_sm, f"{smem_bytes} bytes: {name}, sm_{arch}"
