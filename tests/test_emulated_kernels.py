"""Is every instantiation of the kernels right, at every edge of its tile?

Their own source runs on the CPU, see emulator/README.md. How arguments lie in memory is the matter
of test_emulated_layouts.py.
"""

from __future__ import annotations

import itertools

import cases
import emulator
import pytest
import torch
from emulated import (
    KERNELS,
    Kernel,
    Sizes,
    activation_named,
    assert_both_match_fp64,
    assert_forward_matches_fp64,
    assert_gradients_match_fp64,
    each_of,
)
from tolerance import assert_as_close_as_torch
from truth import in_fp64

each_kernel = each_of(KERNELS)


def sizes_at_edges(kernel: Kernel) -> dict[str, Sizes]:
    """Every size takes its turn at being rows, columns and terms of a product."""
    m, n, k = kernel.facts.block_m, kernel.facts.block_n, kernel.facts.block_k
    return {
        "one_element": (1, 1, 1, 1),
        "one_tile": (m, 1, k, n),
        "several_tiles": (2 * m, 2, 2 * m, 2 * n),
        "b_is_1": (1, 3, k + 1, n + 1),
        "t_is_1": (m + 1, 1, k + 1, n + 1),
        "i_is_1": (m + 1, 3, 1, n + 1),
        "o_is_1": (m + 1, 3, k + 1, 1),
        "all_edges_less_1": (m - 1, 2, n - 1, n - 1),
        "all_edges_plus_1": (m + 1, 2, m + 1, n + 1),
        "terms_less_1": (k - 1, 2, k - 1, k - 1),
        "terms_plus_1": (k + 1, 2, k + 1, k + 1),
        "several_terms_less_1": (4 * k - 1, 2, 4 * k - 1, 4 * k - 1),
        "many_terms_over_b_and_i": (9 * k + 1, 2, 9 * k + 1, 2 * k + 1),
        "many_terms_over_o": (2 * k + 1, 2, 2 * k + 1, 9 * k + 1),
        "ragged": (m + 3, 3, 2 * k + 5, n + 7),
        "few_rows": (3, 2, 150, 130),
        "many_steps": (3, 70, 4, 8),
        "seed": (32, 10, 4, 8),
        "b_is_0": (0, 2, 5, 6),
        "t_is_0": (4, 0, 5, 6),
        "i_is_0": (4, 2, 0, 6),
        "o_is_0": (4, 2, 5, 0),
        **sizes_at_edges_of_grad_weight(kernel),
    }


def sizes_at_edges_of_grad_weight(kernel: Kernel) -> dict[str, Sizes]:
    """Where its tile is not that of the other products."""
    m, n, k = kernel.facts.weight_m, kernel.facts.weight_n, kernel.facts.block_k
    if (m, n) == (kernel.facts.block_m, kernel.facts.block_n):
        return {}
    return {
        "weight_one_tile": (k, 1, m, n),
        "weight_edges_less_1": (k - 1, 2, m - 1, n - 1),
        "weight_edges_plus_1": (k + 1, 2, m + 1, n + 1),
        "weight_many_terms": (9 * k + 1, 2, 2 * m + 1, n + 3),
    }


