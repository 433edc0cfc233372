"""Is any call on the CPU right, whatever its sizes, strides and values?

fuzz/README.md says how to try more of them, and where a call is put that has failed.
"""

from __future__ import annotations

import pytest
import torch
from cases import Layer
from fuzz.calls import Call, calls
from fuzz.dense import (
    LAYERS,
    Accumulation,
    Activated,
    accumulations,
    activated_calls,
    prove_accumulation,
    prove_activation_gradient,
    prove_backward,
    prove_forward,
    prove_gradients,
)
from fuzz.profiles import share
from fuzz.regressions import with_regressions
from fuzz.where import Where
from hypothesis import given
from hypothesis import strategies as st

from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

FAMILIES = st.sampled_from(["auto", "auto", "auto", "reference"])
FEWER = {"products": 100_000}


@share(0.3)
@with_regressions
@given(call=calls(), family=FAMILIES, layer=LAYERS)
def test_forward(call: Call, family: str, layer: Layer) -> None:
    prove_forward(call, Where(family), layer)


@share(0.3)
@with_regressions
@given(call=calls(**FEWER), family=FAMILIES, layer=LAYERS)
def test_gradients(call: Call, family: str, layer: Layer) -> None:
    prove_gradients(call, Where(family), layer)


@share(0.15)
@with_regressions
@given(call=calls(**FEWER, activations=["none"]), family=FAMILIES)
def test_backward_op(call: Call, family: str) -> None:
    prove_backward(call, Where(family))


@share(0.1)
@with_regressions
@given(accumulation=accumulations(**FEWER), family=FAMILIES)
def test_backward_accumulate(accumulation: Accumulation, family: str) -> None:
    prove_accumulation(accumulation, Where(family))


@share(0.15)
@with_regressions
@given(activated=activated_calls(products=30_000))
def test_activation_backward(activated: Activated) -> None:
    prove_activation_gradient(activated, Where("auto"))


def test_gelus_gradient_takes_any_strides_of_dy() -> None:
    """Found by test_gradients: torch's own, of oneDNN, refuses these."""
    z = torch.randn(15, 15, requires_grad=True)
    dy = torch.randn(15 * 29).as_strided((15, 15), (2, 29))
    dz = torch.ops.per_step_dense.activation_backward(dy, z.detach(), "gelu")
    (expected,) = torch.autograd.grad(torch.nn.functional.gelu(z), z, dy.clone())
    torch.testing.assert_close(dz, expected)
