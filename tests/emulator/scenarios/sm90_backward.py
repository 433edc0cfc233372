"""Scenarios of the family `sm90`: gradients, of both products in one launch or of one of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from ..library import Library
from .runs import New, Scenario, backward_of_rows, is_close, wrong_backward
from .sm90 import BRAIN, BY_TURNS, CLUSTERS, HALF, LARGE, NARROW, SMALL, WIDE


def backward_of_repeated_steps(library: Library, schedule: str, **wishes: Any) -> str:
    """All steps have one dz, one weight, and rows of x that overlap; then one x."""
    new = New(HALF)
    dz, weight = new(70, 1, 72).expand(70, 3, 72), new(16, 72).expand(3, 16, 72)
    windows = new(70, 32).unfold(1, 16, 8)
    return wrong_backward(library, schedule, dz, windows, weight, **wishes) or wrong_backward(
        library, schedule, dz, new(70, 1, 16).expand(70, 3, 16), weight, **wishes
    )


def backward_of_copied_dz(library: Library, schedule: str, **wishes: Any) -> str:
    """Rows of dz begin where TMA cannot fetch them."""
    new = New(HALF)
    dz = new.padded(70, 2, 72, pitch=76)
    return wrong_backward(library, schedule, dz, new(70, 2, 16), new(2, 16, 72), **wishes)


def one_gradient_at_a_time(library: Library, schedule: str, **wishes: Any) -> str:
    """Without what the others need: no other map is encoded."""
    new = New(HALF)
    dz, x, weight = new(70, 2, 72), new(70, 2, 16), new(2, 16, 72)
    exact = (
        torch.einsum("bto,tio->bti", dz.double(), weight.double()),
        torch.einsum("bti,bto->tio", x.double(), dz.double()),
        dz.double().sum(0),
    )
    for which, name in enumerate(("dx", "dweight", "dbias")):
        mask = which == 0, which == 1, which == 2
        actual = library.backward(dz, x, weight, mask, schedule=schedule, **wishes)[which]
        assert actual is not None
        if not is_close(actual, exact[which]):
            return f"{name} is wrong"
    return ""


def _wishes(tile: int, sms: int = 1, splits: tuple[int, int] = (1, 1)) -> dict[str, Any]:
    return {"kernel": "sm90", "tile": tile, "sms": sms, "splits": splits}


def _rows(
    tile: int, sizes: tuple[int, int, int], dtype: torch.dtype = HALF, **wishes: Any
) -> Scenario:
    wishes = _wishes(tile, **wishes)
    return partial(backward_of_rows, dtype=dtype, sizes=sizes, pitch=8, **wishes)


SM90_BACKWARD_SCENARIOS: dict[str, Scenario] = {
    "sm90 backward": _rows(SMALL, (70, 72, 136)),
    "sm90 backward with grad-weight first": _rows(SMALL, (140, 72, 72)),
    "sm90 backward whose long items end inside a round": _rows(SMALL, (600, 136, 8), sms=4),
    "sm90 backward of bfloat16": _rows(SMALL, (70, 72, 72), BRAIN),
    "sm90 backward of wide tiles": _rows(WIDE, (70, 136, 200)),
    "sm90 backward by turns": _rows(NARROW, (70, 136, 264)),
    "sm90 backward by turns of short rows": _rows(BY_TURNS, (10, 40, 136)),
    "sm90 backward of two consumers": _rows(LARGE, (70, 136, 264)),
    "sm90 backward by clusters": _rows(CLUSTERS, (140, 264, 72), sms=2),
    "sm90 split backward": _rows(SMALL, (140, 72, 136), splits=(2, 3)),
    "sm90 backward of repeated steps": partial(backward_of_repeated_steps, **_wishes(SMALL)),
    "sm90 backward of dz that is copied": partial(backward_of_copied_dz, **_wishes(SMALL)),
    "sm90 gradients one at a time": partial(one_gradient_at_a_time, **_wishes(SMALL)),
}
