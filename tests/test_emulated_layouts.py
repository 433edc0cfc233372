"""Do the kernels read and write any memory that a torch view can describe?

Every instantiation, with tensors that leave gaps, overlap, repeat and are misaligned: what lies
between their elements is not readable.
"""

from __future__ import annotations

import cases
import emulator
import pytest
import torch
from emulated import (
    KERNELS,
    assert_both_match_fp64,
    assert_forward_matches_fp64,
    assert_gradients_match_fp64,
    each_of,
)
from tolerance import assert_as_close_as_torch
from torch import Tensor

each_kernel = each_of(KERNELS)

LAYOUTS = [
    layout
    for layout in cases.LAYOUTS
    if cases.arguments(layout).x.dim() == 3  # more are joined before the kernels see them
    and layout
    != "windows_with_channels_x"  # knows one size only; as windows go, "windows_x" will do
]
DZ_LAYOUTS = {
    "contiguous": lambda new, b, t, o: new(b, t, o),
    "steps_first": lambda new, b, t, o: new(t, b, o).transpose(0, 1),
    "features_first": lambda new, b, t, o: new(b, o, t).transpose(1, 2),
    "batch_last": lambda new, b, t, o: new(t, o, b).permute(2, 0, 1),
    "strided": lambda new, b, t, o: new.like(new.nan(b, t, 2 * o + 1)[:, :, 1::2]),
    "misaligned": lambda new, b, t, o: new(b, t, o, offset=1),
    "expanded": lambda new, b, t, o: new(1, 1, 1).expand(b, t, o),
    "expanded_rows": lambda new, b, t, o: new(1, t, 1).expand(b, t, o),
}


@pytest.fixture
def across_tiles(kernel, monkeypatch):
    """The layouts of cases.py, at sizes that are a little more than a tile."""
    facts = kernel.facts
    for name, size in (
        ("B", facts.block_m + 3),
        ("T", 2),
        ("I", 2 * facts.block_k + 3),
        ("O", facts.block_n + 5),
    ):
        monkeypatch.setattr(cases, name, size)


@pytest.mark.parametrize("splits", [(1, 1), (2, 3)], ids=lambda s: "splits_{}_{}".format(*s))
@pytest.mark.parametrize("layout", LAYOUTS)
@each_kernel
@pytest.mark.usefixtures("across_tiles")
def test_both_match_fp64_in_layout(kernel, layout, splits):
    arguments = cases.arguments(layout, kernel.dtype)
    x, weight, _ = arguments
    assert_forward_matches_fp64(kernel, arguments, splits=splits)
    dz = cases.New(kernel.dtype, "cpu")(x.size(0), x.size(1), weight.size(2))
    assert_gradients_match_fp64(kernel, dz, x, weight, splits=splits)


@pytest.mark.parametrize("layout", DZ_LAYOUTS)
@each_kernel
def test_backward_matches_fp64_with_dz_in_layout(kernel, layout):
    b, t, i, o = kernel.facts.block_m + 2, 3, 2 * kernel.facts.block_k + 2, kernel.facts.block_n + 4
    new = cases.New(kernel.dtype, "cpu")
    dz = DZ_LAYOUTS[layout](new, b, t, o)
    assert_gradients_match_fp64(kernel, dz, new(b, t, i), new(t, i, o))


def aligned_to(nbytes: int, dtype: torch.dtype, rows: tuple[int, int], inner: int) -> Tensor:
    """Rows of `inner` elements at addresses that are multiples of so many bytes, and no more: the
    widest vectors that fit. Between the rows lies NaN."""
    elements = nbytes // dtype.itemsize
    pitch = -(-inner // elements)
    pitch = (pitch + 1 - pitch % 2) * elements  # an odd multiple
    new = cases.New(dtype, "cpu")
    buffer = new.nan(rows[0] * rows[1] * pitch + 64)
    misalignment = buffer.data_ptr() % 64 // dtype.itemsize
    begin = 32 - misalignment % 32 + elements
    view = buffer[begin : begin + rows[0] * rows[1] * pitch].view(*rows, pitch)[:, :, :inner]
    return new.like(view)


@pytest.mark.parametrize("nbytes", [2, 4, 8, 16])
@each_kernel
def test_rows_of_every_alignment_and_a_ragged_end(kernel, nbytes):
    """A copy as wide as the rows' alignment lets it be ends inside the row."""
    if nbytes < kernel.dtype.itemsize:
        pytest.skip("no view is aligned to less than its elements")
    b, t, i, o = kernel.facts.block_m + 2, 2, 2 * kernel.facts.block_k + 3, kernel.facts.block_n + 3

    def new(*shape: int) -> Tensor:
        return aligned_to(nbytes, kernel.dtype, shape[:2], shape[2])

    x, weight, dz = new(b, t, i), new(t, i, o), new(b, t, o)
    bias = new(1, t, o)[0]
    assert_forward_matches_fp64(kernel, cases.Arguments(x, weight, bias))
    assert_gradients_match_fp64(kernel, dz, x, weight)
    # The same, where memory runs along the other dimension of each matrix.
    x, weight, dz = new(t, i, b).permute(2, 0, 1), new(t, o, i).mT, new(t, o, b).permute(2, 0, 1)
    assert_forward_matches_fp64(kernel, cases.Arguments(x, weight, bias))
    assert_gradients_match_fp64(kernel, dz, x, weight)


@pytest.mark.parametrize("splits", [(1, 1), (2, 3)], ids=lambda s: "splits_{}_{}".format(*s))
@pytest.mark.parametrize("outputs", ["padded", "strided", "transposed"])
@each_kernel
def test_results_in_any_layout(kernel, outputs, splits):
    sizes = (kernel.facts.block_m + 3, 2, 2 * kernel.facts.block_k + 2, kernel.facts.block_n + 6)
    assert_both_match_fp64(kernel, sizes, outputs=outputs, splits=splits)


@pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
@pytest.mark.parametrize("layout", DZ_LAYOUTS)
def test_activation_backward_matches_fp64_in_layout(layout, dtype):
    new = cases.New(dtype, "cpu")
    dy, saved = DZ_LAYOUTS[layout](new, 5, 3, 90), new(5, 3, 90)
    actual = emulator.activation_backward(dy, saved, "tanh")
    assert_as_close_as_torch(
        actual, dy * (1 - saved * saved), dy.double() * (1 - saved.double() ** 2)
    )
