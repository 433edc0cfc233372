"""What do products in tfloat32 multiply? Operands rounded to the nearest, ties away from zero.

Tensor cores would cut the lower bits off instead, which loses half of the accuracy. How close
results are to the truth is asked in test_emulated_kernels.py.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from emulated import KERNELS, SM90_KERNELS, Kernel
from torch import Tensor

each_kernel = pytest.mark.parametrize("kernel", [k for k in KERNELS if k.is_tf32], ids=str)
each_of_sm90 = pytest.mark.parametrize("kernel", [k for k in SM90_KERNELS if k.is_tf32], ids=str)

UNIT = 2.0**-10  # between neighbours in [1, 2)
LEAST = 2.0**-23  # between those of float32

# What they round to is written down, not computed. Cutting, ties to even and rounding up each
# change one of them.
ROUNDED = {
    1 + UNIT / 2: 1 + UNIT,
    1 + UNIT / 2 - LEAST: 1,
    1 + UNIT / 2 + LEAST: 1 + UNIT,
    1 + UNIT + UNIT / 2: 1 + 2 * UNIT,
    1 + UNIT + UNIT / 2 - LEAST: 1 + UNIT,
    1 + LEAST: 1,
    2 - LEAST: 2,
    -1 - UNIT / 2: -1 - UNIT,
    -1 - UNIT / 2 + LEAST: -1,
    -2 + UNIT / 4: -2,
    1 + 3 * UNIT: 1 + 3 * UNIT,
    2.0**-126 * (1 + UNIT / 2): 2.0**-126 * (1 + UNIT),
    2.0**127 * (1 + UNIT / 2): 2.0**127 * (1 + UNIT),
    0.0: 0.0,
}
# Of NaN with few bits cutting makes infinity, and adding half a unit to their bits makes zero.
NANS = [0x7F800001, 0x7FFFFFFF, 0x7FC00000, 0xFF800001, 0xFFFFFFFF]

Product = Callable[[Kernel, Tensor, Tensor], Tensor]  # of (M, K) and (K, N)


def forward(kernel: Kernel, x: Tensor, weight: Tensor) -> Tensor:
    return kernel.forward(x[:, None], weight[None])[0][:, 0]


def grad_input(kernel: Kernel, dz: Tensor, weight: Tensor) -> Tensor:
    x = torch.empty(len(dz), 1, weight.size(1))
    dx, _, _ = kernel.backward(dz[:, None], x, weight.mT[None], (True, False, False))
    return dx[:, 0]


def grad_weight(kernel: Kernel, x: Tensor, dz: Tensor) -> Tensor:
    weight = torch.empty(1, len(x), dz.size(1))
    _, dweight, _ = kernel.backward(dz[:, None], x.mT[:, None], weight, (False, True, False))
    return dweight[0]


PRODUCTS = {function.__name__: function for function in (forward, grad_input, grad_weight)}
each_product = pytest.mark.parametrize("product", PRODUCTS.values(), ids=PRODUCTS)


@each_product
@each_kernel
def test_operands_round_to_nearest_with_ties_away_from_zero(kernel: Kernel, product: Product):
    values, rounded = torch.tensor([list(ROUNDED), list(ROUNDED.values())])
    places = torch.randint(len(values), (150, 40))
    one = torch.eye(40)
    assert torch.equal(product(kernel, values[places], one), rounded[places])
    assert torch.equal(product(kernel, one, values[places].mT), rounded[places].mT)


@each_of_sm90
def test_operands_of_hoppers_forward_round_likewise(kernel: Kernel):
    """x as TMA loads it, the weight on its way through registers."""
    values, rounded = torch.tensor([list(ROUNDED), list(ROUNDED.values())])
    places = torch.randint(len(values), (152, 40))
    one = torch.eye(40)
    assert torch.equal(forward(kernel, values[places], one), rounded[places])
    columns = places.mT.contiguous()
    assert torch.equal(forward(kernel, one, values[columns]), rounded[columns])


@each_kernel
def test_bias_gradient_is_not_rounded(kernel: Kernel):
    values = torch.tensor(list(ROUNDED))[:-1]
    dz = torch.zeros(3, 1, len(values))
    dz[1, 0] = values
    _, dweight, dbias = kernel.backward(dz, torch.ones(3, 1, 1), torch.empty(1, 1, len(values)))
    assert torch.equal(dbias[0], values)
    assert torch.equal(dweight[0, 0], torch.tensor(list(ROUNDED.values()))[:-1])


@each_product
@each_kernel
def test_nan_and_infinity_stay_what_they_are(kernel: Kernel, product: Product):
    nans = torch.tensor(NANS, dtype=torch.int64).to(torch.int32).view(torch.float32)
    specials = torch.cat([nans, torch.tensor([torch.inf, -torch.inf])])
    operand = torch.ones(70, 40)
    operand[torch.arange(7) * 10, torch.arange(7) * 5 + 2] = specials
    expected = torch.full((70, 33), 40.0)
    expected[torch.arange(7) * 10] = specials[:, None]
    for actual in (
        product(kernel, operand, torch.ones(40, 33)),
        product(kernel, torch.ones(33, 40), operand.mT).mT,
    ):
        assert torch.equal(actual.isnan(), expected.isnan())
        assert torch.equal(actual.nan_to_num(nan=0), expected.nan_to_num(nan=0))


@each_of_sm90
def test_nan_and_infinity_stay_what_they_are_in_hoppers_forward(kernel: Kernel):
    nans = torch.tensor(NANS, dtype=torch.int64).to(torch.int32).view(torch.float32)
    specials = torch.cat([nans, torch.tensor([torch.inf, -torch.inf])])
    x, weight = torch.ones(70, 40), torch.ones(40, 72)
    x[torch.arange(7) * 10, torch.arange(7) * 5 + 2] = specials
    weight[torch.arange(7) * 5 + 2, torch.arange(7) * 10] = specials
    of_x, of_weight = torch.full((70, 72), 40.0), torch.full((70, 72), 40.0)
    of_x[torch.arange(7) * 10] = specials[:, None]
    of_weight[:, torch.arange(7) * 10] = specials
    for actual, expected in (
        (forward(kernel, x, torch.ones(40, 72)), of_x),
        (forward(kernel, torch.ones(70, 40), weight), of_weight),
    ):
        assert torch.equal(actual.isnan(), expected.isnan())
        assert torch.equal(actual.nan_to_num(nan=0), expected.nan_to_num(nan=0))
