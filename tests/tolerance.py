"""How far a result may be from the truth: twice as far as torch's own is.

Errors are the largest absolute ones of a tensor. One unit in the last place of the largest value
is always allowed, as torch may be exact by luck. In float64, where there is no truth to measure
torch's error by, this is the whole rule, with more units.

The largest of a few errors is luck on both sides: of sums of 7 terms whose root mean square error
was 0.9 times torch's, 4 of 200 tensors had a largest one of more than twice torch's. So a second
unit is allowed where the root mean square says that nothing else is the matter.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

UNITS_IN_FP64 = 32
SAME_RMS = 1.25  # times torch's


def assert_as_close_as_torch(
    actual: Tensor,
    torchs: Tensor,
    truth: Tensor,
    again: Iterable[tuple[Tensor, Tensor]] = (),
) -> None:
    """``actual`` and ``torchs`` are results of one dtype, ``truth`` is theirs in float64.

    Where they are few, torch's may be right by luck. ``again`` are its results of problems like
    this one, and their truths, as many as are asked for: its error is the largest of all.
    """
    assert actual.dtype == torchs.dtype
    assert truth.dtype == torch.float64
    assert actual.shape == torchs.shape == truth.shape
    assert actual.device == truth.device
    if truth.numel() == 0:
        return
    error, torchs_error = largest_error(actual, truth), largest_error(torchs, truth)
    unit = torch.finfo(actual.dtype).eps * truth.abs().max().item()
    units = UNITS_IN_FP64 if actual.dtype == torch.float64 else 1
    allowed = max(2 * torchs_error, units * unit)
    if allowed < error <= 2 * unit and rms_error(actual, truth) <= SAME_RMS * rms_error(
        torchs, truth
    ):
        return
    for others, their_truth in again:
        if error <= allowed:
            return
        torchs_error = max(torchs_error, largest_error(others, their_truth))
        allowed = max(allowed, 2 * torchs_error)
    assert error <= allowed, (
        f"error {error:.3g} exceeds {allowed:.3g} (torch's error is {torchs_error:.3g}, "
        f"a unit in the last place {unit:.3g})"
    )


def largest_error(actual: Tensor, truth: Tensor) -> float:
    """NaN where a value is NaN, so that no comparison holds."""
    return (actual.detach().double() - truth.detach()).abs().max().item()


def rms_error(actual: Tensor, truth: Tensor) -> float:
    """The root mean square of the errors."""
    return (actual.detach().double() - truth.detach()).square().mean().sqrt().item()
