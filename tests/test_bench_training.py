"""Do the models train alike whatever layer is in them, and is a wrong layer found out?"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

for _package in ("matplotlib", "pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench.gate import WrongError
from bench.record import Outcome
from bench.timing import Budget
from bench.training import LAYERS, MODELS, measure_model
from bench.training.layers import Einsum, Layer, Loop
from bench.training.measure import check_gradients, layer_gradients, make_trainer
from bench.training.models import EnsembleMlp, IndividualLinear, ModelCase, TabularMlp

CPU = torch.device("cpu")
SHORT = Budget(seconds=0.01, turn_seconds=1e-4, most_turns=3)


class SmallLinear(IndividualLinear):
    """Small."""

    channels, past, future = 3, 8, 4
    input_shape, target_shape = (past, channels), (future, channels)


class SmallTabular(TabularMlp):
    """Small."""

    features, frequencies, embedding, hidden = 4, 3, 5, 8
    input_shape = (features,)


SMALL = (
    ModelCase("linear", 6, SmallLinear),
    ModelCase("tabular", 6, SmallTabular),
    ModelCase("ensemble", 6, EnsembleMlp),
)


class WithoutBias(Einsum):
    def preactivation(self, x: Tensor) -> Tensor:
        return torch.einsum("bti,tio->bto", x, self.weight) + 0 * self.bias


class OutOfMemory(Einsum):
    def preactivation(self, x: Tensor) -> Tensor:
        if x.dtype == torch.float32:
            raise torch.OutOfMemoryError("no memory left")
        return super().preactivation(x)


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("case", SMALL, ids=lambda case: case.name)
def test_every_layer_has_the_gradients_of_float64(case: ModelCase, layer: str) -> None:
    truth = layer_gradients(make_trainer(case, Loop, CPU, torch.float64))
    actual = layer_gradients(make_trainer(case, LAYERS[layer], CPU))
    assert len(actual) == len(truth) == (10 if case.model is EnsembleMlp else 2)
    assert all(gradient.abs().max() > 0 for gradient in truth)
    check_gradients(actual, truth)
    with pytest.raises(WrongError, match="gradient 1 is off by"):
        check_gradients([actual[0], 1.001 * actual[1], *actual[2:]], truth)


@pytest.mark.parametrize("layer", LAYERS)
def test_steps_lower_the_loss(layer: str) -> None:
    trainer = make_trainer(SMALL[0], LAYERS[layer], CPU)

    def loss() -> float:
        return torch.nn.functional.mse_loss(trainer.model(trainer.x), trainer.target).item()

    before = loss()
    for _ in range(20):
        trainer.step()
    assert loss() < 0.99 * before


def test_models_begin_alike_whatever_the_layer_draws() -> None:
    heads = [make_trainer(SMALL[1], layer, CPU).model.head for layer in LAYERS.values()]
    assert all(torch.equal(head[0].weight, heads[0][0].weight) for head in heads)


def test_row_of_a_model() -> None:
    layers: dict[str, type[Layer]] = {**LAYERS, "wrong": WithoutBias, "too large": OutOfMemory}
    row = measure_model(SMALL[0], layers, CPU, SHORT)
    assert row.key == ("linear",) and row.description == "batch 6. Small."
    results = {result.layer: result for result in row.results}
    assert list(results) == list(layers)
    for name in LAYERS:
        result = results[name]
        assert result.outcome is Outcome.MEASURED
        assert result.timing is not None and result.timing.median_us > 0
        # Parameters, their gradients and two moments of each; the batch; and what is computed.
        parameters = 4 * 3 * (8 * 4 + 4)
        assert result.peak_bytes is not None and result.peak_bytes >= 4 * parameters
    assert results["wrong"].outcome is Outcome.WRONG
    assert "gradient 0 is off by" in (results["wrong"].reason or "")
    assert results["wrong"].timing is None
    assert results["too large"].outcome is Outcome.OUT_OF_MEMORY


def test_models_are_those_that_people_train() -> None:
    sizes = {
        (layer.weight.shape if isinstance(layer, Einsum) else None)
        for case in MODELS
        for layer in case.model(Einsum).layers()
    }
    assert {(321, 336, 96), (54, 96, 24), (7, 200, 200)} <= sizes
