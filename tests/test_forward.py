"""Does the forward compute the formula, however the arguments lie in memory?"""

from __future__ import annotations

import pytest
import torch
import truth
from cases import (
    DTYPES,
    LAYOUTS,
    Arguments,
    arguments,
    dtype_id,
    of_sizes,
    small_integers,
)
from tolerance import assert_as_close_as_torch
from torch import Tensor

import per_step_dense as psd

ALL_DTYPES = pytest.mark.parametrize("dtype", DTYPES, ids=dtype_id)
ALL_ACTIVATIONS = pytest.mark.parametrize("activation", truth.ACTIVATIONS)
ALL_LAYOUTS = pytest.mark.parametrize("layout", LAYOUTS)

SIZES = {
    "b1": (1, 5, 7, 9),
    "t1": (6, 1, 7, 9),
    "i1": (6, 5, 1, 9),
    "o1": (6, 5, 7, 1),
    "all1": (1, 1, 1, 1),
    "more_steps_than_anything": (2, 300, 3, 4),
    "ragged_tiles": (131, 3, 67, 129),
    "whole_tiles": (128, 2, 64, 128),
}
ZERO_SIZES = {
    "b0": (0, 5, 7, 9),
    "t0": (6, 0, 7, 9),
    "i0": (6, 5, 0, 9),
    "o0": (6, 5, 7, 0),
    "all0": (0, 0, 0, 0),
}


def true_values(args: Arguments, activation: str | None) -> Tensor:
    return truth.per_step_dense(*map(truth.in_fp64, args), activation=activation)


def assert_matches(args: Arguments, activation: str | None) -> None:
    y = psd.per_step_dense(*args, activation=activation)
    torchs = psd.reference.per_step_dense(*args, activation=activation)
    assert_as_close_as_torch(y, torchs, true_values(args, activation))


@ALL_LAYOUTS
@ALL_ACTIVATIONS
@ALL_DTYPES
def test_forward_matches_fp64(
    device: torch.device, dtype: torch.dtype, activation: str | None, layout: str
) -> None:
    assert_matches(arguments(layout, dtype, device), activation)


@ALL_LAYOUTS
@pytest.mark.parametrize("kernel", ["simt", "tiny", "sm80"])
def test_every_kernel_that_is_asked_for_matches_fp64(
    gpu: torch.device, kernel: str, layout: str
) -> None:
    args = arguments(layout, torch.bfloat16, gpu)
    with psd.use_kernel(kernel):
        assert_matches(args, "gelu")


HOPPERS_SIZES = [
    *((1, 3, 8, 8), (3, 70, 16, 24), (64, 2, 128, 256), (128, 40, 64, 64), (200, 3, 264, 136)),
    *((1000, 2, 1024, 24), (512, 5, 192, 512), (640, 32, 512, 1024), (70, 1, 4096, 64)),
]


@ALL_ACTIVATIONS
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=dtype_id)
@pytest.mark.parametrize("sizes", HOPPERS_SIZES, ids=str)
def test_hoppers_kernels_match_fp64(
    hopper: torch.device,
    dtype: torch.dtype,
    activation: str | None,
    sizes: tuple[int, int, int, int],
) -> None:
    args = of_sizes(*sizes, dtype, hopper)
    with psd.use_kernel("sm90"):
        assert_matches(args, activation)
        assert_matches(args._replace(bias=None), activation)
        # A shared weight, and one x for all steps.
        assert_matches(args._replace(weight=args.weight[:1].expand_as(args.weight)), activation)
        assert_matches(args._replace(x=args.x[:, :1].expand_as(args.x)), activation)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
@ALL_DTYPES
def test_sizes_match_fp64(
    device: torch.device, dtype: torch.dtype, sizes: tuple[int, int, int, int]
) -> None:
    assert_matches(of_sizes(*sizes, dtype, device), "gelu")


@pytest.mark.parametrize("in_features", [2048, 4096])
@ALL_DTYPES
def test_long_sums_match_fp64(device: torch.device, dtype: torch.dtype, in_features: int) -> None:
    args = of_sizes(8, 2, in_features, 16, dtype, device)
    assert_matches(args, None)
    # Sums that do not cancel are where a single accumulator drifts.
    assert_matches(Arguments(args.x.abs(), args.weight.abs(), args.bias), None)


@pytest.mark.parametrize("activation", [None, "relu"])
@ALL_DTYPES
def test_small_integers_come_out_exact(
    device: torch.device, dtype: torch.dtype, activation: str | None
) -> None:
    args = small_integers(33, 5, 17, 20, dtype, device)  # sums up to 9 * 17 + 3
    y = psd.per_step_dense(*args, activation=activation)
    assert torch.equal(y, true_values(args, activation).to(dtype))


