"""Does batch_invariant() keep a sample's bits, whoever else is computed with it?"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import cases
import pytest
import torch
import truth
from batch_invariance import (
    ACTIVATIONS,
    SIZES,
    assert_no_sample_depends_on_others,
    rows_and_gradients,
)
from kernel_in_force import in_force, nothing_is_left_in_force  # noqa: F401 - around all
from plans import BF16, F32, meta
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torch.autograd import forward_ad

import per_step_dense as psd
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

ops = torch.ops.per_step_dense
each_dtype = pytest.mark.parametrize("dtype", cases.DTYPES, ids=cases.dtype_id)
each_size = pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)


def arguments(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device | str = "cpu"
) -> tuple[cases.Arguments, Tensor]:
    """And a gradient of y."""
    b, t, _, o = sizes
    args = cases.of_sizes(*sizes, dtype, device)
    return args, torch.randn(b, t, o, dtype=dtype, device=device)


# The same bits


@each_dtype
@each_size
def test_rows_and_their_gradients(
    sizes: tuple[int, int, int, int], dtype: torch.dtype, device: torch.device
) -> None:
    args, dy = arguments(sizes, dtype, device)
    assert_no_sample_depends_on_others(
        lambda own: rows_and_gradients(args._replace(x=args.x[own]), dy[own], None), sizes[0]
    )


@each_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS[1:])
def test_activations(activation: str, dtype: torch.dtype, device: torch.device) -> None:
    sizes = (67, 3, 5, 7)  # an odd number of elements a sample: none begins where another did
    args, dy = arguments(sizes, dtype, device)
    assert_no_sample_depends_on_others(
        lambda own: rows_and_gradients(args._replace(x=args.x[own]), dy[own], activation), sizes[0]
    )


@each_dtype
def test_any_number_of_threads(dtype: torch.dtype, threads: int) -> None:
    args, dy = arguments((200, 5, 64, 48), dtype)
    several = rows_and_gradients(args, dy, "gelu")
    torch.set_num_threads(1)
    for one, other in zip(rows_and_gradients(args, dy, "gelu"), several, strict=True):
        assert torch.equal(one, other)


@each_dtype
def test_a_sample_may_lie_anywhere(dtype: torch.dtype, device: torch.device) -> None:
    args, dy = arguments((40, 3, 24, 16), dtype, device)
    expected = rows_and_gradients(args, dy, "silu")
    elsewhere = args.x.new_empty(40 * 3 * 24 + 1)[1:].view_as(args.x).copy_(args.x)
    steps_first = args.x.transpose(0, 1).contiguous().transpose(0, 1)
    for x in (elsewhere, steps_first):
        for one, other in zip(
            rows_and_gradients(args._replace(x=x), dy, "silu"), expected, strict=True
        ):
            assert torch.equal(one, other)


@each_dtype
@pytest.mark.parametrize("form", ["packed", "sorted", "any_order"])
def test_samples_of_other_lengths(form: str, dtype: torch.dtype, device: torch.device) -> None:
    t, i, o = 6, 33, 17
    x, dy = torch.randn(20, t, i, dtype=dtype), torch.randn(20, t, o, dtype=dtype)
    weight, bias = torch.randn(t, i, o, dtype=dtype), torch.randn(t, o, dtype=dtype)
    x, dy, weight, bias = (tensor.to(device) for tensor in (x, dy, weight, bias))
    lengths = torch.arange(20) * 5 % t + 1
    if form == "sorted":
        lengths = lengths.sort(descending=True).values

    def compute(own: Tensor) -> tuple[Tensor, Tensor]:
        own_x = x[own].requires_grad_()
        with psd.batch_invariant():
            if form == "packed":
                sequence = torch.nn.utils.rnn.pack_padded_sequence(
                    own_x, lengths[own], batch_first=True, enforce_sorted=False
                )
                result = psd.per_step_dense(sequence, weight, bias, activation="gelu")
                y, _ = torch.nn.utils.rnn.pad_packed_sequence(
                    result, batch_first=True, total_length=t
                )
            else:
                y = psd.per_step_dense(own_x, weight, bias, activation="gelu", lengths=lengths[own])
        (dx,) = torch.autograd.grad(y, own_x, dy[own])
        return y.detach(), dx

    everybody = torch.arange(20)
    of_all = compute(everybody)
    for b in (0, 7, 19):
        alone = compute(torch.tensor([b]))
        for result, expected in zip(alone, of_all, strict=True):
            assert torch.equal(result[0], expected[b])


@each_dtype
def test_cpus_without_kernels(dtype: torch.dtype) -> None:
    """There a loop in float64 serves every dtype."""
    script = f"""
