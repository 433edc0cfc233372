"""Is what is worse than torch found out, and is luck let through?"""

from __future__ import annotations

import pytest
import torch
from tolerance import assert_as_close_as_torch

TRUTH = torch.linspace(0.5, 1, 100, dtype=torch.float64)  # a unit of the largest is eps
UNIT = torch.finfo(torch.float32).eps


def off_by(units: float, *, at: slice = slice(0, 1), elsewhere: float = 0.3) -> torch.Tensor:
    errors = torch.full_like(TRUTH, elsewhere)
    errors[at] = units
    return (TRUTH + UNIT * errors).float()


def test_one_unlucky_element_among_errors_like_torchs() -> None:
    assert_as_close_as_torch(off_by(1.6, elsewhere=0.3), off_by(0.5, elsewhere=0.3), TRUTH)


@pytest.mark.parametrize(
    "actual",
    [
        off_by(1.6, elsewhere=1.2),  # worse everywhere
        off_by(1.6, at=slice(0, 50)),  # in many places
        off_by(2.6),  # too far, even alone
    ],
    ids=["everywhere", "often", "far"],
)
def test_what_is_worse_than_torch(actual: torch.Tensor) -> None:
    with pytest.raises(AssertionError, match="exceeds"):
        assert_as_close_as_torch(actual, off_by(0.5, elsewhere=0.3), TRUTH)
