"""Are sizes, strides and offsets beyond 31, 32 and 33 bits right, in plans, on the CPU, on a GPU?

What the CUDA kernels make of them without a GPU is the matter of test_emulated_big_tensors.py.
"""

from __future__ import annotations

import math

import cases
import pytest
import torch
from emulator import sparse
from plans import meta
from tolerance import assert_as_close_as_torch
from torch import Tensor

import per_step_dense as psd
from per_step_dense import _ops

needs_module = pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")

MOST_BLOCKS = 2**31 - 1  # of grid.x

# Plans


def plan_of(sizes: tuple[int, int, int, int], kernel: str, dtype: torch.dtype) -> psd.Plan:
    b, t, i, o = sizes
    x, weight, bias = (meta(*shape, dtype=dtype) for shape in ((b, t, i), (t, i, o), (t, o)))
    with psd.use_kernel(kernel):
        return psd.explain(x, weight, bias, arch="sm_90")


@needs_module
@pytest.mark.parametrize(
    "sizes",
    [(33, 2**23 + 3, 40, 40), (2**31 + 77, 1, 8, 8), (3, 2**31 + 9, 8, 8), (2, 70_000, 4, 8)],
    ids=str,
)
@pytest.mark.parametrize(("kernel", "dtype"), [("simt", torch.float32), ("sm80", torch.bfloat16)])
def test_grids_cover_what_there_is(
    kernel: str, dtype: torch.dtype, sizes: tuple[int, int, int, int]
) -> None:
    b, t, i, o = sizes
    plan = plan_of(sizes, kernel, dtype)
    rows, columns = map(int, plan.tile.split("x"))
    tiles = t * -(-b // rows) * -(-o // columns) * plan.splits[0]
    assert plan.grid == (min(tiles, MOST_BLOCKS), 1, 1)
    assert plan.flops == 2 * b * t * i * o
    elements = b * t * i + t * i * o + t * o + b * t * o
    assert plan.bytes == elements * dtype.itemsize
    assert 0 < plan.backward.grid[0] <= MOST_BLOCKS


@needs_module
@pytest.mark.parametrize(
    ("sizes", "kernel", "told"),
    [
        ((47, 2**23, 40, 40), "tiny", "tiny needs fewer than 2^31 groups of 4 outputs"),
        ((1, 2**30 + 1, 1, 1), "tiny", "tiny needs fewer than 2^31 groups of 4 outputs"),
        ((3, 2**31 + 9, 8, 8), "sm90", "T = 2147483657: TMA's coordinates have 32 bits"),
        ((3, 2**30 + 9, 8, 8), "sm90", "sm90 needs fewer tiles: more than 2^30"),
    ],
)
def test_what_a_family_cannot_count_it_refuses_and_another_takes(
    sizes: tuple[int, int, int, int], kernel: str, told: str
) -> None:
    with pytest.raises(ValueError) as refusal:
        plan_of(sizes, kernel, torch.bfloat16)
    assert str(refusal.value) == (
        f"per_step_dense: use_kernel('{kernel}') cannot take this call: {told}"
    )
    assert plan_of(sizes, "auto", torch.bfloat16).kernel not in (kernel, "reference")


# On the CPU: few elements that lie far apart, of which the others cost no memory

FAR_DIMS = {
    "batch": ((0,), (0,)),
    "steps": ((1,), (0,)),
    "steps and batch": ((1, 0), (1, 0)),
    "features": ((2,), (2,)),
}
"""Of x and dz, and of weight."""


def far(dtype: torch.dtype, *shape: int, dims: tuple[int, ...]) -> Tensor:
    return sparse.far(shape, dtype, *dims).copy_(torch.randint(-2, 3, shape))


@needs_module
@pytest.mark.parametrize("dims", FAR_DIMS.values(), ids=FAR_DIMS)
@pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
def test_strides_beyond_32_bits_on_the_cpu(dtype: torch.dtype, dims: tuple) -> None:
    """In float32 by the kernels, where torch uses AVX2; else by ATen. Integers: sums are exact."""
    of_rows, of_weight = dims
    x, dz = far(dtype, 7, 3, 20, dims=of_rows), far(dtype, 7, 3, 18, dims=of_rows)
    weight, bias = far(dtype, 3, 20, 18, dims=of_weight), far(dtype, 3, 18, dims=(0,))
    y = torch.ops.per_step_dense.forward(x, weight, bias)
    dx, dweight, dbias = torch.ops.per_step_dense.backward(dz, x, weight, True)
    x, dz, weight, bias = (tensor.double() for tensor in (x, dz, weight, bias))
    assert torch.equal(y.double(), torch.einsum("bti,tio->bto", x, weight) + bias)
    assert torch.equal(dx.double(), torch.einsum("bto,tio->bti", dz, weight))
    assert torch.equal(dweight.double(), torch.einsum("bti,bto->tio", x, dz))
    assert torch.equal(dbias.double(), dz.sum(0))


@needs_module
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=cases.dtype_id)
def test_samples_of_different_lengths_beyond_32_bits_on_the_cpu(dtype: torch.dtype) -> None:
    lengths = torch.tensor([3, 3, 2, 2, 1, 0])
    x, weight = far(dtype, 6, 3, 20, dims=(0,)), far(dtype, 3, 20, 18, dims=(0,))
    dz = far(dtype, 6, 3, 18, dims=(0,))
    has_step = (torch.arange(3) < lengths[:, None])[..., None]
    y = torch.ops.per_step_dense.ragged_forward(x, weight, None, lengths)
    dx, dweight, _ = torch.ops.per_step_dense.ragged_backward(dz, x, weight, lengths, 3, True)
    x, dz, weight = (x * has_step).double(), (dz * has_step).double(), weight.double()
    assert torch.equal(y.double(), torch.einsum("bti,tio->bto", x, weight))
    assert torch.equal(dx.double(), torch.einsum("bto,tio->bti", dz, weight))
    assert torch.equal(dweight.double(), torch.einsum("bti,bto->tio", x, dz))


