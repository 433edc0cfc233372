"""Random wishes of the emulator: which kernel computes a call, and how its threads interleave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cases
from emulated import KERNELS, SM90_KERNELS, Kernel
from emulator.guarded import LAYOUTS
from hypothesis import strategies as st

SCHEDULES = 22


class Wish(NamedTuple):
    """Options of the emulator's forward and backward."""

    kernel: str
    tile: int = -1
    tf32: bool = False
    splits: tuple[int, int] = (0, 0)
    arch: int = 90
    sms: int = 0
    outputs: str = "contiguous"
    schedule: int = 0

    @property
    def options(self) -> dict[str, Any]:
        return self._asdict()


class Room(NamedTuple):
    """What a kernel can be asked for."""

    kernel: Kernel | None = None  # the chooser's choice
    has_tensor_maps: bool = False

    @property
    def edges(self) -> Sequence[int]:
        """Sizes that end with a tile, or with all stages of a ring."""
        if self.kernel is None:
            return (16, 32, 64, 128)
        facts = self.kernel.facts
        rows = facts.block_m * max(facts.cluster, 1)
        every = {
            *(rows, facts.block_n, facts.weight_m, facts.weight_n),
            *(facts.block_k, 4 * facts.block_k, facts.stages * facts.block_k),
        }
        return sorted(every - {0})

    @property
    def for_calls(self) -> dict[str, Any]:
        """Options of calls(): with tensor maps, what they can describe."""
        # An emulated thread takes its time, and each step has a tile of them at least.
        options = {
            "edges": self.edges,
            "products": 60_000,
            "most": 700,
            "most_steps": 33 if self.has_tensor_maps else 70,
            "several_batch_dims": False,
        }
        if self.kernel is not None:
            options["dtypes"] = [cases.dtype_id(self.kernel.dtype)]
        if self.has_tensor_maps:
            options |= {"least": 1, "multiple": 16 // self.kernel.dtype.itemsize}
        return options


ROOMS = [
    *(Room(kernel) for kernel in KERNELS),
    *(Room(kernel, True) for kernel in SM90_KERNELS),
]


def rooms(*, takes_ranges: bool = False) -> st.SearchStrategy[Room]:
    """Every family alike, whichever number of tiles it has."""
    by_family: dict[str, list[Room]] = {}
    for room in ROOMS:
        if room.kernel.takes_ranges or not takes_ranges:
            by_family.setdefault(room.kernel.family, []).append(room)
    most = max(map(len, by_family.values()))
    alike = [of_one[n % len(of_one)] for of_one in by_family.values() for n in range(most)]
    return st.sampled_from([*alike, *[Room()] * (most // 2)])


_SPLITS = st.sampled_from([0, 0, 1, 2, 3, 1000])
_SCHEDULES = st.integers(0, SCHEDULES - 1)
_OUTPUTS = st.sampled_from(LAYOUTS)
_OUTPUTS_OF_TENSOR_MAPS = st.sampled_from(["contiguous", "padded"])
_CLUSTERS = st.sampled_from([0, 1, 2, 3, 5])
_ARCHITECTURES = st.sampled_from([80, 86, 89, 90, 100, 120])


def draw_wish(draw: st.DrawFn, room: Room) -> Wish:
    splits, schedule = (draw(_SPLITS), draw(_SPLITS)), draw(_SCHEDULES)
    kernel = room.kernel
    if kernel is None:
        tf32, arch = draw(st.booleans()), draw(_ARCHITECTURES)
        return Wish("auto", tf32=tf32, splits=splits, arch=arch, schedule=schedule)
    has_maps = room.has_tensor_maps
    return Wish(
        kernel.family,
        kernel.tile,
        kernel.is_tf32,
        splits,
        sms=draw(_CLUSTERS) * kernel.facts.cluster if has_maps else 0,
        outputs=draw(_OUTPUTS_OF_TENSOR_MAPS if has_maps else _OUTPUTS),
        schedule=schedule,
    )
