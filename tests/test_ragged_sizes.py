"""Are the sizes of ragged batches read right, however torch holds them, and bounded?"""

from __future__ import annotations

import functools

import pytest
import torch

from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

forward_op = torch.ops.per_step_dense.ragged_forward


@pytest.mark.parametrize("is_packed", [True, False], ids=["packed", "padded"])
def test_more_steps_than_can_be_listed_are_refused(is_packed: bool) -> None:
    t = 2**25 + 1
    x = torch.zeros(1, 1) if is_packed else torch.zeros(1, 1, 1).expand(1, t, 1)
    text = "samples that differ in length must have at most 33554432 steps; got T = 33554433"
    with pytest.raises(ValueError, match=text):
        forward_op(x, torch.zeros(1, 1, 1).expand(t, 1, 1), None, torch.tensor([1]), "none", "auto")


@pytest.mark.parametrize("family", ["auto", "reference", "batch_invariant"])
def test_sizes_that_were_not_computed_yet(family: str) -> None:
    """Views of negated memory, and zeros without memory, as torch's own operations make them."""
    x, weight, sizes = torch.randn(5, 3), torch.randn(2, 3, 4), torch.tensor([3, 2])
    forward = functools.partial(forward_op, x, weight, None)
    expected = forward(sizes, "none", family)
    assert torch.equal(forward(torch._neg_view(-sizes), "none", family), expected)
    zeros = torch._efficientzerotensor(2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"must add up to the 5 rows .*; got a sum of 0"):
        forward(zeros, "none", family)
