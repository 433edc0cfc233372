"""Calls under batch_invariant(), and whether results depend on who else is in the batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cases
import torch
import truth
from torch import Tensor

import per_step_dense as psd

ACTIVATIONS = tuple(truth.ACTIVATIONS)

SIZES = {
    "seed": (300, 10, 4, 8),
    "odd": (71, 3, 37, 29),
    "many_terms": (130, 2, 301, 259),
    "one_output": (65, 2, 300, 1),
    "one_input": (65, 2, 1, 300),
    "one_step": (257, 1, 130, 33),
}


def rows_and_gradients(
    args: cases.Arguments, dy: Tensor, activation: str | None
) -> tuple[Tensor, Tensor]:
    """y and dx, each sample's own."""
    x = args.x.detach().requires_grad_()
    with psd.batch_invariant():
        y = psd.per_step_dense(x, args.weight, args.bias, activation=activation)
    (dx,) = torch.autograd.grad(y, x, dy)  # outside: the backward keeps its forward's choice
    return y.detach(), dx


def parts_of(b: int) -> Iterator[tuple[str, Tensor]]:
    """Indices of samples: how a batch may be cut and mixed."""
    yield "the first alone", torch.tensor([0])
    yield "the last alone", torch.tensor([b - 1])
    yield "all but the first", torch.arange(1, b)
    yield "the middle", torch.arange(b // 3, b // 3 + 7)
    yield "turned around", torch.arange(b).flip(0)
    yield "twice as many", torch.arange(2 * b) % b


def assert_no_sample_depends_on_others(
    compute: Callable[[Tensor], tuple[Tensor, ...]], b: int
) -> None:
    """``compute(indices)`` has results of these samples of all b, in this order."""
    everybody = compute(torch.arange(b))
    for name, indices in parts_of(b):
        for result, of_all in zip(compute(indices), everybody, strict=True):
            assert torch.equal(result, of_all[indices.to(of_all.device)]), name
