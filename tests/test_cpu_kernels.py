"""Are the CPU's kernels right at every size, stride and number of threads, and within bounds?"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import truth
from cases import Arguments, of_sizes
from torch import Tensor

import per_step_dense as psd
from per_step_dense import _ops

F32 = torch.float32
HAS_KERNELS = _ops.compiled is not None and torch.backends.cpu.get_cpu_capability() == "AVX2"

# Of the kernels' sizes: 6 rows, vectors of 8 and panels of 16 columns, blocks of 120 rows, 256
# columns and 256 terms. Few steps make parts of a product tasks of their own.
SIZES = {
    "seed": (32, 10, 4, 8),
    "ones": (1, 1, 1, 1),
    "one row": (1, 5, 33, 17),
    "full tiles": (12, 3, 16, 32),
    "ragged rows": (125, 3, 16, 16),
    "ragged columns": (7, 3, 9, 41),
    "one narrow panel": (13, 4, 10, 7),
    "two blocks of terms": (9, 3, 300, 24),
    "two blocks of everything": (130, 1, 260, 290),
    "parts of one step": (64, 1, 64, 64),
    "parts in both ways": (200, 2, 48, 200),
    "many steps": (3, 65, 12, 20),
    "long batch": (1000, 2, 5, 3),
}


def results(args: Arguments, activation: str | None, dy: Tensor) -> dict[str, Tensor]:
    leaves = [tensor.detach().requires_grad_() for tensor in args]
    y = psd.per_step_dense(*leaves, activation=activation)
    return named(y, torch.autograd.grad(y, leaves, dy))


def named(y: Tensor, gradients: tuple[Tensor, ...]) -> dict[str, Tensor]:
    names = ("y", "dx", "dweight", "dbias")
    return {name: tensor.detach() for name, tensor in zip(names, (y, *gradients), strict=True)}


def by(
    compute: Callable[..., Tensor], args: Arguments, activation: str | None, dy: Tensor
) -> dict[str, Tensor]:
    leaves = [tensor.detach().to(dy.dtype).requires_grad_() for tensor in args]
    y = compute(*leaves, activation=activation)
    return named(y, torch.autograd.grad(y, leaves, dy))


def assert_right(args: Arguments, activation: str | None = None) -> None:
    dy = torch.randn(*args.x.shape[:-1], args.weight.size(-1))
    actual = results(args, activation, dy)
    torchs = by(psd.reference.per_step_dense, args, activation, dy)
    exact = by(truth.per_step_dense, args, activation, dy.double())
    for name, tensor in actual.items():
        assert tensor.is_contiguous(), name
        error, torchs_error = (rms(t - exact[name]) for t in (tensor, torchs[name]))
        assert error <= 2 * torchs_error + 1e-8 * rms(exact[name]), name


def rms(tensor: Tensor) -> float:
    """Not the largest error, which of so few terms is a matter of luck: torch's, and ours."""
    return tensor.double().square().mean().sqrt().item()


@pytest.mark.skipif(not HAS_KERNELS, reason="the CPU's kernels need torch's capability AVX2")
def test_kernels_serve_float32() -> None:
    for dtype, kernel in ((F32, "avx2"), (torch.float64, "aten"), (torch.bfloat16, "aten")):
        plan = psd.explain(*of_sizes(3, 4, 5, 6, dtype, "cpu"))
        assert (plan.kernel, plan.backward.kernel) == (kernel, kernel)
    assert psd.explain(*of_sizes(3, 4, 5, 6, F32, "cpu")).reason == (
        "float32 on cpu: this package's kernels for AVX2"
    )


