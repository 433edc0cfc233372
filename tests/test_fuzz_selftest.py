"""Do the properties of the fuzzing notice what is wrong? Layers with one fault are put to them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from cases import Layer
from fuzz.calls import INTEGERS, NORMAL, SPECIALS, Call, calls
from fuzz.dense import prove_forward, prove_gradients, task_of
from fuzz.judge import assert_right
from fuzz.memory import Memory, contiguous
from fuzz.where import Where
from hypothesis import HealthCheck, Phase, given, settings
from torch import Tensor

import per_step_dense as psd
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

right = psd.per_step_dense


# What judges results.


def call_of(values: str, dtype: str = "float32") -> Call:
    shapes = (5, 2, 7), (2, 7, 3), (2, 3), (5, 2, 3)
    places = (contiguous(shape) for shape in shapes)
    return Call((5,), 2, 7, 3, dtype, "none", values, 1, *places)


def plus_one(result: Tensor) -> None:
    result.flatten()[-1] += 1


def minus_the_least(result: Tensor) -> None:
    """Three units in the last place of the largest value."""
    result.flatten()[0] -= 3 * torch.finfo(result.dtype).eps * result.abs().max()


def without_nan(result: Tensor) -> None:
    result.nan_to_num_(nan=0.0)


def with_one_nan(result: Tensor) -> None:
    result[result.isfinite()] = torch.nan


SPOILS = [
    (INTEGERS, plus_one),
    (NORMAL, minus_the_least),
    (NORMAL, with_one_nan),
    (SPECIALS, without_nan),
    (SPECIALS, with_one_nan),
]


@pytest.mark.parametrize("name", ["y", "z", "dx", "dweight", "dbias"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize(("values", "spoil"), SPOILS)
def test_a_spoilt_result_is_noticed(
    values: str, spoil: Callable[[Tensor], None], dtype: str, name: str
) -> None:
    call = call_of(values, dtype)
    task = task_of(call, call.operands())
    result = task.in_fp64().results()[name].to(call.torch_dtype).contiguous()
    assert_right({name: result}, call, task)
    spoil(result)
    with pytest.raises(AssertionError, match=name):
        assert_right({name: result}, call, task)


def test_a_call_lies_where_it_says_among_nan() -> None:
    call = call_of(NORMAL)._replace(weight=Memory((1, 4, 30), 3))
    weight = call.operands().weight
    assert weight.stride() == (1, 4, 30)
    assert weight.data_ptr() % 64 == 3 * 4
    everything = torch.empty(0).set_(weight.untyped_storage())
    assert weight.isfinite().all()
    assert everything.isfinite().sum() == weight.numel()


# What is drawn.


def without_the_last_odd_term(x, weight, bias, *, activation):
    if x.size(-1) % 2 and x.size(-1) > 1:
        x, weight = x[..., :-1], weight[:, :-1]
    return right(x, weight, bias, activation=activation)


def weight_read_as_if_contiguous(x, weight, bias, *, activation):
    storage = torch.empty(0, dtype=weight.dtype).set_(weight.untyped_storage())
    rest = storage[weight.storage_offset() :]
    if rest.numel() >= weight.numel():
        weight = rest[: weight.numel()].view(weight.shape)
    return right(x, weight, bias, activation=activation)


def aligned_down(x, weight, bias, *, activation):
    """Of x, which begins where its vector does."""
    begin = x.storage_offset() - x.storage_offset() % 4
    x = x.as_strided(x.shape, x.stride(), begin)
    return right(x, weight, bias, activation=activation)


def without_nan_of_x(x, weight, bias, *, activation):
    return right(x.nan_to_num(nan=0.0), weight, bias, activation=activation)


def summed_in_16_bits(x, weight, bias, *, activation):
    if x.element_size() > 2 or x.size(-1) == 0:
        return right(x, weight, bias, activation=activation)
    z = sum(x[..., i : i + 1] * weight[:, i] for i in range(x.size(-1)))
    z = z if bias is None else z + bias
    return (z if activation is None else psd.reference.activate(z, activation)).contiguous()


def without_an_expanded_bias(x, weight, bias, *, activation):
    if bias is not None and 0 in bias.stride():
        bias = None
    return right(x, weight, bias, activation=activation)


def with_twice_dweight(x, weight, bias, *, activation):
    return right(x, weight + (weight - weight.detach()), bias, activation=activation)


def with_dx_of_the_first_step_lost(x, weight, bias, *, activation):
    first, others = x[..., :1, :].detach(), x[..., 1:, :]
    return right(torch.cat([first, others], -2), weight, bias, activation=activation)


def with_relus_kink_derived_as_one(x, weight, bias, *, activation):
    if activation != "relu":
        return right(x, weight, bias, activation=activation)
    return right(x, weight, bias).clamp(min=0)


PROPERTIES = {
    **dict.fromkeys(
        (
            without_the_last_odd_term,
            weight_read_as_if_contiguous,
            aligned_down,
            without_nan_of_x,
            summed_in_16_bits,
            without_an_expanded_bias,
        ),
        prove_forward,
    ),
    **dict.fromkeys(
        (with_twice_dweight, with_dx_of_the_first_step_lost, with_relus_kink_derived_as_one),
        prove_gradients,
    ),
}


LONG_SUMS = {"products": 20_000, "most": 400, "dtypes": ["bfloat16"], "activations": ["none"]}
OPTIONS = {summed_in_16_bits: LONG_SUMS}


@pytest.mark.parametrize("layer", PROPERTIES, ids=lambda layer: layer.__name__)
def test_a_fault_is_found(layer: Layer) -> None:
    @settings(
        max_examples=300,
        phases=[Phase.generate],
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    @given(call=calls(**OPTIONS.get(layer, {"products": 1000, "most": 40})))
    def property_of(call: Call) -> None:
        PROPERTIES[layer](call, Where("auto"), layer)

    with pytest.raises(AssertionError):
        property_of()
