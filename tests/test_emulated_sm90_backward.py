"""Are Hopper's gradients right, of both products in one launch?

As test_emulated_sm90.py has it of the forward. Rows are the terms of grad-weight, O is the terms of
grad-input, and I the columns of the one and the rows of the other.
"""

from __future__ import annotations

from typing import NamedTuple

import cases
import emulator
import pytest
import torch
from emulated import SM90_KERNELS, Kernel, Sizes, assert_gradients_match_fp64
from test_emulated_kernels import MASKS
from test_emulated_sm90 import rows_of
from torch import Tensor

HALF, BRAIN, TF32 = torch.float16, torch.bfloat16, torch.float32
KERNELS = [kernel for kernel in SM90_KERNELS if kernel.dtype is HALF]
each_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=str)
CLUSTERS, BY_TURNS, SMALL = KERNELS[0], KERNELS[3], KERNELS[-1]
# For what the tensor maps alone know: how tensors lie in memory.
one_kernel_of_each_kind = pytest.mark.parametrize("kernel", [CLUSTERS, BY_TURNS, SMALL], ids=str)

Mask = tuple[bool, bool, bool]
INPUT, WEIGHT, BIAS = (True, False, False), (False, True, False), (False, False, True)


class Operands(NamedTuple):
    dz: Tensor  # (B, T, O)
    x: Tensor  # (B, T, I)
    weight: Tensor  # (T, I, O)


def operands(sizes: Sizes, dtype: torch.dtype = HALF) -> Operands:
    b, t, i, o = sizes
    new = cases.New(dtype, "cpu")
    return Operands(new(b, t, o), new(b, t, i), new(t, i, o))


@pytest.mark.parametrize("splits", [(1, 1), (2, 2)], ids="splits_{0[0]}_{0[1]}".format)
@each_kernel
def test_any_subset_of_the_gradients_has_the_bits_of_all(
    kernel: Kernel, splits: tuple[int, int]
) -> None:
    """Also each product alone. Of dbias without dweight, the list has the column sums alone."""
    library = emulator.default_library()
    given = operands((67, 2, rows_of(kernel) + 8, kernel.facts.block_n + 8))
    assert_gradients_match_fp64(kernel, *given, splits=splits, sms=4)
    every = kernel.backward(*given, splits=splits, sms=4)
    for mask in MASKS:
        some = kernel.backward(*given, mask, splits=splits, sms=4)
        for wanted, own, others in zip(mask, some, every, strict=True):
            assert torch.equal(own, others) if wanted else own is None
        assert library.counters.launches == library.plan.launches
        assert library.plan.launches == (max(splits) if any(mask) else 0)


New = cases.New


def given(new: New, b: int = 4, t: int = 3, i: int = 16, o: int = 8, **changed: Tensor) -> Operands:
    return Operands(new(b, t, o), new(b, t, i), new(t, i, o))._replace(**changed)


def test_what_a_product_does_not_read_is_not_asked_about() -> None:
    new = New(HALF, "cpu")
    misaligned = given(new, x=new(4, 3, 16, offset=1), weight=new(3, 16, 8))
    assert_gradients_match_fp64(SMALL, *misaligned, INPUT)
    transposed = given(new, weight=new(3, 8, 16).mT)
    assert_gradients_match_fp64(SMALL, *transposed, (False, True, True))
    neither = given(new, i=131, x=new(4, 3, 131, offset=1), weight=new(3, 8, 131).mT)
    assert_gradients_match_fp64(SMALL, *neither, BIAS)
