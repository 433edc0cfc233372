"""Is a grouped convolution with a group for each step taken over as it is?"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from per_step_dense import PerStepDense


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("steps", [1, 7])
def test_computes_what_the_convolution_does(steps: int, dtype: torch.dtype, has_bias: bool) -> None:
    conv = nn.Conv1d(steps * 3, steps * 5, 1, groups=steps, bias=has_bias, dtype=dtype)
    conv.weight.requires_grad_(False)
    layer = PerStepDense.from_grouped_conv1d(conv)
    assert (layer.steps, layer.in_features, layer.out_features) == (steps, 3, 5)
    x = torch.randn(4, steps, 3, dtype=dtype)
    expected = conv(x.reshape(4, steps * 3, 1)).reshape(4, steps, 5)
    tolerance = {"rtol": 0.02, "atol": 0.02} if dtype == torch.bfloat16 else {}
    torch.testing.assert_close(layer(x), expected, **tolerance)
    assert layer.weight.dtype == dtype and not layer.weight.requires_grad
    assert (layer.bias is None) == (not has_bias)
    if layer.bias is not None:
        assert layer.bias.requires_grad


def test_copies() -> None:
    conv = nn.Conv1d(6, 10, 1, groups=2, padding="same")
    layer = PerStepDense.from_grouped_conv1d(conv)
    before = layer.weight.clone()
    nn.init.zeros_(conv.weight)
    assert torch.equal(layer.weight, before) and before.all()


@pytest.mark.parametrize(
    ("keywords", "text"),
    [
        ({"kernel_size": 2}, "conv must have kernel_size = 1, for a dense layer per step"),
        ({"stride": 2}, "conv must have stride = 1, for a dense layer per step sees one position"),
        ({"padding": 1}, "conv must have padding = 0, for a dense layer per step"),
    ],
)
def test_others_are_refused(keywords: dict[str, Any], text: str) -> None:
    conv = nn.Conv1d(6, 10, **{"kernel_size": 1, "groups": 2, **keywords})
    with pytest.raises(ValueError) as raised:
        PerStepDense.from_grouped_conv1d(conv)
    assert text in str(raised.value)
    assert str(raised.value).endswith(f"got {next(iter(keywords.values()))}")


@pytest.mark.parametrize("conv", [nn.Linear(6, 10), nn.Conv2d(6, 10, 1), None, nn.LazyConv1d(6, 1)])
def test_what_is_no_convolution_is_refused(conv: Any) -> None:
    with pytest.raises(TypeError, match=r"conv must be an initialised nn\.Conv1d; got "):
        PerStepDense.from_grouped_conv1d(conv)
