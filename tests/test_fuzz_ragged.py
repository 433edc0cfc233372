"""Is any batch right whose samples differ in length, padded or packed, however it lies in memory?

fuzz/README.md says how to try more of them, and where a call is put that has failed.
"""

from __future__ import annotations

import pytest
import torch
from cases import Layer
from fuzz.profiles import share
from fuzz.ragged import Ragged, packed_calls, padded_calls, prove_ragged, prove_ragged_ops
from fuzz.regressions import with_regressions
from fuzz.where import Where
from hypothesis import given
from hypothesis import strategies as st

import per_step_dense as psd
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

FAMILIES = st.sampled_from(["auto", "auto", "auto", "reference"])


@share(0.35)
@with_regressions
@given(ragged=padded_calls(), family=FAMILIES)
def test_lengths(ragged: Ragged, family: str) -> None:
    prove_ragged(ragged, Where(family))


@share(0.35)
@with_regressions
@given(ragged=packed_calls(), family=FAMILIES)
def test_packed_sequences(ragged: Ragged, family: str) -> None:
    prove_ragged(ragged, Where(family))


@share(0.3)
@with_regressions
@given(ragged=padded_calls(several_batch_dims=False) | packed_calls(), family=FAMILIES)
def test_ragged_ops(ragged: Ragged, family: str) -> None:
    prove_ragged_ops(ragged, Where(family))


REFERENCES = {"in_force": psd.per_step_dense, "reference": psd.reference.per_step_dense}


@pytest.mark.parametrize("layer", REFERENCES.values(), ids=REFERENCES)
def test_the_reference_takes_no_gradient_from_padding(layer: Layer) -> None:
    """Found by test_lengths: it derived what it masked afterwards alone."""
    x, weight = torch.zeros(1, 1, 1), torch.full((1, 1, 1), torch.nan, requires_grad=True)
    with psd.use_kernel("reference"):
        y = layer(x, weight, activation="tanh", lengths=torch.tensor([0]))
    assert torch.autograd.grad(y.sum(), weight)[0] == 0