# By family: tiny takes no more than 4096 weights a step.
LONG_SUMS = {
    "simt": [(64, 1, 2048, 64), (64, 1, 64, 2048), (4099, 1, 33, 64), (250, 1, 300, 270)],
    "tiny": [(64, 1, 2048, 2), (64, 1, 2, 2048), (4099, 1, 33, 64), (250, 1, 300, 13)],
    "sm80": [(64, 1, 2048, 64), (64, 1, 64, 2048), (4099, 1, 33, 64), (250, 1, 300, 270)],
}
# Of the forward's or grad-input's sum, and of grad-weight's: some, uneven, and more than there are
# terms for.
SPLITS = [(2, 2), (3, 1), (1, 3), (5, 4), (1000, 1000)]
MASKS = list(itertools.product([True, False], repeat=3))
TORCHS_ACTIVATIONS = {
    "none": lambda z: z,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
ACTIVATIONS = list(TORCHS_ACTIVATIONS)


def id_of_mask(mask: tuple[bool, ...]) -> str:
    return "+".join(n for n, wanted in zip(("dx", "dw", "db"), mask, strict=True) if wanted) or "-"


def id_of_splits(splits: tuple[int, int]) -> str:
    return "splits_{}_{}".format(*splits)


@pytest.mark.parametrize(
    ("kernel", "edge"),
    [(kernel, edge) for kernel in KERNELS for edge in sizes_at_edges(kernel)],
    ids=str,
)
def test_both_match_fp64_at_the_edges_of_the_tile(kernel, edge):
    assert_both_match_fp64(kernel, sizes_at_edges(kernel)[edge], splits=(1, 1))


@pytest.mark.in_turn
@pytest.mark.slow
@pytest.mark.parametrize("splits", SPLITS, ids=id_of_splits)
@each_kernel
def test_split_sums_match_fp64(kernel, splits):
    m, n, k = kernel.facts.block_m, kernel.facts.block_n, kernel.facts.block_k
    assert_both_match_fp64(kernel, (m + 9 * k + 2, 2, 5 * k + 3, n + 7 * k + 1), splits=splits)
    assert_both_match_fp64(kernel, (3 * k + 1, 3, 9 * k, 4 * k), splits=splits)


@pytest.mark.in_turn
@pytest.mark.slow
@pytest.mark.parametrize("splits", [(1, 1), (3, 4)], ids=id_of_splits)
@each_kernel
def test_long_sums_match_fp64(kernel, splits):
    for sizes in LONG_SUMS[kernel.family]:
        assert_both_match_fp64(kernel, sizes, splits=splits)


@pytest.mark.parametrize("splits", [(1, 1), (2, 3)], ids=id_of_splits)
@pytest.mark.parametrize("mask", MASKS, ids=id_of_mask)
@each_kernel
def test_backward_forms_any_subset_of_the_gradients(kernel, mask, splits):
    b, t, i, o = 67, 2, 37, 71
    new = cases.New(kernel.dtype, "cpu")
    assert_gradients_match_fp64(
        kernel, new(b, t, o), new(b, t, i), new(t, i, o), mask, splits=splits
    )
    used = emulator.default_library().choice.splits
    is_split = (mask[0] and used[0] > 1) or (any(mask[1:]) and used[1] > 1)
    assert emulator.default_library().counters.launches == (1 + is_split if any(mask) else 0)


@pytest.mark.parametrize("splits", [(1, 1), (3, 1)], ids=id_of_splits)
@pytest.mark.parametrize("activation", ACTIVATIONS)
@each_kernel
def test_forward_matches_fp64_with_activation(kernel, activation, splits):
    arguments = cases.of_sizes(9, 3, 57, 70, kernel.dtype, "cpu")
    assert_forward_matches_fp64(kernel, arguments, activation, splits=splits)
    assert_forward_matches_fp64(kernel, arguments._replace(bias=None), activation, splits=splits)


def units(*shape: int, dtype: torch.dtype) -> torch.Tensor:
    """Sums of fewer than 256 products of these are integers that every dtype can hold."""
    return torch.randint(-1, 2, shape).to(dtype)


@pytest.mark.parametrize("splits", [(1, 1), (3, 4)], ids=id_of_splits)
@pytest.mark.parametrize("sizes", [(64, 2, 32, 64), (67, 3, 37, 71), (250, 1, 120, 33)], ids=str)
@each_kernel
def test_small_integers_come_out_exactly(kernel, sizes, splits):
    b, t, i, o = sizes
    x, weight, bias, dz = (
        units(*shape, dtype=kernel.dtype) for shape in ((b, t, i), (t, i, o), (t, o), (b, t, o))
    )
    y, _ = kernel.forward(x, weight, bias, splits=splits)
    exact = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias
    assert torch.equal(y.double(), exact)

    dx, dweight, dbias = kernel.backward(dz, x, weight, splits=splits)
    assert torch.equal(dx.double(), torch.einsum("bto,tio->bti", dz.double(), weight.double()))
    assert torch.equal(dweight.double(), torch.einsum("bti,bto->tio", x.double(), dz.double()))
    assert torch.equal(dbias.double(), dz.double().sum(0))


@pytest.mark.in_turn
@pytest.mark.slow
@pytest.mark.parametrize("splits", [(1, 1), (2, 2)], ids=id_of_splits)
@each_kernel
def test_every_schedule_gives_the_same_bits(kernel, splits):
    x, weight, bias = cases.of_sizes(70, 2, 150, 5, kernel.dtype, "cpu")
    dz = cases.New(kernel.dtype, "cpu")(70, 2, 5)
    results = []
    for schedule in emulator.schedules():
        y, _ = kernel.forward(x, weight, bias, "gelu", splits=splits, schedule=schedule)
        gradients = kernel.backward(dz, x, weight, splits=splits, schedule=schedule)
        results.append((y, *gradients))
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("splits", [(1, 1), (2, 2)], ids=id_of_splits)
@each_kernel
def test_nan_and_infinity_go_where_torch_lets_them(kernel, splits, special):
    x, weight, bias = cases.of_sizes(70, 2, 35, 6, kernel.dtype, "cpu")
    x[1, 0, 2] = x[-1, -1, -1] = special
    bias[1, 3] = special
    z = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias
    for activation, act in TORCHS_ACTIVATIONS.items():
        y, _ = kernel.forward(x, weight, bias, activation, splits=splits)
        assert_same_specials(y, act(z))

    dz = cases.New(kernel.dtype, "cpu")(70, 2, 6)
    dz[1, 0, 2] = dz[-1, -1, -1] = special
    dz[2, 1, 3], dz[60, 1, 3] = torch.inf, -torch.inf  # their sum is NaN
    actual = kernel.backward(dz, x, weight, splits=splits)
    expected = (
        torch.einsum("bto,tio->bti", dz.double(), weight.double()),
        torch.einsum("bti,bto->tio", x.double(), dz.double()),
        dz.sum(0),
    )
    for result, torchs in zip(actual, expected, strict=True):
        assert_same_specials(result, torchs)


def assert_same_specials(actual: torch.Tensor, expected: torch.Tensor) -> None:
    """NaN and infinities alike; how close the other values are is asked elsewhere.

    Torch's may be float64: on some CPUs its products of 16 bits spread NaN to rows that have none.
    """
    finite = expected.isfinite()
    assert torch.equal(actual.isfinite(), finite)
    torch.testing.assert_close(
        actual.double().where(~finite, 0), expected.double().where(~finite, 0), equal_nan=True
    )


@pytest.mark.parametrize(
    "kernel", [kernel for kernel in KERNELS if kernel.family == "sm80"], ids=str
)
def test_ldmatrix_meets_no_bank_conflicts(kernel):
    x, weight, _ = cases.of_sizes(140, 1, 70, 140, kernel.dtype, "cpu")
    dz = cases.New(kernel.dtype, "cpu")(140, 1, 140)
    for run in (lambda: kernel.forward(x, weight), lambda: kernel.backward(dz, x, weight)):
        run()
        counters = emulator.default_library().counters
        assert counters.mmas > 0
        assert counters.bank_conflicts == 0


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activation_backward_matches_fp64(activation, dtype):
    new = cases.New(dtype, "cpu")
    dy, z = new(5, 3, 90), new(5, 3, 90).requires_grad_()
    act = activation_named(activation)
    y = TORCHS_ACTIVATIONS[activation](z)
    saved = z if activation in ("gelu", "gelu_tanh", "silu") else y

    (torchs,) = torch.autograd.grad(y, z, dy)
    z_fp64 = in_fp64(z)
    (exact,) = torch.autograd.grad(act(z_fp64), z_fp64, dy.double())
    actual = emulator.activation_backward(dy, saved.detach(), activation)

    assert_as_close_as_torch(actual, torchs, exact)
    assert emulator.default_library().counters.launches == 1
