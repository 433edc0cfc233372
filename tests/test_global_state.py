"""What does the compiled module keep between calls? What is listed here, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest

from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

WISHES_OF_A_THREAD = {"in_force"}  # use_kernel's and batch_invariant's; a forced tile
CACHES_OF_A_THREAD = {
    "plan_once::cache",  # what the chooser said of the last problems
    "plan_repeatedly::cache",  # likewise, of a measurement
    "encode_tensor_map::cache",  # what the driver made of the last tensors
}
ASKED_ONCE = {
    "architecture_of_device::devices",
    "encode::encoder",
    "kernels_or_null::found",
    "has_torchs_vectors::has",
    *(
        f"{op}::op"
        for op in (
            "forward",
            "forward_with_preactivation",
            "backward",
            "backward_accumulate",
            "ragged_forward",
            "ragged_forward_with_preactivation",
            "ragged_backward",
            "activation_backward",
        )
    ),
}
CONSTANTS = {  # whose addresses the loader fills in, or whose values are made at the first use
    "tensor_or_undefined::undefined",
    "kAvx2Kernels",
    "kNominalDevices",
    "kActivationNames",
    "kDTypeNames",
    "kKernelFamilyNames",
    "kNamedFamilies",
}


def writable_objects() -> set[str]:
    """Names of the module's own: of a function's, behind the function's name."""
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("needs nm, of binutils")
    assert _ops.compiled is not None
    printed = subprocess.run(
        [nm, "--demangle", "--defined-only", _ops.compiled.__file__],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    if "per_step_dense::" not in printed:
        pytest.skip("the module has no symbols")
    names = set()
    for line in printed.splitlines():
        match = re.match(r"[0-9a-f]+ [bBdDuV] (per_step_dense::.*)", line)
        if match:
            names.add(plain_name(match[1]))
    return names


def plain_name(demangled: str) -> str:
    """Without namespaces, parameters and template arguments."""
    demangled = name = demangled.replace("(anonymous namespace)", "")
    while (shorter := re.sub(r"<[^<>]*>|\([^()]*\)( const)?", "", name)) != name:
        name = shorter
    parts = [part for part in re.sub(r"\[abi:\w+\]", "", name).split("::") if part]
    return "::".join(parts[-2:] if re.search(r"\)( const)?::\w+$", demangled) else parts[-1:])


def test_what_is_kept() -> None:
    listed = WISHES_OF_A_THREAD | CACHES_OF_A_THREAD | ASKED_ONCE | CONSTANTS
    assert writable_objects() - listed == set()


def test_wishes_and_caches_are_kept() -> None:
    """Or the search would not see them."""
    assert writable_objects() >= WISHES_OF_A_THREAD | {"plan_repeatedly::cache"}
