"""Whether a sample's result is the same to the bit in batches of any size."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import partial
from typing import Final

import torch
from torch import Tensor

import per_step_dense as psd

from ..precision import float32_products
from .determinism import compare
from .journal import Unit
from .kernels import ACTIVATION, AUTO, Kernel, Sizes, kernels_on, random_inputs
from .task import Task, sums

# The largest batch of each layer, which its samples are taken from: other batches get other
# kernels, tiles and splits of the sums.
LAYERS: Final[tuple[Sizes, ...]] = (
    (4100, 10, 4, 8),
    (1030, 3, 136, 264),
    (1030, 2, 1600, 72),
    (515, 3, 900, 1),
    (515, 3, 67, 129),
    (4100, 1, 256, 256),
)
BATCHES: Final = (1, 2, 7, 16, 64, 65, 129, 256, 514, 1029, 4099)


def tasks(device: torch.device) -> Iterator[Task]:
    """One for each arithmetic and layer."""
    chosen = (kernel for kernel in kernels_on(device) if kernel.family == AUTO)
    for kernel in chosen:
        for sizes in LAYERS:
            run = partial(check_layer, kernel, sizes, device)
            yield Task(f"{kernel.arithmetic} {','.join(map(str, sizes))}", run)


def figures(units: Collection[Unit]) -> dict[str, float]:
    """Of all tasks: layers, and batches that were compared."""
    return {"layers": len(units), **sums(units)}


def check_layer(kernel: Kernel, sizes: Sizes, device: torch.device) -> dict[str, float]:
    """The first samples and the last, alone, against the same in the whole batch; y and dx.

    Raises:
        DifferentBits: where a sample comes out otherwise.
    """
    b = sizes[0]
    x, weight, bias, dy = random_inputs(sizes, kernel.dtype, device)
    batches = [size for size in BATCHES if size < b]
    with float32_products(kernel.precision), psd.batch_invariant():
        whole = _forward_and_dx(x, weight, bias, dy)
        for size in batches:
            for where, samples in (("first", slice(size)), ("last", slice(b - size, b))):
                alone = _forward_and_dx(x[samples], weight, bias, dy[samples])
                expected = tuple(result[samples] for result in whole)
                compare(alone, expected, f"the {where} {size} of {b} samples")
    return {"batches": 2 * len(batches)}


def _forward_and_dx(x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
    x = x.detach().requires_grad_()
    y = psd.per_step_dense(x, weight, bias, activation=ACTIVATION)
    (dx,) = torch.autograd.grad(y, x, dy)
    return y.detach(), dx