# relu's gradient needs y alone, which then lies where the sums did.
@pytest.mark.parametrize("activation", [None, "gelu", "relu"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_every_size(sizes: tuple[int, ...], activation: str | None, threads: int) -> None:
    assert_right(of_sizes(*sizes, F32, "cpu"), activation)


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_small_integers_are_exact(sizes: tuple[int, ...]) -> None:
    batch, steps, inputs, outputs = sizes
    shapes = ((batch, steps, inputs), (steps, inputs, outputs), (steps, outputs))
    args = Arguments(*(torch.randint(-3, 4, shape).float() for shape in shapes))
    dy = torch.randint(-3, 4, (batch, steps, outputs)).float()
    actual = results(args, None, dy)
    exact = by(truth.per_step_dense, args, None, dy.double())
    for name, tensor in actual.items():
        assert torch.equal(tensor.double(), exact[name]), name


def test_bits_depend_neither_on_threads_nor_on_the_run() -> None:
    before = torch.get_num_threads()
    try:
        for sizes in SIZES.values():
            args = of_sizes(*sizes, F32, "cpu")
            dy = torch.randn(*args.x.shape[:-1], args.weight.size(-1))
            runs = []
            for count in (1, 2, 3, 5, 1):
                torch.set_num_threads(count)
                runs.append(results(args, "gelu", dy))
            for run in runs[1:]:
                assert all(torch.equal(run[name], runs[0][name]) for name in run)
    finally:
        torch.set_num_threads(before)


def strided(args: Arguments) -> dict[str, Arguments]:
    x, weight, bias = args
    batch, steps, inputs = x.shape
    return {
        "steps first": args._replace(x=x.transpose(0, 1).contiguous().transpose(0, 1)),
        "features first": args._replace(x=x.transpose(1, 2).contiguous().transpose(1, 2)),
        "one sample for all": args._replace(x=x[:1].expand(x.shape)),
        "windows": args._replace(x=torch.randn(batch, steps + inputs - 1).unfold(1, inputs, 1)),
        "every other": args._replace(x=torch.randn(batch, steps, 2 * inputs)[..., ::2]),
        "weight transposed": args._replace(weight=weight.mT.contiguous().mT),
        "one weight for all": args._replace(weight=weight[:1].expand(weight.shape)),
        "weight by steps": args._replace(
            weight=weight.permute(1, 2, 0).contiguous().permute(2, 0, 1)
        ),
        "one bias for all": args._replace(bias=bias[:1].expand(bias.shape)),
        "bias transposed": args._replace(bias=bias.t().contiguous().t()),
        "leading dimensions": args._replace(x=torch.randn(2, 3, steps, inputs)),
    }


@pytest.mark.parametrize("layout", strided(of_sizes(2, 2, 2, 2, F32, "cpu")))
@pytest.mark.parametrize("sizes", [(130, 3, 20, 35), (7, 9, 300, 17)], ids=str)
def test_every_stride(layout: str, sizes: tuple[int, ...]) -> None:
    assert_right(strided(of_sizes(*sizes, F32, "cpu"))[layout], "silu")


@pytest.mark.parametrize("sizes", [(0, 3, 4, 5), (3, 0, 4, 5), (3, 4, 0, 5), (3, 4, 5, 0)], ids=str)
def test_empty_sizes(sizes: tuple[int, ...]) -> None:
    args = of_sizes(*sizes, F32, "cpu")
    dy = torch.randn(*args.x.shape[:-1], args.weight.size(-1))
    actual = results(args, "gelu", dy)
    exact = by(truth.per_step_dense, args, "gelu", dy.double())
    for name, tensor in actual.items():
        torch.testing.assert_close(tensor, exact[name].float(), msg=name)


def test_only_what_is_asked_for() -> None:
    x, weight, _ = of_sizes(9, 3, 20, 17, F32, "cpu")
    dz = torch.randn(9, 3, 17)
    backward = torch.ops.per_step_dense.backward
    whole = backward(dz, x, weight, True)
    for has_x, has_weight, has_bias in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (0, 1, 1)):
        dx, dweight, dbias = backward(
            dz, x if has_x else None, weight if has_weight else None, bool(has_bias)
        )
        for wanted, part, full in zip(
            (has_weight, has_x, has_bias), (dx, dweight, dbias), whole, strict=True
        ):
            assert (part is None or not part.numel()) == (not wanted)
            if wanted:
                torch.testing.assert_close(part, full, rtol=1e-6, atol=1e-5)


# Activations

GRID = torch.cat([torch.linspace(-120, 120, 40_001), torch.linspace(-6, 6, 40_001)])
SPECIAL = torch.tensor(
    [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1e-40, -1e-40, 3e38, -3e38, 88.8, -104.0]
)


def activated(activation: str, z: Tensor) -> tuple[Tensor, Tensor]:
    """y and dy/dz by the op, through a layer of one feature whose weight is one."""
    x = z.view(-1, 1, 1).clone().requires_grad_()
    y = psd.per_step_dense(x, torch.ones(1, 1, 1), activation=activation)
    (dz,) = torch.autograd.grad(y, x, torch.ones_like(y))  # a sum's is expanded: ATen's then
    return y.detach().flatten(), dz.flatten()


def by_torch(activation: str, z: Tensor) -> tuple[Tensor, Tensor]:
    z = z.clone().requires_grad_()
    y = psd.reference.per_step_dense(
        z.view(-1, 1, 1), torch.ones(1, 1, 1, dtype=z.dtype), activation=activation
    )
    (dz,) = torch.autograd.grad(y.sum(), z)
    return y.detach().flatten(), dz.flatten()


@pytest.mark.parametrize("activation", [name for name in truth.ACTIVATIONS if name])
def test_activations_and_derivatives_everywhere(activation: str) -> None:
    """As close as torch's, where 1 + tanh and its like lose what the formula loses."""

    def largest(values: Tensor, exact: Tensor) -> float:
        return ((values.double() - exact).abs() / (0.1 + exact.abs())).max().item()

    mine, torchs = activated(activation, GRID), by_torch(activation, GRID)
    for values, reference, exact in zip(
        mine, torchs, by_torch(activation, GRID.double()), strict=True
    ):
        assert largest(values, exact) <= max(1e-6, 2 * largest(reference, exact))


@pytest.mark.parametrize("activation", [name for name in truth.ACTIVATIONS if name])
def test_activations_of_what_is_not_finite(activation: str) -> None:
    # In float32 torch's gelu of infinity is infinity or NaN, by its library; z * z * z, which
    # gelu_tanh has, ends where the dtype does.
    special = SPECIAL.double() if activation == "gelu" and HAS_KERNELS else SPECIAL
    for mine, torchs in zip(
        activated(activation, SPECIAL), by_torch(activation, special), strict=True
    ):
        torch.testing.assert_close(mine, torchs.float(), rtol=2e-6, atol=2e-7, equal_nan=True)


@pytest.mark.parametrize("size", [1, 7, 8, 9, 16_383, 16_384, 40_000])
def test_activation_backward_of_every_length(size: int, threads: int) -> None:
    dy, z = torch.randn(size), torch.randn(size)
    mine = torch.ops.per_step_dense.activation_backward(dy, z, "gelu")
    torch.testing.assert_close(mine, torch.ops.aten.gelu_backward(dy, z), rtol=1e-5, atol=1e-6)


def test_activation_backward_of_strided_tensors() -> None:
    dy, z = torch.randn(9, 7).t(), torch.randn(7, 9)
    mine = torch.ops.per_step_dense.activation_backward(dy, z, "tanh")
    torch.testing.assert_close(mine, dy * (1 - z * z))


# Numbers that are none, and sums that are long


def test_nan_and_inf_stay_where_they_are() -> None:
    args = of_sizes(13, 3, 20, 17, F32, "cpu")
    x = args.x.clone()
    x[4, 1, 3], x[5, 2, 0] = float("nan"), float("inf")
    y = psd.per_step_dense(x, *args[1:])
    expected = psd.reference.per_step_dense(x, *args[1:])
    assert torch.equal(y.isnan(), expected.isnan()) and y.isnan().sum() == 17
    assert torch.equal(y.isinf(), expected.isinf())


@pytest.mark.parametrize(
    "sizes", [(50_000, 2, 3, 5), (100_000, 64, 2, 1)], ids=["few weights", "many weights"]
)
def test_sums_over_a_long_batch(sizes: tuple[int, ...]) -> None:
    batch, steps, inputs, outputs = sizes
    shapes = ((batch, steps, inputs), (steps, inputs, outputs), (steps, outputs))
    assert_right(Arguments(*(torch.rand(shape) for shape in shapes)))


@pytest.mark.skipif(not HAS_KERNELS, reason="the CPU's kernels need torch's capability AVX2")
def test_a_long_sum_is_cut_however_many_weights_there_are() -> None:
    """Behind 2^31 one chain would lose every block of 128 ones."""
    samples = 1 << 17
    dz = torch.ones(samples, 1, 1)
    dz[0] = 2.0**31
    x = torch.ones(1, 1, 1).expand(samples, 64, 1)
    backward = torch.ops.per_step_dense.backward
    _, dweight, _ = backward(dz.expand(samples, 64, 1), x, None, False)
    assert (dweight.double() - (2**31 + samples - 1)).abs().max() < 0.75 * samples


# Bounds: tensors that end where memory does


class Guarded:
    """Copies of tensors between two pages that nobody may touch."""

    def __init__(self) -> None:
        self._maps: list[mmap.mmap] = []
        self._protect = ctypes.CDLL(None, use_errno=True).mprotect

    def __call__(self, tensor: Tensor, *, at_end: bool) -> Tensor:
        page = mmap.PAGESIZE
        inside = -(-tensor.numel() * 4 // page) * page
        region = mmap.mmap(-1, inside + 2 * page)
        self._maps.append(region)
        start = ctypes.addressof(ctypes.c_char.from_buffer(region))
        for guard in (start, start + page + inside):
            assert self._protect(ctypes.c_void_p(guard), page, 0) == 0
        offset = page + (inside - tensor.numel() * 4 if at_end else 0)
        flat = torch.frombuffer(region, dtype=F32, count=tensor.numel(), offset=offset)
        return flat.view(tensor.shape).copy_(tensor)


@pytest.mark.parametrize("at_end", [True, False], ids=["end", "start"])
@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_nothing_is_read_out_of_bounds(sizes: tuple[int, ...], at_end: bool) -> None:
    """A read or write beyond a tensor ends the process."""
    guarded = Guarded()
    args = Arguments(*(guarded(t, at_end=at_end) for t in of_sizes(*sizes, F32, "cpu")))
    dy = guarded(torch.randn(*sizes[:2], sizes[3]), at_end=at_end)
    assert_as_computed_elsewhere(args, dy)
    transposed = args._replace(weight=guarded(args.weight.mT.contiguous(), at_end=at_end).mT)
    assert_as_computed_elsewhere(transposed, dy)


def assert_as_computed_elsewhere(args: Arguments, dy: Tensor) -> None:
    actual = results(args, "relu", dy)
    expected = results(Arguments(*(tensor.clone() for tensor in args)), "relu", dy.clone())
    for name, tensor in actual.items():
        if HAS_KERNELS:
            assert torch.equal(tensor, expected[name]), name
        else:  # ATen's products may have other bits where tensors are aligned otherwise
            torch.testing.assert_close(tensor, expected[name], msg=name)


# Threads


def test_calls_of_several_threads_at_once() -> None:
    args = of_sizes(130, 3, 64, 64, F32, "cpu")
    dy = torch.randn(130, 3, 64)
    expected = results(args, "gelu", dy)
    with ThreadPoolExecutor(4) as pool:
        for run in pool.map(lambda _: results(args, "gelu", dy), range(16)):
            assert all(torch.equal(run[name], expected[name]) for name in run)
