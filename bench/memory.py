"""The most memory that a call holds at any one time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._pytree import tree_leaves


class Tracker:
    """Counts what torch's allocator of a device gives out."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def peak_and_results(self, call: Callable[[], object]) -> tuple[int, int]:
        """Bytes beyond those held before, at the peak; and bytes of the tensors returned."""
        peak, result = self._on_cuda(call) if self._device.type == "cuda" else _on_cpu(call)
        tensors = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        return peak, sum(tensor.nbytes for tensor in tensors)

    def _on_cuda(self, call: Callable[[], object]) -> tuple[int, object]:
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_allocated(self._device)
        result = call()
        torch.cuda.synchronize(self._device)
        return torch.cuda.max_memory_allocated(self._device) - before, result


def _on_cpu(call: Callable[[], object]) -> tuple[int, object]:
    """By the profiler: the CPU's allocator keeps no count of its own."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as seen:
        result = call()
    kineto = seen.profiler.kineto_results
    changes = [
        (event.start_ns(), event.nbytes())
        for event in kineto.events()
        if event.name() == "[memory]"
    ]
    held = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        held += change
        peak = max(peak, held)
    return peak, result
