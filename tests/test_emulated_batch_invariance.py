"""Have all tiles of a family one order of terms, so that the batch size may choose between them?

Of simt and sm80, which batch_invariant() takes. Of tensor cores the emulator knows the order of
products, not how one of them adds up its terms, which is the same instruction in every tile.
"""

from __future__ import annotations

import cases
import emulator
import pytest
import torch
from batch_invariance import assert_no_sample_depends_on_others
from emulated import has_tf32, kernels_of

BATCH_INVARIANT = [kernel for kernel in kernels_of("simt", "sm80") if kernel.tile > 0]
SIZES = {"odd": (70, 2, 37, 29), "many_terms": (20, 2, 331, 40), "one_sample": (1, 2, 150, 130)}

each_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


def options(family: str, tile: int, dtype: torch.dtype) -> dict:
    tf32 = has_tf32(family) and dtype is torch.float32
    return {"kernel": family, "tile": tile, "splits": (1, 1), "tf32": tf32}


@pytest.mark.parametrize("kernel", BATCH_INVARIANT, ids=str)
@each_size
def test_every_tile_has_the_bits_of_the_first(kernel, sizes) -> None:
    x, weight, bias = cases.of_sizes(*sizes, kernel.dtype, "cpu")
    dz = torch.randn(sizes[0], sizes[1], sizes[3]).to(kernel.dtype)
    first = options(kernel.family, 0, kernel.dtype)
    own = options(kernel.family, kernel.tile, kernel.dtype)
    y, _ = emulator.forward(x, weight, bias, "gelu", **own)
    expected, _ = emulator.forward(x, weight, bias, "gelu", **first)
    assert torch.equal(y, expected)
    mask = (True, False, False)
    dx, _, _ = emulator.backward(dz, x, weight, mask, **own)
    expected, _, _ = emulator.backward(dz, x, weight, mask, **first)
    assert torch.equal(dx, expected)


def choices_in_any_batch(
    sizes: tuple[int, int, int, int], dtype: torch.dtype
) -> set[tuple[int, int]]:
    """The chooser's tiles and splits of forwards, on a GPU of few multiprocessors; no sample's
    result may follow from them."""
    b, t, _, o = sizes
    x, weight, bias = cases.of_sizes(*sizes, dtype, "cpu")
    dz = torch.randn(b, t, o).to(dtype)
    asked = {"kernel": "batch_invariant", "sms": 4}
    choices = set()

    def compute(own: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y, _ = emulator.forward(x[own], weight, bias, "none", **asked)
        choice = emulator.default_library().choice
        choices.add((choice.tile, choice.splits[0]))
        dx, _, _ = emulator.backward(dz[own], x[own], weight, (True, True, True), **asked)
        return y, dx

    assert_no_sample_depends_on_others(compute, b)
    return choices


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
def test_whichever_tile_is_chosen(dtype: torch.dtype) -> None:
    choices = choices_in_any_batch((200, 2, 300, 72), dtype)
    assert len({tile for tile, _ in choices}) > 1


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
def test_no_sum_is_split_where_small_batches_would_have_it_so(dtype: torch.dtype) -> None:
    choices = choices_in_any_batch((130, 20, 530, 20), dtype)
    assert {splits for _, splits in choices} == {1}
