"""Does a call on the GPU allocate and launch only what its results need?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import Arguments, of_sizes
from torch import Tensor
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

import per_step_dense as psd
from per_step_dense.config import kernel_name

# Every tensor is a multiple of the allocator's 512 bytes, so that sums are exact.
B, T, I, O = 64, 8, 32, 128  # noqa: E741
FLOAT32_BYTES = 4
Y = B * T * O * FLOAT32_BYTES
DX = B * T * I * FLOAT32_BYTES
DWEIGHT = T * I * O * FLOAT32_BYTES
DBIAS = T * O * FLOAT32_BYTES


@pytest.fixture
def args(gpu: torch.device) -> Arguments:
    made = Arguments(*(tensor.clone() for tensor in of_sizes(B, T, I, O, torch.float32, gpu)))
    if kernel_name(made.x, made.weight).startswith(("aten", "reference")):
        pytest.fail("this build has no CUDA kernels", pytrace=False)
    return made


def requiring_grad(args: Arguments) -> Arguments:
    return Arguments(*(tensor.requires_grad_() for tensor in args))


def peak_bytes(call: Callable[[], object]) -> int:
    """The most memory that the call held at any one time, beyond what was held before it."""
    call()  # what is allocated once stays out of the count
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    result = call()
    torch.cuda.synchronize()
    del result
    return torch.cuda.max_memory_allocated() - before


def launches(call: Callable[[], object]) -> list[str]:
    """The names of the kernels, copies and fills that the call launches."""
    call()
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as profiler:
        call()
        torch.cuda.synchronize()
    return [event.name for event in profiler.events() if event.device_type == DeviceType.CUDA]


def layouts(args: Arguments) -> dict[str, Tensor]:
    """The values of x in several layouts that no copy should be made of."""
    return {
        "contiguous": args.x,
        "steps_first": args.x.transpose(0, 1).contiguous().transpose(0, 1),
        "expanded": args.x[:1].expand(B, T, I),
        "windows": torch.randn(B, T + I - 1, device=args.x.device).unfold(1, I, 1),
    }


@pytest.mark.parametrize("layout", ["contiguous", "steps_first", "expanded", "windows"])
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_forward_allocates_its_result(args: Arguments, activation: str | None, layout: str) -> None:
    x = layouts(args)[layout]
    assert peak_bytes(lambda: psd.per_step_dense(x, *args[1:], activation=activation)) == Y


@pytest.mark.parametrize(
    ("activation", "expected"), [(None, Y), ("relu", Y), ("tanh", Y), ("gelu", 2 * Y)]
)
def test_forward_for_a_backward_keeps_z_at_most(
    args: Arguments, activation: str | None, expected: int
) -> None:
    args = requiring_grad(args)
    assert peak_bytes(lambda: psd.per_step_dense(*args, activation=activation)) == expected


@pytest.mark.parametrize(
    ("activation", "dz"), [(None, 0), ("relu", Y), ("gelu", Y)], ids=["None", "relu", "gelu"]
)
def test_backward_allocates_gradients_and_dz(
    args: Arguments, activation: str | None, dz: int
) -> None:
    args = requiring_grad(args)
    y = psd.per_step_dense(*args, activation=activation)
    dy = torch.randn_like(y)
    peak = peak_bytes(lambda: torch.autograd.grad(y, args, dy, retain_graph=True))
    assert peak == dz + DX + DWEIGHT + DBIAS


@pytest.mark.parametrize(("name", "expected"), [("x", DX), ("weight", DWEIGHT), ("bias", DBIAS)])
def test_backward_allocates_only_the_gradient_asked_for(
    args: Arguments, name: str, expected: int
) -> None:
    args = requiring_grad(args)
    y = psd.per_step_dense(*args)
    dy = torch.randn_like(y)
    asked = getattr(args, name)
    assert peak_bytes(lambda: torch.autograd.grad(y, asked, dy, retain_graph=True)) == expected


def test_an_expanded_gradient_is_not_copied(args: Arguments) -> None:
    args = requiring_grad(args)
    y = psd.per_step_dense(*args)
    dy = torch.ones((), device=y.device).expand_as(y)
    peak = peak_bytes(lambda: torch.autograd.grad(y, args, dy, retain_graph=True))
    assert peak == DX + DWEIGHT + DBIAS


@pytest.mark.parametrize("activation", [None, "relu", "gelu", "sigmoid"])
def test_forward_is_one_launch(args: Arguments, activation: str | None) -> None:
    assert len(launches(lambda: psd.per_step_dense(*args, activation=activation))) == 1
    args = requiring_grad(args)
    assert len(launches(lambda: psd.per_step_dense(*args, activation=activation))) == 1


@pytest.mark.parametrize(
    ("activation", "expected"), [(None, 1), ("relu", 2), ("gelu", 2), ("sigmoid", 2)]
)
def test_backward_is_one_launch_and_one_for_the_activation(
    args: Arguments, activation: str | None, expected: int
) -> None:
    args = requiring_grad(args)
    y = psd.per_step_dense(*args, activation=activation)
    dy = torch.randn_like(y)
    names = launches(lambda: torch.autograd.grad(y, args, dy, retain_graph=True))
    assert len(names) == expected, names
