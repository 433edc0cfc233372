"""What a kernel's machine code must have, and what not, to be worth its tensor cores."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch

Opcodes = dict[str, dict[str, set[str]]]  # by architecture, then by the kernel's mangled name

# The product of a warp, by the operands' dtype; float32 is tfloat32 there.
MMA = {
    torch.float16: "HMMA.16816.F32",
    torch.bfloat16: "HMMA.16816.F32.BF16",
    torch.float32: "HMMA.1688.F32.TF32",
}

_LINE = re.compile(
    r"^arch = sm_(?P<arch>\w+)"
    r"|^\s+Function : (?P<name>\S+)"
    r"|^\s+/\*[0-9a-f]+\*/\s+(?:@!?\w+\s+)?(?P<opcode>[A-Z][\w.]*)"
)


def opcodes_of(listing: Iterable[str]) -> Opcodes:
    """The instructions of each kernel that `cuobjdump -sass` lists, without their operands."""
    found: Opcodes = {}
    arch, opcodes = "", set[str]()
    for line in listing:
        match = _LINE.match(line)
        if match is None:
            continue
        if match["arch"]:
            arch = match["arch"]
        elif match["name"]:
            opcodes = found.setdefault(arch, {}).setdefault(match["name"], set())
        else:
            opcodes.add(match["opcode"])
    return found


def faults_of_tensor_core_kernel(opcodes: set[str], dtype: torch.dtype) -> list[str]:
    """What a kernel that multiplies operands of the dtype lacks, and what it should not have."""
    needed = {
        MMA[dtype]: "products by tensor cores",
        "LDSM.16.M88.4": "fragments by whole matrices",
        "LDGSTS.E.BYPASS.128": "copies of 16 bytes around L1",
        "STG.E.128": "stores of 16 bytes",
    }
    if dtype.itemsize == 2:
        needed["LDSM.16.MT88.4"] = "fragments by whole matrices, transposed"
    missing = [
        f"no {opcode} ({what})"
        for opcode, what in needed.items()
        if not any(is_form_of(opcode, own) for own in opcodes)
    ]
    others = {own for own in opcodes if own.startswith("HMMA") and own != MMA[dtype]}
    spills = {own for own in opcodes if own.split(".")[0] in ("LDL", "STL")}
    return missing + [f"{opcode} has no place there" for opcode in sorted(others | spills)]


def is_form_of(opcode: str, own: str) -> bool:
    """Whether it is the instruction, but for modifiers behind it; those of HMMA are its types."""
    return own == opcode or (own.startswith(opcode + ".") and not opcode.startswith("HMMA"))
