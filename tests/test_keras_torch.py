"""Does the Keras layer run through the op on the torch backend, without a copy of its windows?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from keras_backend import keras

import per_step_dense
from per_step_dense._geometry import Geometry
from per_step_dense.keras import LocallyConnected1D, _compute


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the op's function is called with."""
    seen: list[dict[str, Any]] = []

    def spy(x: torch.Tensor, weight: torch.Tensor, bias: Any, *, activation: Any) -> torch.Tensor:
        seen.append({"x": x, "weight": weight, "bias": bias, "activation": activation})
        return per_step_dense.per_step_dense(x, weight, bias, activation=activation)

    monkeypatch.setattr(_compute, "per_step_dense", spy)
    return seen


@pytest.mark.parametrize(
    ("activation", "fused"), [("relu", "relu"), ("swish", "silu"), (None, None), ("softmax", None)]
)
def test_the_op_is_given_a_view_the_kernel_itself_and_the_activation(
    calls: list[dict[str, Any]], activation: str | None, fused: str | None
) -> None:
    layer = LocallyConnected1D(3, 2, activation=activation)
    x = torch.randn(4, 9, 5)
    layer(x)
    (call,) = calls
    assert call["x"].untyped_storage().data_ptr() == x.untyped_storage().data_ptr()
    assert call["weight"].data_ptr() == layer.kernel.value.data_ptr()
    assert call["bias"].data_ptr() == layer.bias.value.data_ptr()
    assert call["activation"] == fused


def test_positions_are_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = LocallyConnected1D(3, 2, implementation=3)
    x = np.ones((4, 9, 5), np.float32)
    first = layer(x)
    monkeypatch.setattr(Geometry, "positions", None)
    assert torch.equal(layer(x), first)


@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel_size": 1},
        {"stride": 3},
        {"implementation": 2, "data_format": "channels_first"},
        {"implementation": 2, "padding": "same"},
        {"implementation": 3, "padding": "same", "stride": 2},
    ],
    ids=lambda options: "_".join(map(str, options.values())) or "plain",
)
def test_the_op_computes_what_other_backends_do(options: dict[str, Any], has_bias: bool) -> None:
    """By ``keras.ops``, which torch has as well."""
    geometry = Geometry(9, 5, 3, **{"kernel_size": 2, **options})
    x = torch.randn(4, 9, 5, dtype=torch.float64)
    kernel = torch.randn(geometry.kernel_shape, dtype=torch.float64)
    bias = torch.randn(geometry.out_steps, 3, dtype=torch.float64) if has_bias else None
    x = x.mT if geometry.is_channels_first else x
    ours, others = (
        compute(geometry)(x, kernel, bias, keras.activations.tanh)
        for compute in (_compute._Torch, _compute._Ops)
    )
    torch.testing.assert_close(ours, others, rtol=1e-12, atol=1e-12)


def test_torch_trains_it() -> None:
    layer = LocallyConnected1D(3, 2)
    x = torch.randn(64, 9, 5)
    layer(x)
    target = torch.randn(64, 8, 3)
    optimizer = torch.optim.Adam(layer.parameters(), 0.05)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.mse_loss(layer(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_it_runs_where_it_is_moved(gpu: torch.device) -> None:
    for implementation in (1, 2, 3):
        layer = LocallyConnected1D(3, 2, implementation=implementation)
        layer.build((None, 9, 5))
        x = torch.randn(4, 9, 5)
        expected = layer.to("cpu")(x)
        torch.testing.assert_close(layer.to(gpu)(x.to(gpu)).cpu(), expected)


def test_it_is_an_attribute_of_the_package_too() -> None:
    assert per_step_dense.keras.LocallyConnected1D is LocallyConnected1D
    assert keras.saving.get_custom_objects()["LocallyConnected1D"] is LocallyConnected1D
