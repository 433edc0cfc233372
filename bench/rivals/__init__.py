"""Every rival, in the order of the tables; this package first.

``RIVALS`` compute the layer, ``WINDOW_RIVALS`` the locally connected one, ``RAGGED_RIVALS`` the
layer of samples that differ in length.
"""

from __future__ import annotations

from typing import Final

from .base import Rival
from .compiled import Compiled
from .guests import EinsumDense, JaxEinsum, LocallyConnected1D
from .layers import GroupedConv, LoopOfLinear
from .ours import OURS, Op, PerStepDense
from .products import Baddbmm, BmmOut, Einsum, GroupedMm, Matmul, VmapLinear
from .ragged import ANY_ORDER, PADDED, RAGGED_RIVALS
from .unreachable import CublasLt
from .windows import UNFOLDED, WINDOW_RIVALS

RIVALS: Final[tuple[Rival, ...]] = (
    PerStepDense(),
    Einsum(),
    Matmul(),
    Baddbmm(),
    BmmOut(),
    GroupedMm(),
    VmapLinear(),
    LoopOfLinear(),
    GroupedConv(),
    Compiled(Einsum()),
    Compiled(Einsum(), mode="max-autotune-no-cudagraphs"),
    CublasLt(),
    LocallyConnected1D(),
    EinsumDense(),
    JaxEinsum(),
)

__all__ = [
    "ANY_ORDER",
    "OURS",
    "PADDED",
    "RAGGED_RIVALS",
    "RIVALS",
    "UNFOLDED",
    "WINDOW_RIVALS",
    "Compiled",
    "Op",
    "Rival",
]
