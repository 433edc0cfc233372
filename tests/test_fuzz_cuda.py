"""Does every family of kernels compute any call that it takes, on a GPU?

fuzz/README.md says how to try more of them, and where a call is put that has failed.
"""

from __future__ import annotations

from typing import Literal

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
from fuzz.ragged import Ragged, packed_calls, padded_calls, prove_ragged, prove_ragged_ops
from fuzz.regressions import with_regressions
from fuzz.where import Where
from hypothesis import given
from hypothesis import strategies as st

from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

FAMILIES = st.sampled_from(["auto", "simt", "tiny", "sm80", "sm90", "reference"])
PRECISIONS = st.sampled_from(["ieee", "ieee", "tf32"])
LIMITS = {"products": 2_000_000, "most": 3000}
# What TMA takes: sizes and strides that are multiples of 16 bytes, in every dtype.
MAPPED = {**LIMITS, "least": 1, "multiple": 8}

Precision = Literal["ieee", "tf32"]


@share(0.2)
@with_regressions
@given(call=calls(**LIMITS) | calls(**MAPPED), family=FAMILIES, precision=PRECISIONS, layer=LAYERS)
def test_cuda_forward(
    gpu: torch.device, call: Call, family: str, precision: Precision, layer: Layer
) -> None:
    prove_forward(call, Where(family, gpu, precision), layer)


@share(0.2)
@with_regressions
@given(call=calls(**LIMITS) | calls(**MAPPED), family=FAMILIES, precision=PRECISIONS, layer=LAYERS)
def test_cuda_gradients(
    gpu: torch.device, call: Call, family: str, precision: Precision, layer: Layer
) -> None:
    prove_gradients(call, Where(family, gpu, precision), layer)


@share(0.2)
@with_regressions
@given(
    call=calls(**LIMITS, activations=["none"]) | calls(**MAPPED, activations=["none"]),
    family=FAMILIES,
    precision=PRECISIONS,
)
def test_cuda_backward_op(gpu: torch.device, call: Call, family: str, precision: Precision) -> None:
    prove_backward(call, Where(family, gpu, precision))


@share(0.1)
@with_regressions
@given(
    accumulation=accumulations(**LIMITS) | accumulations(**MAPPED),
    family=FAMILIES,
    precision=PRECISIONS,
)
def test_cuda_accumulate(
    gpu: torch.device, accumulation: Accumulation, family: str, precision: Precision
) -> None:
    prove_accumulation(accumulation, Where(family, gpu, precision))


@share(0.1)
@with_regressions
@given(activated=activated_calls(products=100_000))
def test_cuda_activation_backward(gpu: torch.device, activated: Activated) -> None:
    prove_activation_gradient(activated, Where("auto", gpu))


@share(0.1)
@with_regressions
@given(ragged=padded_calls() | packed_calls(), family=FAMILIES)
def test_cuda_ragged(gpu: torch.device, ragged: Ragged, family: str) -> None:
    prove_ragged(ragged, Where(family, gpu))


@share(0.1)
@with_regressions
@given(
    ragged=padded_calls(several_batch_dims=False) | packed_calls(),
    family=FAMILIES,
    precision=PRECISIONS,
)
def test_cuda_ragged_ops(
    gpu: torch.device, ragged: Ragged, family: str, precision: Precision
) -> None:
    prove_ragged_ops(ragged, Where(family, gpu, precision))
