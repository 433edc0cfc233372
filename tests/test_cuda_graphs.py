"""Do calls and their gradients replay in a CUDA graph, without the host having to wait for them?"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import per_step_dense as psd

SIZES = [(32, 10, 4, 8), (256, 7, 200, 200), (1000, 3, 131, 77), (2048, 2, 512, 256), (2, 3, 9, 5)]


def model_and_input(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> tuple[psd.PerStepDense, Tensor]:
    b, t, i, o = sizes
    layer = psd.PerStepDense(t, i, o, activation="gelu", dtype=dtype, device=device)
    return layer, torch.randn(b, t, i, dtype=dtype, device=device, requires_grad=True)


def step(layer: psd.PerStepDense, x: Tensor) -> tuple[Tensor, ...]:
    y = layer(x)
    return (y, *torch.autograd.grad(y.float().square().mean(), (x, *layer.parameters())))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_a_step_replays(
    gpu: torch.device, sizes: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    layer, x = model_and_input(sizes, dtype, gpu)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # what is set up by first calls cannot be captured
            step(layer, x)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = step(layer, x)
    for _ in range(3):
        with torch.no_grad():
            x.copy_(torch.randn_like(x))
            layer.weight.mul_(1.1)
        graph.replay()
        for mine, exact in zip(captured, step(layer, x), strict=True):
            assert torch.equal(mine, exact)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_nothing_waits_for_the_gpu(
    gpu: torch.device, sizes: tuple[int, int, int, int], dtype: torch.dtype
) -> None:
    layer, x = model_and_input(sizes, dtype, gpu)
    step(layer, x)
    torch.cuda.set_sync_debug_mode("error")
    try:
        step(layer, x)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_all_memory_is_the_allocators(gpu: torch.device, sizes: tuple[int, int, int, int]) -> None:
    """Nothing is taken from the device by a repeated call, and nothing is left behind."""
    layer, x = model_and_input(sizes, torch.float32, gpu)
    for _ in range(2):
        step(layer, x)
    torch.cuda.synchronize()
    free, _ = torch.cuda.mem_get_info(gpu)
    allocated = torch.cuda.memory_allocated(gpu)
    for _ in range(3):
        step(layer, x)
    torch.cuda.synchronize()
    assert torch.cuda.mem_get_info(gpu)[0] == free
    assert torch.cuda.memory_allocated(gpu) == allocated


def test_compiled_layer_reduces_overhead_by_graphs(gpu: torch.device) -> None:
    layer, x = model_and_input(SIZES[0], torch.float32, gpu)
    compiled = torch.compile(layer, mode="reduce-overhead", fullgraph=True)
    for _ in range(4):
        torch.testing.assert_close(compiled(x).clone(), layer(x))
