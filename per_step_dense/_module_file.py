"""What is wrong with the compiled module's file, found out before it is loaded.

Under a torch whose classes lie otherwise in memory a module may load, and end the process later; so
may one whose end is missing, for it is mapped and not read.
"""

from __future__ import annotations

import mmap
import struct
from importlib.util import find_spec

import torch

_SAYS = b"per_step_dense was built with torch "  # csrc/module.cpp has it say so
_LONGEST_VERSION = 64

_ELF_64_BITS = b"\x7fELF\x02\x01"
_WHERE_SECTIONS_ARE_LISTED = struct.Struct("<40xQ10xHH")  # offset, bytes of an entry, entries


def check(module: str) -> None:
    """Refuses a module that is truncated, or of another torch than this one.

    Args:
        module: its full name. One that is not there, or is no such file, is left to the import.

    Raises:
        ImportError: the file ends too soon; or the major or minor versions of torch differ.
    """
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        return
    with open(spec.origin, "rb") as file:
        if not file.read(1):
            return  # nothing that could be mapped
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            reason = _why_truncated(content) or _why_another_torch(content)
    if reason:
        raise ImportError(
            f"{reason}: install per_step_dense again, or remove {spec.origin}",
            name=module,
            path=spec.origin,
        )


def _why_truncated(content: mmap.mmap) -> str:
    """Linkers put the list of sections at the end."""
    header = content[: _WHERE_SECTIONS_ARE_LISTED.size]
    if not header.startswith(_ELF_64_BITS) or len(header) < _WHERE_SECTIONS_ARE_LISTED.size:
        return ""
    offset, entry_bytes, entries = _WHERE_SECTIONS_ARE_LISTED.unpack(header)
    needed = offset + entry_bytes * entries
    return "" if needed <= len(content) else f"it has {len(content)} of {needed} bytes"


def _why_another_torch(content: mmap.mmap) -> str:
    begin = content.find(_SAYS) + len(_SAYS)
    said, _, rest = content[begin : begin + _LONGEST_VERSION].partition(b";")
    if begin < len(_SAYS) or not rest:
        return ""
    built_with, running = said.decode(), torch.__version__
    # Releases that differ in no more run each other's modules.
    if built_with.split(".")[:2] == running.split(".")[:2]:
        return ""
    return f"it was built with torch {built_with}, and this is torch {running}"
