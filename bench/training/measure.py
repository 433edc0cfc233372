"""Steps per second of one model with each layer in its place, in turns."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from per_step_dense._types import Activation

from ..gate import WrongError
from ..memory import Tracker
from ..record import Outcome, Timing, TrainingResult, TrainingRow
from ..row import describe_error
from ..timing import Budget, Turn, WallStopwatch, take_turns
from .layers import Layer
from .models import Model, ModelCase

Say = Callable[[str], None]

TOLERANCE = 2e-5
"""Of a gradient, over its largest value: float32's rounding through several layers."""


@dataclass
class Trainer:
    """A model, its optimizer and one batch."""

    model: Model
    x: Tensor
    target: Tensor

    def __post_init__(self) -> None:
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-3, fused=True)

    def backward(self) -> None:
        """Leaves the gradients of the loss in the parameters."""
        self.optimizer.zero_grad(set_to_none=True)
        functional.mse_loss(self.model(self.x), self.target).backward()

    def step(self) -> None:
        """One step of training."""
        self.backward()
        self.optimizer.step()

    def held_bytes(self) -> int:
        """Of the batch, the parameters and the optimizer's state."""
        state = [value for slots in self.optimizer.state.values() for value in slots.values()]
        tensors = (self.x, self.target, *self.model.parameters(), *state)
        return sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))


def measure_model(
    case: ModelCase,
    layers: Mapping[str, type[Layer]],
    device: torch.device,
    budget: Budget,
    say: Say = lambda text: None,
) -> TrainingRow:
    """Checks the gradients of every model against float64's, and times those that are right."""
    results: dict[str, TrainingResult] = {}
    turns: dict[str, Turn] = {}
    peaks: dict[str, int] = {}
    truth = layer_gradients(make_trainer(case, layers["einsum"], device, torch.float64))
    for name, layer in layers.items():
        say(f"{name}: checking")
        try:
            trainer = make_trainer(case, layer, device)
            check_gradients(layer_gradients(trainer), truth)
            for _ in range(2):  # the optimizer's state is made by the first step
                trainer.step()
            peak, _ = Tracker(device).peak_and_results(trainer.step)
            peaks[name] = trainer.held_bytes() + peak
            turns[name] = WallStopwatch().bind([trainer.step])
        except Exception as error:
            results[name] = _failure(name, error)
    say(f"training, {len(turns)} layers in turns")
    for name, outcome in take_turns(turns, budget).items():
        if isinstance(outcome, Timing):
            results[name] = TrainingResult(
                layer=name, outcome=Outcome.MEASURED, timing=outcome, peak_bytes=peaks[name]
            )
        else:
            results[name] = _failure(name, outcome)
    turns.clear()
    gc.collect()
    return TrainingRow(
        model=case.name,
        description=case.description,
        results=tuple(results[name] for name in layers),
    )


def make_trainer(
    case: ModelCase,
    layer: type[Layer],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Trainer:
    """The same weights and the same batch, whatever the layer and the dtype."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(case.batch, *case.model.input_shape)
        target = torch.randn(case.batch, *case.model.target_shape)
        model = case.model(partial(_make_layer, layer))
    model.to(device, dtype)
    return Trainer(model, x.to(device, dtype), target.to(device, dtype))


def layer_gradients(trainer: Trainer) -> list[Tensor]:
    """Of every layer's weight and bias, after one backward."""
    trainer.backward()
    return [gradient for layer in trainer.model.layers() for gradient in layer.gradients()]


def check_gradients(actual: list[Tensor], truth: list[Tensor]) -> None:
    """Raises WrongError where one is further off than float32's rounding explains."""
    for index, (mine, true) in enumerate(zip(actual, truth, strict=True)):
        error = ((mine.double() - true).abs().max() / true.abs().max()).item()
        if not error <= TOLERANCE:
            raise WrongError(
                f"gradient {index} is off by {error:.2g} of its largest value; "
                f"allowed are {TOLERANCE:.2g}"
            )


def _make_layer(
    layer: type[Layer], steps: int, inputs: int, outputs: int, activation: Activation | None
) -> Layer:
    """With weights that depend on the sizes alone, and so whatever is drawn after them."""
    made = layer(steps, inputs, outputs, activation)
    torch.manual_seed(steps * inputs * outputs)
    weight = torch.randn(steps, inputs, outputs) * inputs**-0.5
    made.load(weight, 0.1 * torch.randn(steps, outputs))
    return made


def _failure(name: str, error: Exception) -> TrainingResult:
    outcome, reason = describe_error(error)
    return TrainingResult(layer=name, outcome=outcome, reason=reason)
