"""A rival with a row's work in its hands: what the gate checks and the clocks time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .memory import Tracker
from .record import Clock, Layout, Memory, Pass
from .timing import Call, Stopwatch, Turn
from .workload import Inputs, Workload

if TYPE_CHECKING:
    from .rivals.base import TorchRival


@dataclass(frozen=True)
class Results:
    """In the layouts of the layer, whatever the rival's own are; None where not asked for."""

    y: Tensor  # (B, T, O)
    dx: Tensor | None = None  # as x
    dweight: Tensor | None = None  # as weight
    dbias: Tensor | None = None  # (T, O)

    def items(self) -> dict[str, Tensor]:
        """Those that are there, by name."""
        named = {"y": self.y, "dx": self.dx, "dweight": self.dweight, "dbias": self.dbias}
        return {name: tensor for name, tensor in named.items() if tensor is not None}


class Contestant(ABC):
    """One rival, ready to compute one row's work."""

    @property
    @abstractmethod
    def is_contiguous(self) -> bool:
        """Whether the result is left in (B, T, O) order."""

    @abstractmethod
    def results(self) -> Results:
        """What it computes, of the first set of inputs."""

    @abstractmethod
    def turn(self, clock: Clock, layout: Layout, calls: int) -> float:
        """Microseconds a call, of about so many calls.

        Raises:
            NoTimingError: where this rival cannot be timed so.
        """

    @abstractmethod
    def memory(self) -> Memory | None:
        """What a call of the layout CONTIGUOUS needs; None where that cannot be seen."""

    @abstractmethod
    def close(self) -> None:
        """Gives back what it holds."""


class TorchContestant(Contestant):
    """Calls in this process."""

    def __init__(
        self,
        rival: TorchRival,
        workload: Workload,
        sets: Sequence[Inputs],
        stopwatches: Mapping[Clock, Stopwatch],
    ) -> None:
        self._rival = rival
        self._workload = workload
        self._sets = sets
        self._stopwatches = stopwatches
        self._function = rival.function(workload)
        self._arguments = [rival.arguments(inputs, workload) for inputs in sets]
        self._dys = [rival.dy(inputs, workload) for inputs in sets]
        self._turns: dict[tuple[Clock, Layout], Turn] = {}
        for arguments in self._arguments:
            for leaf in rival.leaves(arguments):
                leaf.requires_grad_(self._records)

    @property
    def _records(self) -> bool:
        return self._workload.computed is not Pass.FORWARD

    @cached_property
    def is_contiguous(self) -> bool:
        with torch.set_grad_enabled(self._records):
            return self._function(*self._arguments[0]).is_contiguous()

    def results(self) -> Results:
        arguments = self._arguments[0]
        with torch.set_grad_enabled(self._records):
            y = self._function(*arguments)
        if not self._workload.computed.has_gradients:
            return self._rival.results(y.detach(), (), self._workload)
        gradients = torch.autograd.grad(y, self._rival.leaves(arguments), self._dys[0])
        return self._rival.results(y.detach(), gradients, self._workload)

    def turn(self, clock: Clock, layout: Layout, calls: int) -> float:
        with torch.set_grad_enabled(self._records):
            if (clock, layout) not in self._turns:
                stopwatch = self._stopwatches[clock]
                with stopwatch.preparing():
                    bound = self._calls(layout, len(self._sets) if clock is Clock.COLD else 1)
                self._turns[clock, layout] = stopwatch.bind(bound)
            return self._turns[clock, layout](calls)

    def memory(self) -> Memory:
        with torch.set_grad_enabled(self._records):
            (call,) = self._calls(Layout.CONTIGUOUS, 1)
            given = sum(
                tensor.nbytes
                for tensor in (*self._rival.leaves(self._arguments[0]), *self._dy_if_given())
            )
            call()  # what is allocated once, and kept, stays out of the count
            peak, made = Tracker(self._workload.device).peak_and_results(call)
        return Memory(peak_bytes=given + peak, tensors_bytes=given + made)

    def close(self) -> None:
        self._turns.clear()
        self._arguments.clear()
        self._dys.clear()

    def _dy_if_given(self) -> tuple[Tensor, ...]:
        return (self._dys[0],) if self._workload.computed.has_gradients else ()

    def _calls(self, layout: Layout, sets: int) -> list[Call]:
        """One for each of the first so many sets of inputs."""
        forward = self._function
        if layout is Layout.CONTIGUOUS and not self.is_contiguous:
            forward = partial(_then_contiguous, forward)
        return [
            self._call(forward, arguments, dy)
            for arguments, dy in zip(self._arguments[:sets], self._dys, strict=False)
        ]

    def _call(
        self, forward: Callable[..., Tensor], arguments: tuple[object, ...], dy: Tensor
    ) -> Call:
        leaves = self._rival.leaves(arguments)
        match self._workload.computed:
            case Pass.BACKWARD:
                y = forward(*arguments)
                return partial(torch.autograd.grad, y, leaves, dy, retain_graph=True)
            case Pass.BOTH:
                return lambda: torch.autograd.grad(forward(*arguments), leaves, dy)
            case _:
                return partial(forward, *arguments)


def _then_contiguous(forward: Callable[..., Tensor], *arguments: object) -> Tensor:
    return forward(*arguments).contiguous()
