"""What a rival is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import ClassVar, Final

from torch import Tensor
from torch.nn import functional

from per_step_dense._types import Activation

from ..contestant import Contestant, Results, TorchContestant
from ..record import Clock
from ..timing import Stopwatch
from ..workload import Inputs, Workload

Function = Callable[..., Tensor]
Gradients = tuple[Tensor, Tensor, Tensor | None]  # of x, weight and bias


class Rival(ABC):
    """One way to compute the layer; a subclass's docstring says what is called."""

    name: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    """The modules that it imports, beside torch."""
    install: ClassVar[str] = ""
    """The line that installs them."""
    only_when_named: ClassVar[bool] = False
    """Takes too long to prepare to run unasked."""

    @property
    def summary(self) -> str:
        """What is called, in a line: the docstring of its class."""
        return (self.__doc__ or "").rstrip(".")

    def why_not_installed(self) -> str | None:
        """What is missing, and the line that installs it."""
        missing = [module for module in self.needs if find_spec(module) is None]
        return f"needs {' and '.join(missing)}: {self.install}" if missing else None

    def why_not(self, workload: Workload) -> str | None:
        """Why it cannot do this work; None where it can."""
        return None

    @abstractmethod
    def enter(
        self,
        workload: Workload,
        sets: Sequence[Inputs],
        stopwatches: Mapping[Clock, Stopwatch],
    ) -> Contestant:
        """Takes the work up: whatever is done once, such as compiling, is done here."""

    def kernel(self, workload: Workload, inputs: Inputs) -> str | None:
        """Which kernel runs, where that is known without a profiler."""
        return None


class TorchRival(Rival):
    """One that is called in this process, on torch's tensors."""

    @abstractmethod
    def function(self, workload: Workload) -> Function:
        """What a user would call with ``arguments``: the activated result, (B, T, O)."""

    def arguments(self, inputs: Inputs, workload: Workload) -> tuple[object, ...]:
        """The input and the parameters as it has them; x, weight and bias unless overridden."""
        tensors = (inputs.x, inputs.weight, inputs.bias)
        return tuple(tensor.detach() for tensor in tensors if tensor is not None)

    def dy(self, inputs: Inputs, workload: Workload) -> Tensor:
        """The gradient of the result, as the result lies."""
        return inputs.dy

    def leaves(self, arguments: tuple[object, ...]) -> tuple[Tensor, ...]:
        """What gradients are taken of: the input first."""
        return tuple(argument for argument in arguments if isinstance(argument, Tensor))

    def restore(self, gradients: Sequence[Tensor]) -> Gradients:
        """The gradients of the leaves, in the layouts of x, weight and bias."""
        dx, dweight, *dbias = gradients
        return dx, dweight, dbias[0] if dbias else None

    def results(self, y: Tensor, gradients: Sequence[Tensor], workload: Workload) -> Results:
        """Of the layer, from its own; no gradients where none are computed."""
        return Results(y, *self.restore(gradients)) if gradients else Results(y)

    def enter(
        self,
        workload: Workload,
        sets: Sequence[Inputs],
        stopwatches: Mapping[Clock, Stopwatch],
    ) -> TorchContestant:
        return TorchContestant(self, workload, sets, stopwatches)


def activated(function: Function, activation: Activation | None) -> Function:
    """The function, and the activation after it, which is nothing where there is none."""
    if activation is None:
        return function
    activate = ACTIVATIONS[activation]
    return lambda *arguments: activate(function(*arguments))


ACTIVATIONS: Final[Mapping[Activation, Callable[[Tensor], Tensor]]] = {
    "relu": functional.relu,
    "gelu": functional.gelu,
    "gelu_tanh": lambda z: functional.gelu(z, approximate="tanh"),
    "silu": functional.silu,
    "tanh": functional.tanh,
    "sigmoid": functional.sigmoid,
}