# On a GPU: x, weight and y of more than 2^31 elements each

GPU_SIZES = {
    "2^31 elements each": (128, 2**18 + 1, 72, 136),  # x 2.4e9, weight 2.6e9, y 4.6e9
    "2^31 elements each, of small matrices": (24, 2**22 + 3, 40, 40),
    "70,000 steps": (64, 70_000, 64, 64),
    "2^31 elements of x": (2**21 + 9, 2, 1032, 8),
}


def sampled(size: int) -> Tensor:
    """Indices: both ends, and some between."""
    ends = [n for n in (0, 1, size - 2, size - 1) if 0 <= n < size]
    return torch.cat([torch.tensor(ends), torch.randint(size, (12,))]).unique()


@pytest.mark.parametrize("kernel", ["auto", "simt", "tiny", "sm80", "sm90"])
@pytest.mark.parametrize("sizes", GPU_SIZES.values(), ids=GPU_SIZES)
def test_values_on_a_gpu(gpu: torch.device, sizes: tuple[int, int, int, int], kernel: str) -> None:
    """Steps that are sampled, whole; in bfloat16, against float64."""
    b, t, i, o = sizes
    shapes = ((b, t, i), (t, i, o), (t, o), (b, t, o))
    needed = 2.2 * sum(map(math.prod, shapes)) * 2  # gradients are as large
    if needed > torch.cuda.mem_get_info(gpu)[0]:
        pytest.skip(f"needs {needed / 2**30:.0f} GiB of GPU memory")
    options = {"device": gpu, "dtype": torch.bfloat16}
    x, weight, bias, dy = (torch.randn(shape, **options) for shape in shapes)
    with psd.use_kernel(kernel):
        try:
            y = torch.ops.per_step_dense.forward(x, weight, bias)
            dx, dweight, dbias = torch.ops.per_step_dense.backward(dy, x, weight, True)
        except ValueError as refusal:
            # Of sizes or of this GPU, for a reason that it gives; the chooser finds somebody.
            if kernel == "auto" or "cannot take this call" not in str(refusal):
                raise
            pytest.skip(str(refusal))
    for step in sampled(t).tolist():
        at = slice(step, step + 1)
        of_step = x[:, at], weight[at], bias[at], dy[:, at]
        results = y[:, at], dx[:, at], dweight[at], dbias[at]
        own_x, own_weight, own_bias, own_dy = (tensor.contiguous() for tensor in of_step)
        for own, torchs, exact in zip(
            results,
            formula(own_x, own_weight, own_bias, own_dy),
            formula(*(tensor.double() for tensor in (own_x, own_weight, own_bias, own_dy))),
            strict=True,
        ):
            assert_as_close_as_torch(own, torchs, exact)


def formula(x: Tensor, weight: Tensor, bias: Tensor, dy: Tensor) -> tuple[Tensor, ...]:
    """Of one step: y, dx, dweight and dbias."""
    x, dy = x[:, 0], dy[:, 0]
    y = (x @ weight[0] + bias[0])[:, None]
    return y, (dy @ weight[0].T)[:, None], (x.T @ dy)[None], dy.sum(0, keepdim=True)