@ALL_DTYPES
def test_long_sums_of_small_integers_are_exact(device: torch.device, dtype: torch.dtype) -> None:
    x, weight, _ = small_integers(9, 2, 1000, 10, dtype, device, largest=1)
    y = psd.per_step_dense(x, weight)
    assert torch.equal(y, true_values(Arguments(x, weight, None), None).to(dtype))


@pytest.mark.parametrize("sizes", ZERO_SIZES.values(), ids=ZERO_SIZES)
@ALL_DTYPES
def test_zero_sizes_are_the_empty_sum(
    device: torch.device, dtype: torch.dtype, sizes: tuple[int, int, int, int]
) -> None:
    args = of_sizes(*sizes, dtype, device)
    b, t, _, o = sizes
    empty_sum = torch.zeros(b, t, o, dtype=dtype, device=device)
    relu = psd.per_step_dense(*args, activation="relu")
    torch.testing.assert_close(relu, args.bias.relu().expand(b, t, o), rtol=0, atol=0)
    without_bias = psd.per_step_dense(args.x, args.weight)
    torch.testing.assert_close(without_bias, empty_sum, rtol=0, atol=0)


@ALL_ACTIVATIONS
@ALL_DTYPES
def test_nan_and_inf_spread_as_in_einsum(
    device: torch.device, dtype: torch.dtype, activation: str | None
) -> None:
    x, weight, bias = of_sizes(6, 5, 7, 9, dtype, device)
    x[0, 0, 0] = torch.nan
    x[1, 1, 1] = torch.inf
    x[2, 2] = 0  # 0 * inf is NaN
    weight[2, 3, 4] = torch.inf
    weight[3, 0, 5] = -torch.inf
    bias[4, 0] = torch.nan
    bias[4, 1] = -torch.inf
    y = psd.per_step_dense(x, weight, bias, activation=activation)
    torchs = psd.reference.per_step_dense(x, weight, bias, activation=activation)
    assert torchs.isnan().any()
    assert not torchs.isnan().all()
    assert torch.equal(y.isnan(), torchs.isnan())
    assert torch.equal(y.isposinf(), torchs.isposinf())
    assert torch.equal(y.isneginf(), torchs.isneginf())
    finite = torchs.isfinite()
    exact = true_values(Arguments(x, weight, bias), activation)
    assert_as_close_as_torch(y[finite], torchs[finite], exact[finite])


@ALL_LAYOUTS
def test_result_is_contiguous_and_its_own(device: torch.device, layout: str) -> None:
    args = arguments(layout, device=device)
    before = [None if tensor is None else tensor.clone() for tensor in args]
    y = psd.per_step_dense(*args)
    assert y.is_contiguous()
    assert y.device == args.x.device
    tensors = [tensor for tensor in args if tensor is not None]
    storages = {tensor.untyped_storage().data_ptr() for tensor in tensors}
    assert y.untyped_storage().data_ptr() not in storages
    y.fill_(7)
    for tensor, copy in zip(args, before, strict=True):
        assert tensor is None or torch.equal(tensor, copy)


@pytest.mark.parametrize("activation", ["none", "gelu"])
def test_preactivation_shares_no_memory_with_y(device: torch.device, activation: str) -> None:
    args = arguments("contiguous", device=device)
    y, z = torch.ops.per_step_dense.forward_with_preactivation(*args, activation)
    assert y.untyped_storage().data_ptr() != z.untyped_storage().data_ptr()
    assert y.is_contiguous()
    assert z.is_contiguous()


@pytest.mark.parametrize("layout", ["contiguous", "no_bias", "swapped_batch_dims"])
@ALL_DTYPES
def test_every_element_is_written(device: torch.device, dtype: torch.dtype, layout: str) -> None:
    args = arguments(layout, dtype, device)
    torch.use_deterministic_algorithms(True)  # fills every new tensor with NaN
    try:
        y = psd.per_step_dense(*args, activation="relu")
    finally:
        torch.use_deterministic_algorithms(False)
    assert not y.isnan().any()


def test_a_failed_call_leaves_no_trace(device: torch.device) -> None:
    args = arguments("contiguous", device=device)
    expected = psd.per_step_dense(*args)
    with pytest.raises(ValueError, match="weight must be"):
        psd.per_step_dense(args.x, args.weight[1:], args.bias)
    assert torch.equal(psd.per_step_dense(*args), expected)