import torch, test_batch_invariant as tests
assert torch.backends.cpu.get_cpu_capability() == "DEFAULT"
torch.manual_seed(20)
for name in ("odd", "one_output"):
    tests.test_rows_and_their_gradients(tests.SIZES[name], {dtype}, torch.device("cpu"))
for activation in tests.ACTIVATIONS[1:]:
    tests.test_activations(activation, {dtype}, torch.device("cpu"))
    tests.test_values(activation, {dtype}, torch.device("cpu"))
for form in ("packed", "sorted", "any_order"):
    tests.test_samples_of_other_lengths(form, {dtype}, torch.device("cpu"))
"""
    folders = [Path(psd.__file__).parents[1], Path(__file__).parent]
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, folders)),
        "ATEN_CPU_CAPABILITY": "default",
    }
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)


# The values


@each_dtype
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values(activation: str | None, dtype: torch.dtype, device: torch.device) -> None:
    args, dy = arguments((33, 3, 50, 20), dtype, device)
    tensors = [tensor.detach().requires_grad_() for tensor in args]
    with psd.batch_invariant():
        y = psd.per_step_dense(*tensors, activation=activation)
    torchs = psd.reference.per_step_dense(*tensors, activation=activation)
    exact_args = [truth.in_fp64(tensor) for tensor in tensors]
    exact = truth.per_step_dense(*exact_args, activation=activation)
    assert_as_close_as_torch(y, torchs, exact)
    for mine, of_torch, true in zip(
        torch.autograd.grad(y, tensors, dy),
        torch.autograd.grad(torchs, tensors, dy),
        torch.autograd.grad(exact, exact_args, dy.double()),
        strict=True,
    ):
        assert_as_close_as_torch(mine, of_torch, true)


@each_dtype
def test_accumulated_gradients(dtype: torch.dtype) -> None:
    args, dz = arguments((9, 3, 5, 7), dtype)
    before = [torch.ones(3, 5, 7, dtype=dtype), torch.ones(3, 7, dtype=dtype)]
    sums, torchs = ([tensor.clone() for tensor in before] for _ in range(2))
    dx = ops.backward_accumulate(dz, args.x, args.weight, *sums, "batch_invariant")
    assert torch.equal(dx, ops.backward(dz, args.x, args.weight, False, "batch_invariant")[0])
    ops.backward_accumulate(dz, args.x, args.weight, *torchs, "reference")
    added = torch.einsum("bti,bto->tio", args.x.double(), dz.double()), dz.double().sum(0)
    for mine, of_torch, old, new in zip(sums, torchs, before, added, strict=True):
        assert_as_close_as_torch(mine, of_torch, old.double() + new)


# What runs


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("dtype", [F32, torch.float64, torch.float16, BF16], ids=cases.dtype_id)
def test_the_family_follows_from_the_dtype(dtype: torch.dtype, arch: str) -> None:
    family = "sm80" if dtype.itemsize == 2 else "simt"
    for b in (1, 64, 4096, 65536):
        for t, i, o in ((10, 4, 8), (4, 2048, 16), (2, 8192, 256), (16, 2048, 2048)):
            with psd.batch_invariant():
                plan = psd.explain(
                    meta(b, t, i, dtype=dtype), meta(t, i, o, dtype=dtype), arch=arch
                )
            assert (plan.kernel, plan.splits) == (family, (1,))
            assert plan.backward is not None
            assert (plan.backward.kernel, plan.backward.splits[0]) == (family, 1)
            assert "batch_invariant was asked for" in plan.reason


def test_the_plan_of_a_cpu() -> None:
    with psd.batch_invariant():
        plan = psd.explain(torch.ones(2, 3, 4), torch.ones(3, 4, 5))
    assert plan.kernel == "batch_invariant"
    assert "in an order that no batch size changes" in plan.reason


def test_compiled_code() -> None:
    args, dy = arguments((64, 3, 37, 29), torch.bfloat16)

    @torch.compile(dynamic=True)
    def compiled(x: Tensor) -> Tensor:
        return psd.per_step_dense(x, args.weight, args.bias, activation="gelu")

    def compute(own: Tensor) -> tuple[Tensor, Tensor]:
        x = args.x[own].requires_grad_()
        with psd.batch_invariant():
            y = compiled(x)
        (dx,) = torch.autograd.grad(y, x, dy[own])
        return y.detach(), dx

    assert_no_sample_depends_on_others(compute, 64)


def test_vmap_is_one_batch() -> None:
    args, _ = arguments((24, 3, 37, 29), torch.float64)
    with psd.batch_invariant():
        expected = psd.per_step_dense(*args)
        mapped = torch.func.vmap(psd.per_step_dense, in_dims=(0, None, None))(
            args.x.view(4, 6, 3, 37), args.weight, args.bias
        )
    assert torch.equal(mapped.view_as(expected), expected)


# The context


def test_it_is_the_threads_own() -> None:
    seen = []
    with psd.batch_invariant():
        assert in_force() == "batch_invariant"
        thread = threading.Thread(target=lambda: seen.append(in_force()))
        thread.start()
        thread.join()
    assert seen == ["auto"]


def test_it_nests_and_auto_leaves_it_in_force() -> None:
    context = psd.batch_invariant()
    with context, context, psd.use_kernel("auto"):
        assert in_force() == "batch_invariant"


def test_decorator() -> None:
    @psd.batch_invariant()
    def name() -> str:
        return in_force()

    assert name() == "batch_invariant"


@pytest.mark.parametrize("family", ["simt", "reference"])
def test_no_family_inside_and_it_inside_no_family(family: str) -> None:
    text = f"per_step_dense: use_kernel('{family}') inside batch_invariant(), which chooses the "
    with psd.batch_invariant(), pytest.raises(ValueError) as refused, psd.use_kernel(family):
        pass
    assert str(refused.value) == text + "kernels itself"
    text = f"per_step_dense: batch_invariant() inside use_kernel('{family}'), which chooses the "
    with psd.use_kernel(family), pytest.raises(ValueError) as refused, psd.batch_invariant():
        pass
    assert str(refused.value) == text + "kernels itself"


def test_use_kernel_does_not_know_it() -> None:
    with pytest.raises(ValueError, match="kernel must be one of auto, reference, simt, tiny"):
        psd.use_kernel("batch_invariant")


def test_forward_mode_is_refused() -> None:
    args, _ = arguments((2, 3, 4, 5), torch.float32)
    with forward_ad.dual_level(), psd.batch_invariant():
        x = forward_ad.make_dual(args.x, torch.ones_like(args.x))
        with pytest.raises(ValueError) as refused:
            psd.per_step_dense(x, args.weight)
    assert str(refused.value) == (
        "per_step_dense: batch_invariant() cannot serve forward-mode AD or nested tensors; only "
        "'auto' and 'reference' can"
    )


def test_bad_arguments_get_the_usual_errors() -> None:
    x, weight = torch.ones(2, 3, 4), torch.ones(3, 4, 5)
    with psd.batch_invariant():
        with pytest.raises(TypeError, match="must have the dtype of x"):
            psd.per_step_dense(x.half(), weight)
        with pytest.raises(ValueError, match=r"bias must be \(T, O\)"):
            psd.per_step_dense(x, weight, torch.ones(5))
