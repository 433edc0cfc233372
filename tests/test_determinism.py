"""Do equal calls give equal bits: again, beside others, on other streams and in a graph?"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext

import cases
import pytest
import torch
from torch import Tensor

import per_step_dense as psd

REPEATS = 20

SIZES = {
    "seed": (32, 10, 4, 8),
    "odd": (33, 3, 37, 29),
    "split_sums": (4096, 1, 40, 24),
    "many_terms": (8, 2, 700, 520),
}

each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
each_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)

Call = Callable[[], tuple[Tensor, ...]]


def layer_and_gradients(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> Call:
    args = [tensor.requires_grad_() for tensor in cases.of_sizes(*sizes, dtype, device)]
    dy = torch.randn(sizes[0], sizes[1], sizes[3], dtype=dtype, device=device)

    def compute() -> tuple[Tensor, ...]:
        y = psd.per_step_dense(*args, activation="gelu")
        return y.detach(), *torch.autograd.grad(y, args, dy)

    return compute


def assert_same_bits(results: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for result, one in zip(results, expected, strict=True):
        assert torch.equal(result, one)


@each_dtype
@each_size
def test_from_run_to_run(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> None:
    compute = layer_and_gradients(sizes, dtype, device)
    expected = compute()
    for _ in range(REPEATS):
        assert_same_bits(compute(), expected)


@each_dtype
@each_size
def test_of_several_threads_at_once(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> None:
    compute = layer_and_gradients(sizes, dtype, device)
    expected = compute()
    with ThreadPoolExecutor(4) as threads:
        for results in threads.map(lambda _: compute(), range(REPEATS)):
            assert_same_bits(results, expected)


@each_dtype
@each_size
def test_on_several_streams_at_once(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, gpu: torch.device
) -> None:
    compute = layer_and_gradients(sizes, dtype, gpu)
    expected = compute()
    torch.cuda.synchronize()
    streams = [torch.cuda.Stream() for _ in range(4)]
    all_results = []
    for n in range(REPEATS):
        with torch.cuda.stream(streams[n % len(streams)]):
            all_results.append(compute())
    torch.cuda.synchronize()
    for results in all_results:
        assert_same_bits(results, expected)


@each_dtype
@each_size
def test_replayed_in_a_graph(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, gpu: torch.device
) -> None:
    compute = layer_and_gradients(sizes, dtype, gpu)
    expected = compute()
    with torch.cuda.stream(torch.cuda.Stream()):
        compute()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = compute()
    for _ in range(REPEATS):
        graph.replay()
        torch.cuda.synchronize()
        assert_same_bits(results, expected)


def torch_spreads_nan(dtype: torch.dtype) -> bool:
    """Whether NaN in one row of x leaks into others of ``torch.mm``.

    oneDNN's bfloat16 does so on CPUs with AMX, where a sum's terms are no multiple of 32:
    https://github.com/uxlfoundation/oneDNN/issues/5717.
    """
    x = torch.zeros(64, 37, dtype=dtype)
    x[::2] = torch.nan
    return bool(torch.mm(x, torch.zeros(37, 32, dtype=dtype))[1::2].isnan().any())


@each_dtype
@each_size
@pytest.mark.parametrize("others", ["other_numbers", "nan"])
@pytest.mark.parametrize("order", [nullcontext, psd.batch_invariant])
def test_whatever_the_other_samples_are(
    order: Callable[[], AbstractContextManager[None]],
    others: str,
    sizes: tuple[int, int, int, int],
    dtype: torch.dtype,
    device: torch.device,
) -> None:
    by_torch = device.type == "cpu" and order is nullcontext
    if others == "nan" and by_torch and torch_spreads_nan(dtype):
        pytest.skip("torch's own products spread NaN to other rows on this CPU")
    args = cases.of_sizes(*sizes, dtype, device)
    dy = torch.randn(sizes[0], sizes[1], sizes[3], dtype=dtype, device=device)
    own = slice(2, 3)

    def compute(x: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        x = x.detach().requires_grad_()
        y = psd.per_step_dense(x, *args[1:], activation="silu")
        (dx,) = torch.autograd.grad(y, x, dy)
        return y[own].detach(), dx[own]

    def among_others(tensor: Tensor) -> Tensor:
        changed = torch.randn_like(tensor)
        if others == "nan":
            changed.fill_(torch.nan)
        changed[own] = tensor[own]
        return changed

    with order():
        assert_same_bits(compute(among_others(args.x), among_others(dy)), compute(args.x, dy))
