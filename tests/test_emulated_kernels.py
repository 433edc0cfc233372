"""Are the CUDA kernels right? Their own source runs on the CPU, see emulator/README.md."""

from __future__ import annotations

import itertools

import cases
import emulator
import pytest
import torch
import truth
from tolerance import assert_as_close_as_torch
from torch import Tensor

# (B, T, I, O); a tile of simt is 64 x 64 x 16.
SIZES = {
    "one_element": (1, 1, 1, 1),
    "full_tiles": (64, 2, 32, 64),
    "several_full_tiles": (128, 2, 64, 128),
    "ragged_b": (65, 2, 16, 64),
    "ragged_i": (64, 2, 17, 64),
    "ragged_o": (64, 2, 16, 65),
    "ragged_everywhere": (67, 3, 37, 71),
    "b_is_1": (1, 3, 33, 20),
    "t_is_1": (20, 1, 33, 20),
    "i_is_1": (20, 3, 1, 20),
    "o_is_1": (20, 3, 33, 1),
    "many_steps": (3, 70, 4, 8),
    "seed": (32, 10, 4, 8),
    "b_is_0": (0, 2, 5, 6),
    "t_is_0": (4, 0, 5, 6),
    "i_is_0": (4, 2, 0, 6),
    "o_is_0": (4, 2, 5, 0),
    "long_sum_over_i": (64, 1, 2048, 64),
    "long_sum_over_o": (64, 1, 64, 2048),
    "long_sum_over_b": (4099, 1, 33, 64),
}
LAYOUTS = [
    layout for layout in cases.LAYOUTS if cases.arguments(layout).x.dim() == 3
]  # more leading dimensions are joined before the kernels see them
DZ_LAYOUTS = {
    "contiguous": lambda b, t, o: torch.randn(b, t, o),
    "steps_first": lambda b, t, o: torch.randn(t, b, o).transpose(0, 1),
    "strided": lambda b, t, o: torch.randn(b, t, 2 * o + 1)[:, :, 1::2],
    "expanded": lambda b, t, o: torch.randn(1, 1, 1).expand(b, t, o),
    "expanded_rows": lambda b, t, o: torch.randn(1, t, 1).expand(b, t, o),
}
ACTIVATIONS = [activation or "none" for activation in truth.ACTIVATIONS]
TORCHS_ACTIVATIONS = {
    "none": lambda z: z,
    "relu": torch.relu,
    "gelu": torch.nn.functional.gelu,
    "gelu_tanh": lambda z: torch.nn.functional.gelu(z, approximate="tanh"),
    "silu": torch.nn.functional.silu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
}
MASKS = list(itertools.product([True, False], repeat=3))


def ids_of(mask: tuple[bool, ...]) -> str:
    return "+".join(n for n, wanted in zip(("dx", "dw", "db"), mask, strict=True) if wanted) or "-"


