"""Float32 samples of different lengths on the CPU: by this package's kernels, on any threads."""

from __future__ import annotations

from collections.abc import Callable

import cases
import pytest
import torch
import truth
from ragged import packed, padded, sample_by_sample, torchs_own, unpacked
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

import per_step_dense as psd

SIZES = {  # T, I, O: small enough for the kernels also where torch has longer vectors
    "narrow": (9, 40, 50),
    "two steps": (2, 19, 37),
    "more steps than rows": (301, 5, 4),
    "two blocks of terms": (3, 300, 9),
    "two blocks of columns": (3, 9, 290),
}
BATCH = 150


def lengths_of(order: str, t: int) -> tuple[int, ...]:
    lengths = [1 + (b * 37 + b // 3) % t for b in range(BATCH)]
    return tuple(sorted(lengths, reverse=True) if order == "sorted" else lengths)


def of_packed(x: Tensor, weight: Tensor, bias: Tensor, lengths: tuple[int, ...]) -> Tensor:
    rows = packed(x.nan_to_num(), lengths)
    return unpacked(psd.per_step_dense(rows, weight, bias, activation="gelu"), x.size(1))


def of_lengths(x: Tensor, weight: Tensor, bias: Tensor, lengths: tuple[int, ...]) -> Tensor:
    own = torch.tensor(lengths)
    return psd.per_step_dense(x, weight, bias, activation="gelu", lengths=own)


LAYERS = {"packed": of_packed, "sorted": of_lengths, "any_order": of_lengths}
each_layer = pytest.mark.parametrize("name", LAYERS)
each_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


def arguments(name: str, sizes: tuple[int, int, int]) -> tuple[list[Tensor], tuple[int, ...]]:
    t, i, o = sizes
    new, lengths = cases.New(torch.float32, "cpu"), lengths_of(name, t)
    # As layers are initialised: z is where the activation bends, for all rows and not by luck.
    weight = new(t, i, o).div_(i**0.5)
    args = padded(new, lengths, t, i), weight, new(t, o)
    return [tensor.requires_grad_() for tensor in args], lengths


def results(layer: Callable[..., Tensor], args: list[Tensor], lengths: tuple[int, ...], dy: Tensor):
    y = layer(*args, lengths)
    return y.detach(), *torch.autograd.grad(y, args, dy.to(y.dtype))


@each_layer
@each_size
def test_values_and_gradients(name: str, sizes: tuple[int, int, int], threads: int) -> None:
    args, lengths = arguments(name, sizes)
    exact_args = [truth.in_fp64(tensor) for tensor in args]
    dy = torch.randn(BATCH, sizes[0], sizes[2], dtype=torch.float64)

    def as_gelu(layer: Callable[..., Tensor]) -> Callable[..., Tensor]:
        return lambda *given: layer(*given, "gelu")

    found = results(LAYERS[name], args, lengths, dy)
    torchs = results(as_gelu(torchs_own), args, lengths, dy)
    exact = results(as_gelu(sample_by_sample), exact_args, lengths, dy)
    for own in zip(found, torchs, exact, strict=True):
        assert_as_close_as_torch(*own)


@each_layer
@each_size
def test_bits_do_not_depend_on_threads(
    name: str, sizes: tuple[int, int, int], threads: int
) -> None:
    args, lengths = arguments(name, sizes)
    dy = torch.randn(BATCH, sizes[0], sizes[2])
    found = results(LAYERS[name], args, lengths, dy)
    torch.set_num_threads(1)
    for one, alone in zip(found, results(LAYERS[name], args, lengths, dy), strict=True):
        assert torch.equal(one, alone)


@each_layer
def test_the_kernels_compute_it(name: str) -> None:
    if torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("needs a CPU with AVX2")
    args, lengths = arguments(name, SIZES["narrow"])
    with profile(activities=[ProfilerActivity.CPU], acc_events=True) as seen:
        LAYERS[name](*args, lengths).sum().backward()
    ranges = [event.name for event in seen.events() if event.name.startswith("per_step_dense ")]
    assert ranges.count("per_step_dense avx2") >= 2  # forward and backward
    assert "per_step_dense aten" not in ranges
