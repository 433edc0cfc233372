"""What a kernel's machine code must have, and what not, to be worth its tensor cores."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable

import torch

# By architecture, then by the kernel's mangled name: how often each instruction is there.
Opcodes = dict[str, dict[str, Counter[str]]]

# The product of a warp, by the operands' dtype; float32 is tfloat32 there.
MMA = {
    torch.float16: "HMMA.16816.F32",
    torch.bfloat16: "HMMA.16816.F32.BF16",
    torch.float32: "HMMA.1688.F32.TF32",
}

# Of a warpgroup, behind the columns.
WGMMA = {torch.float16: "x16.F32", torch.bfloat16: "x16.F32.BF16", torch.float32: "x8.F32.TF32"}

_LINE = re.compile(
    r"^arch = sm_(?P<arch>\w+)"
    r"|^\s+Function : (?P<name>\S+)"
    r"|^\s+/\*[0-9a-f]+\*/\s+(?:@!?\w+\s+)?(?P<opcode>[A-Z][\w.]*)"
)


def opcodes_of(listing: Iterable[str]) -> Opcodes:
    """The instructions of each kernel that `cuobjdump -sass` lists, without their operands."""
    found: Opcodes = {}
    arch, opcodes = "", Counter[str]()
    for line in listing:
        match = _LINE.match(line)
        if match is None:
            continue
        if match["arch"]:
            arch = match["arch"]
        elif match["name"]:
            opcodes = found.setdefault(arch, {}).setdefault(match["name"], Counter())
        else:
            opcodes[match["opcode"]] += 1
    return found


def faults_of_tensor_core_kernel(opcodes: Counter[str], dtype: torch.dtype) -> list[str]:
    """What a kernel that multiplies operands of the dtype lacks, and what it should not have."""
    needed = {
        MMA[dtype]: "products by tensor cores",
        "LDSM.16.M88.4": "fragments by whole matrices",
        "LDGSTS.E.BYPASS.128": "copies of 16 bytes around L1",
        "STG.E.128": "stores of 16 bytes",
    }
    if dtype.itemsize == 2:
        needed["LDSM.16.MT88.4"] = "fragments by whole matrices, transposed"
    others = {own for own in opcodes if own.startswith("HMMA") and own != MMA[dtype]}
    return _missing(opcodes, needed) + _out_of_place(opcodes, others)


def faults_of_wgmma_kernel(
    opcodes: Counter[str],
    dtype: torch.dtype,
    columns: int,
    *,
    consumers: int,
    cluster: int,
    is_backward: bool = False,
) -> list[str]:
    """The same of Hopper's kernels: every stage is one batch of products of so many columns. In
    tfloat32 the forward's loop is there twice, once for each set of registers of the weight, and a
    backward has the gradient of x alone; in 16 bits its loop is there for each of its products."""
    product = f"HGMMA.64x{columns}{WGMMA[dtype]}"
    is_tf32 = dtype is torch.float32
    batches = 2 if is_tf32 and not is_backward else 1
    loops = 2 if is_backward and not is_tf32 else 1
    needed = {
        product: "products by a warpgroup",
        "UTMALDG.3D": "fetches by TMA",
        "UTMASTG.3D": "stores by TMA",
        "SYNCS.PHASECHK.TRANS64.TRYWAIT": "waits at mbarriers",
    }
    if loops == 2:
        needed["LDS.128"] = "column sums by whole chunks"
    if cluster > 1:
        needed["UTMALDG.3D.MULTICAST"] = "fetches for the whole cluster"
    if consumers > 1:
        needed["USETMAXREG.DEALLOC"] = "registers given away"
        needed["USETMAXREG.TRY_ALLOC"] = "registers taken over"
    others = {own for own in opcodes if "MMA." in own and own != product}
    faults = _missing(opcodes, needed) + _out_of_place(opcodes, others)
    # The compiler waits for each product where it cannot tell that nobody looks at its sums.
    for opcode, wanted in (
        ("WARPGROUP.ARRIVE", loops * batches),
        ("WARPGROUP.DEPBAR.LE", loops * (batches + 1)),
    ):
        if opcodes[opcode] != wanted:
            faults.append(f"{opcodes[opcode]} {opcode}, not {wanted} (products one by one)")
    return faults


def _missing(opcodes: Counter[str], needed: dict[str, str]) -> list[str]:
    return [
        f"no {opcode} ({what})"
        for opcode, what in needed.items()
        if not any(is_form_of(opcode, own) for own in opcodes)
    ]


def _out_of_place(opcodes: Counter[str], others: set[str]) -> list[str]:
    spills = {own for own in opcodes if own.split(".")[0] in ("LDL", "STL")}
    return [f"{opcode} has no place there" for opcode in sorted(others | spills)]


def is_form_of(opcode: str, own: str) -> bool:
    """Whether it is the instruction, but for modifiers behind it; those of MMAs are their types."""
    return own == opcode or (own.startswith(opcode + ".") and "MMA." not in opcode)