def assert_gradients_match_fp64(
    dz: Tensor, x: Tensor, weight: Tensor, mask: tuple[bool, bool, bool] = (True, True, True)
) -> None:
    def gradients(dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        dx = torch.einsum("bto,tio->bti", dz, weight)
        return dx, torch.einsum("bti,bto->tio", x, dz), dz.sum(0)

    actual = emulator.backward(dz, x, weight, mask)
    for wanted, got, torchs, exact in zip(
        mask,
        actual,
        gradients(dz, x, weight),
        gradients(dz.double(), x.double(), weight.double()),
        strict=True,
    ):
        if wanted:
            assert_as_close_as_torch(got, torchs, exact)
        else:
            assert got is None


def assert_forward_matches_fp64(arguments: cases.Arguments, activation: str = "none") -> None:
    y, z = emulator.forward(*arguments, activation, want_z=True)

    def act(value: Tensor) -> Tensor:
        return truth.ACTIVATIONS[None if activation == "none" else activation](value)

    torchs_z = torch.einsum("bti,tio->bto", arguments.x, arguments.weight)
    if arguments.bias is not None:
        torchs_z = torchs_z + arguments.bias
    exact_z = truth.per_step_dense(*map(truth.in_fp64, arguments))
    assert_as_close_as_torch(z, torchs_z, exact_z)
    assert_as_close_as_torch(y, act(torchs_z), act(exact_z))


@pytest.mark.parametrize("sizes", SIZES)
def test_forward_matches_fp64_at_sizes(sizes):
    assert_forward_matches_fp64(cases.of_sizes(*SIZES[sizes], torch.float32, "cpu"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_forward_matches_fp64_in_layout(layout):
    assert_forward_matches_fp64(cases.arguments(layout))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_forward_matches_fp64_with_activation(activation):
    assert_forward_matches_fp64(
        cases.of_sizes(9, 3, 20, 70, torch.float32, "cpu"), activation=activation
    )


@pytest.mark.parametrize("sizes", SIZES)
def test_backward_matches_fp64_at_sizes(sizes):
    b, t, i, o = SIZES[sizes]
    assert_gradients_match_fp64(torch.randn(b, t, o), torch.randn(b, t, i), torch.randn(t, i, o))


@pytest.mark.parametrize("mask", MASKS, ids=ids_of)
def test_backward_forms_any_subset_of_the_gradients(mask):
    b, t, i, o = 67, 2, 37, 71
    assert_gradients_match_fp64(
        torch.randn(b, t, o), torch.randn(b, t, i), torch.randn(t, i, o), mask
    )
    assert emulator.default_library().counters.launches == any(mask)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_backward_matches_fp64_in_layout(layout):
    x, weight, _ = cases.arguments(layout)
    assert_gradients_match_fp64(torch.randn(x.size(0), x.size(1), weight.size(2)), x, weight)


@pytest.mark.parametrize("layout", DZ_LAYOUTS)
def test_backward_matches_fp64_with_dz_in_layout(layout):
    b, t, i, o = 66, 3, 18, 20
    dz = DZ_LAYOUTS[layout](b, t, o)
    assert_gradients_match_fp64(dz, torch.randn(b, t, i), torch.randn(t, i, o))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("layout", DZ_LAYOUTS)
def test_activation_backward_matches_fp64(activation, layout):
    b, t, o = 5, 3, 90
    dy, z = DZ_LAYOUTS[layout](b, t, o), torch.randn(b, t, o, requires_grad=True)
    act = truth.ACTIVATIONS[None if activation == "none" else activation]
    saved = z if activation in ("gelu", "gelu_tanh", "silu") else act(z)

    (torchs,) = torch.autograd.grad(act(z), z, dy)
    z_fp64 = truth.in_fp64(z)
    (exact,) = torch.autograd.grad(act(z_fp64), z_fp64, dy.double())
    actual = emulator.activation_backward(dy, saved.detach(), activation)

    assert_as_close_as_torch(actual, torchs, exact)


@pytest.mark.parametrize("sizes", ["full_tiles", "ragged_everywhere", "long_sum_over_b"])
def test_small_integers_come_out_exactly(sizes):
    x, weight, bias = cases.small_integers(*SIZES[sizes], torch.float32, "cpu")
    y, _ = emulator.forward(x, weight, bias)
    exact = torch.einsum("bti,tio->bto", x.double(), weight.double()) + bias
    assert torch.equal(y.double(), exact)

    dx, dweight, dbias = emulator.backward(y, x, weight)
    assert torch.equal(dx.double(), torch.einsum("bto,tio->bti", exact, weight.double()))
    assert torch.equal(dweight.double(), torch.einsum("bti,bto->tio", x.double(), exact))
    assert torch.equal(dbias.double(), exact.sum(0))


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_nan_and_infinity_go_where_torch_lets_them(special, activation):
    x, weight, bias = cases.of_sizes(3, 2, 5, 6, torch.float32, "cpu")
    x[1, 0, 2] = special
    bias[1, 3] = special
    y, _ = emulator.forward(x, weight, bias, activation)
    expected = TORCHS_ACTIVATIONS[activation](torch.einsum("bti,tio->bto", x, weight) + bias)
    torch.testing.assert_close(y, expected, equal_nan=True)


@pytest.mark.parametrize("special", [torch.nan, torch.inf, -torch.inf])
def test_nan_and_infinity_reach_the_gradients_where_torch_lets_them(special):
    x, weight, _ = cases.of_sizes(40, 2, 5, 6, torch.float32, "cpu")
    dz = torch.randn(40, 2, 6)
    dz[1, 0, 2] = special
    dz[2, 1, 3], dz[30, 1, 3] = torch.inf, -torch.inf  # their sum is NaN
    dx, dweight, dbias = emulator.backward(dz, x, weight)
    expected = (
        torch.einsum("bto,tio->bti", dz, weight),
        torch.einsum("bti,bto->tio", x, dz),
        dz.sum(0),
    )
    torch.testing.assert_close((dx, dweight, dbias), expected, equal_nan=True)


def test_every_schedule_gives_the_same_bits():
    x, weight, bias = cases.of_sizes(70, 2, 300, 5, torch.float32, "cpu")
    dz = torch.randn(70, 2, 5)
    results = []
    for schedule in emulator.schedules():
        y, _ = emulator.forward(x, weight, bias, "gelu", schedule=schedule)
        results.append((y, *emulator.backward(dz, x, weight, schedule=schedule)))
    for others in results[1:]:
        assert all(map(torch.equal, results[0], others))
