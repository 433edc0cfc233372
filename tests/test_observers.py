"""Do torch's FLOP counter and profiler see what is computed?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import Arguments, of_sizes
from torch.utils.flop_counter import FlopCounterMode

import per_step_dense as psd
from per_step_dense import _ops

B, T, I, O = 6, 5, 8, 16  # noqa: E741
PRODUCT = 2 * B * T * I * O

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)


def arguments(device: torch.device, *requiring: str) -> Arguments:
    args = of_sizes(B, T, I, O, torch.float32, device)
    for name in requiring:
        getattr(args, name).requires_grad_()
    return args


def flops_of(call: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


# FLOPs, which are those of torch.bmm: products, neither bias nor activation


@pytest.mark.parametrize("activation", [None, "gelu"])
def test_forward_is_one_product(device: torch.device, activation: str | None) -> None:
    args = arguments(device)
    assert flops_of(lambda: psd.per_step_dense(*args, activation=activation)) == PRODUCT
    x = args.x.view(2, 3, T, I)
    assert flops_of(lambda: psd.per_step_dense(x, args.weight)) == PRODUCT


@pytest.mark.parametrize(
    ("requiring", "products"),
    [
        (("x", "weight", "bias"), 2),
        (("x",), 1),
        (("weight",), 1),
        (("bias",), 0),
        (("x", "bias"), 1),
    ],
    ids=str,
)
def test_backward_is_a_product_for_each_gradient(
    device: torch.device, requiring: tuple[str, ...], products: int
) -> None:
    y = psd.per_step_dense(*arguments(device, *requiring), activation="gelu")
    assert flops_of(lambda: y.sum().backward()) == products * PRODUCT


def test_accumulation_is_a_backward(device: torch.device) -> None:
    x, weight, bias = arguments(device)
    dz = torch.randn(B, T, O, device=device)
    accumulate = torch.ops.per_step_dense.backward_accumulate
    gradients = torch.zeros_like(weight), torch.zeros_like(bias)
    assert flops_of(lambda: accumulate(dz, x, weight, *gradients)) == 2 * PRODUCT


def test_it_counts_what_bmm_counts() -> None:
    x, weight, _ = arguments(torch.device("cpu"))
    assert flops_of(lambda: torch.bmm(x.transpose(0, 1), weight)) == PRODUCT


# Ranges


def ranges_of(call: Callable[[], object]) -> list[str]:
    with torch.autograd.profiler.profile() as profiler:
        call()
    names = {event.name for event in profiler.function_events}
    return sorted(name for name in names if name.startswith("per_step_dense "))


def named(plan: psd.Plan) -> str:
    return f"per_step_dense {plan.kernel}" + (f" {plan.tile}" if plan.tile else "")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_a_range_is_named_as_the_plan(device: torch.device, dtype: torch.dtype) -> None:
    args = of_sizes(B, T, I, O, dtype, device)
    plan = psd.explain(*args)
    assert ranges_of(lambda: psd.per_step_dense(*args)) == [named(plan)]
    x, weight, _ = args
    dz = torch.randn(B, T, O, dtype=dtype, device=device)
    backward = plan.backward
    assert backward is not None
    expected = {named(part) for part in backward.parts or (backward,)}
    found = ranges_of(lambda: torch.ops.per_step_dense.backward(dz, x, weight, True))
    assert found == sorted(expected)
