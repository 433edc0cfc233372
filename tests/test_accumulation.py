"""Does `backward_accumulate` add to the gradients it is given what `backward` would return?

It is no part of the public interface: it is for what accumulates gradients by itself, such as a
training loop with float32 gradients of bfloat16 weights.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
import torch
from cases import DTYPES, LAYOUTS, New, arguments, dtype_id
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torch.library import opcheck

import per_step_dense as psd

ops = torch.ops.per_step_dense

# Of the elements, and of what is added to.
DTYPE_PAIRS = [(dtype, dtype) for dtype in DTYPES] + [
    (dtype, torch.float32) for dtype in (torch.float16, torch.bfloat16)
]
each_pair = pytest.mark.parametrize(
    ("dtype", "into"), DTYPE_PAIRS, ids=lambda dtype: dtype_id(dtype)
)


class Call(NamedTuple):
    """The op's tensors."""

    dz: Tensor  # (*, T, O)
    x: Tensor | None  # (*, T, I)
    weight: Tensor | None  # (T, I, O)
    dweight: Tensor | None  # (T, I, O)
    dbias: Tensor | None  # (T, O)


def call_of(
    device: torch.device,
    dtype: torch.dtype = torch.float32,
    into: torch.dtype | None = None,
    layout: str = "contiguous",
) -> Call:
    x, weight, _ = arguments(layout, dtype, device)
    (t, i, o), new, new_gradient = weight.shape, New(dtype, device), New(into or dtype, device)
    dz = new(*x.shape[:-1], o)
    return Call(dz, x, weight, new_gradient(t, i, o), new_gradient(t, o))


def strided(tensor: Tensor) -> Tensor:
    """The same values, with NaN between them."""
    wide = tensor.new_full((*tensor.shape[:-1], 2 * tensor.size(-1)), torch.nan)
    return wide[..., 1::2].copy_(tensor)


def assert_accumulates(call: Call, **options: str) -> None:
    dz, x, weight, dweight, dbias = call
    old_dweight, old_dbias = dweight.clone(), dbias.clone()
    dx = ops.backward_accumulate(*call, **options)
    in_fp64 = [tensor.double() for tensor in (dz, x, weight)]
    exact = ops.backward(*in_fp64, True)
    # torch's own, in the dtype of what is added to
    wide = [tensor.to(dweight.dtype) for tensor in (dz, x)]
    torchs_dx, _, _ = psd_gradients(dz, x, weight)
    _, product, total = psd_gradients(*wide, weight.to(dweight.dtype))
    assert_as_close_as_torch(dx, torchs_dx, exact[0])
    assert_as_close_as_torch(dweight, old_dweight + product, old_dweight.double() + exact[1])
    assert_as_close_as_torch(dbias, old_dbias + total, old_dbias.double() + exact[2])


def psd_gradients(dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As the einsum reference has them."""
    return (
        torch.einsum("...to,tio->...ti", dz, weight),
        torch.einsum("...ti,...to->tio", x, dz),
        dz.flatten(0, -3).sum(0) if dz.dim() > 2 else dz,
    )


# Values


@each_pair
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_values_match_fp64(
    device: torch.device, kernel: str, dtype: torch.dtype, into: torch.dtype
) -> None:
    assert_accumulates(call_of(device, dtype, into), family=kernel)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_match_fp64_in_layout(device: torch.device, layout: str) -> None:
    assert_accumulates(call_of(device, layout=layout))
    assert_accumulates(call_of(device, torch.bfloat16, torch.float32, layout))


@each_pair
@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_strided_gradients(
    device: torch.device, kernel: str, dtype: torch.dtype, into: torch.dtype
) -> None:
    call = call_of(device, dtype, into)
    gradients = strided(call.dweight), call.dbias.t().contiguous().t()
    assert_accumulates(Call(*call[:3], *gradients), family=kernel)
    assert gradients[0]._base[..., ::2].isnan().all()


@each_pair
@pytest.mark.parametrize("kernel", ["simt", "tiny", "sm80"])
def test_values_of_every_kernel_that_is_asked_for(
    gpu: torch.device, kernel: str, dtype: torch.dtype, into: torch.dtype
) -> None:
    if kernel == "sm80" and dtype.itemsize > 2:
        pytest.skip("takes no such elements")
    assert_accumulates(call_of(gpu, dtype, into), family=kernel)


@pytest.mark.parametrize("kernel", ["auto", "reference"])
def test_float32_gradients_are_not_rounded_on_the_way(device: torch.device, kernel: str) -> None:
    """Each of 64 calls adds what 16 bits could not hold beside what is there."""
    new = New(torch.bfloat16, device)
    dz, x = new(3, 1, 2), new(3, 1, 4)
    dweight, dbias = (torch.full(shape, 1e3, device=device) for shape in ((1, 4, 2), (1, 2)))
    for _ in range(64):
        ops.backward_accumulate(dz, x, None, dweight, dbias, family=kernel)
    product = torch.einsum("bti,bto->tio", x.double(), dz.double())
    torch.testing.assert_close(dweight.double(), 1e3 + 64 * product, rtol=1e-5, atol=0)
    torch.testing.assert_close(dbias.double(), 1e3 + 64 * dz.double().sum(0), rtol=1e-5, atol=0)


@pytest.mark.parametrize("given", ["weight", "x", "dbias", "x+dbias", "weight+x", "none"])
def test_any_subset(device: torch.device, given: str) -> None:
    call = call_of(device)
    wanted = {
        "weight": given.count("weight"),
        "x": given.count("x"),
        "dweight": given.count("x"),
        "dbias": given.count("dbias"),
    }
    absent = call._replace(**{name: None for name, is_given in wanted.items() if not is_given})
    written = absent.dweight, absent.dbias
    old = [tensor if tensor is None else tensor.clone() for tensor in written]
    dx = ops.backward_accumulate(*absent)
    expected = ops.backward(absent.dz, absent.x, absent.weight, absent.dbias is not None)
    assert (dx is None) == (absent.weight is None)
    if dx is not None:
        assert torch.equal(dx, expected[0])
    for new, before, added in zip(written, old, expected[1:], strict=True):
        if new is not None:
            torch.testing.assert_close(new, before + added)


@pytest.mark.parametrize("sizes", [(0, 2, 3, 4), (5, 0, 3, 4), (5, 2, 0, 4), (5, 2, 3, 0)], ids=str)
def test_zero_sizes_add_nothing(device: torch.device, sizes: tuple[int, int, int, int]) -> None:
    b, t, i, o = sizes
    new = New(torch.float32, device)
    call = Call(new(b, t, o), new(b, t, i), new(t, i, o), new(t, i, o), new(t, o))
    old = call.dweight.clone(), call.dbias + call.dz.sum(0)
    dx = ops.backward_accumulate(*call)
    assert dx.shape == (b, t, i)
    assert not dx.any()
    assert torch.equal(call.dweight, old[0])
    torch.testing.assert_close(call.dbias, old[1])


# Autograd


def test_written_gradients_have_a_new_version(device: torch.device) -> None:
    call = call_of(device)
    versions = call.dweight._version, call.dbias._version
    ops.backward_accumulate(*call)
    assert (call.dweight._version, call.dbias._version) == tuple(v + 1 for v in versions)


@pytest.mark.parametrize("name", Call._fields)
def test_not_differentiable(device: torch.device, name: str) -> None:
    call = call_of(device)
    getattr(call, name).requires_grad_()
    with pytest.raises(ValueError) as refusal:
        ops.backward_accumulate(*call)
    assert str(refusal.value) == (
        "per_step_dense: backward_accumulate is not differentiable; call it under "
        "torch.no_grad(), or with tensors that do not require gradients"
    )
    with torch.no_grad():
        assert not ops.backward_accumulate(*call).requires_grad


def test_inside_a_backward_that_is_not_recorded(device: torch.device) -> None:
    """Where it is for: the parameters require gradients, and nothing is recorded."""
    main_grad = torch.ones(2, 4, 3, device=device)

    class Layer(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
            ctx.save_for_backward(x, weight)
            return ops.forward(x, weight)

        @staticmethod
        def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
            return ops.backward_accumulate(dy, *ctx.saved_tensors, main_grad, None), None

    x = torch.randn(5, 2, 4, device=device, requires_grad=True)
    weight = torch.randn(2, 4, 3, device=device, requires_grad=True)
    Layer.apply(x, weight).square().sum().backward()
    dx, dweight = torch.autograd.grad(psd.per_step_dense(x, weight).square().sum(), (x, weight))
    torch.testing.assert_close(x.grad, dx)
    torch.testing.assert_close(main_grad, 1 + dweight)


TRANSFORMS = {
    "vmap": lambda call: torch.vmap(lambda dz: ops.backward_accumulate(dz, *call[1:]))(
        torch.stack([call.dz, call.dz])
    ),
    "jvp": lambda call: torch.func.jvp(
        lambda dz: ops.backward_accumulate(dz, *call[1:]), (call.dz,), (call.dz,)
    ),
    "grad": lambda call: torch.func.grad(lambda dz: ops.backward_accumulate(dz, *call[1:]).sum())(
        call.dz
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_torch_func_is_refused(device: torch.device, transform: str) -> None:
    call = call_of(device)
    with pytest.raises(ValueError, match=r"^per_step_dense: backward_accumulate "):
        TRANSFORMS[transform](call)


# Registration


@pytest.mark.parametrize("layout", ["contiguous", "no_batch_dim", "swapped_batch_dims"])
@pytest.mark.parametrize("into", [torch.bfloat16, torch.float32], ids=dtype_id)
def test_opcheck(device: torch.device, into: torch.dtype, layout: str) -> None:
    call = call_of(device, torch.bfloat16, into, layout)
    opcheck(ops.backward_accumulate.default, call)
    opcheck(ops.backward_accumulate.default, call._replace(x=None, dweight=None))
    opcheck(ops.backward_accumulate.default, call._replace(dbias=None))


@pytest.mark.parametrize(
    "sizes", [(0, 5, 7, 9), (6, 0, 7, 9), (6, 5, 0, 9), (6, 5, 7, 0)], ids=["B", "T", "I", "O"]
)
def test_opcheck_of_nothing(device: torch.device, sizes: tuple[int, int, int, int]) -> None:
    b, t, i, o = sizes
    shapes = (b, t, o), (b, t, i), (t, i, o), (t, i, o), (t, o)
    opcheck(
        ops.backward_accumulate.default,
        tuple(torch.randn(shape, device=device) for shape in shapes),
    )


@pytest.mark.parametrize("layout", ["strided_weight", "batch_expanded_x", "expanded_weight"])
def test_opcheck_of_strides(device: torch.device, layout: str) -> None:
    opcheck(ops.backward_accumulate.default, call_of(device, layout=layout))


# Bad input


class Wrong(NamedTuple):
    """What replaces an argument, and what is said of it; of B = 6, T = 5, I = 7, O = 9."""

    text: str
    error: type[Exception]
    changes: dict[str, Any]


def of(*shape: int, dtype: torch.dtype = torch.float32) -> Any:
    return lambda call: torch.zeros(shape, dtype=dtype, device=call.dz.device)


WRONG = {
    "dz_1d": Wrong("dz must be (*, T, O), at least 2-D; got (9,)", ValueError, {"dz": of(9)}),
    "x_alone": Wrong(
        "x and dweight must be given together; got x alone",
        ValueError,
        {"dweight": lambda call: None},
    ),
    "dweight_alone": Wrong(
        "x and dweight must be given together; got dweight alone",
        ValueError,
        {"x": lambda call: None},
    ),
    "dweight_shape": Wrong(
        "dweight must be (T, I, O) = (5, 7, 9); got (5, 9, 7)", ValueError, {"dweight": of(5, 9, 7)}
    ),
    "dbias_shape": Wrong("dbias must be (T, O) = (5, 9); got (9,)", ValueError, {"dbias": of(9)}),
    "dweight_dtype": Wrong(
        "dweight must have the dtype of dz, float32; got float64",
        TypeError,
        {"dweight": of(5, 7, 9, dtype=torch.float64)},
    ),
    "dbias_dtype": Wrong(
        "dbias must have the dtype of dz, float32; got bfloat16",
        TypeError,
        {"dbias": of(5, 9, dtype=torch.bfloat16)},
    ),
    "dweight_kind": Wrong(
        "dweight must be float32, float64, float16 or bfloat16; got int64",
        TypeError,
        {"dweight": of(5, 7, 9, dtype=torch.int64)},
    ),
    "dweight_expanded": Wrong(
        "dweight must not overlap itself, as expanded tensors do",
        ValueError,
        {"dweight": lambda call: call.dweight[:1].expand(5, 7, 9)},
    ),
    "dbias_expanded": Wrong(
        "dbias must not overlap itself, as expanded tensors do",
        ValueError,
        {"dbias": lambda call: call.dbias[:1].expand(5, 9)},
    ),
    "dweight_negated": Wrong(
        "dweight must not be a negated view, as of a conjugate's imaginary part",
        ValueError,
        {"dweight": lambda call: torch.complex(call.dweight, call.dweight).conj().imag},
    ),
    "dbias_negated": Wrong(
        "dbias must not be a negated view, as of a conjugate's imaginary part",
        ValueError,
        {"dbias": lambda call: torch.complex(call.dbias, call.dbias).conj().imag},
    ),
    "dweight_is_weight": Wrong(
        "dweight must not share memory with weight",
        ValueError,
        {"dweight": lambda call: call.weight},
    ),
    "dbias_is_in_dz": Wrong(
        "dbias must not share memory with dz", ValueError, {"dbias": lambda call: call.dz[0]}
    ),
    "dbias_is_in_dweight": Wrong(
        "dbias must not share memory with dweight",
        ValueError,
        {"dbias": lambda call: call.dweight.flatten()[:45].view(5, 9)},
    ),
}


@pytest.mark.parametrize("kernel", ["auto", "reference"])
@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments(device: torch.device, case: str, kernel: str) -> None:
    text, error, changes = WRONG[case]
    call = call_of(device)
    call = call._replace(**{name: change(call) for name, change in changes.items()})
    old = [tensor.clone() for tensor in (call.dweight, call.dbias) if tensor is not None]
    with pytest.raises(error, match=f"^{re.escape(f'per_step_dense: {text}')}$"):
        ops.backward_accumulate(*call, family=kernel)
    new = [tensor for tensor in (call.dweight, call.dbias) if tensor is not None]
    assert all(map(torch.equal, new, old))


def test_negated_views_are_read_as_such(device: torch.device) -> None:
    call = call_of(device)
    negated = torch.complex(call.dz, -call.dz).conj().imag
    assert negated.is_neg()
    old = call.dbias.clone()
    with torch.inference_mode():
        ops.backward_accumulate(negated, call.x, None, call.dweight, call.dbias)
    torch.testing.assert_close(call.dbias, old + call.dz.flatten(0, -3).sum(0))


def test_16_bit_elements_may_be_added_to_float32(device: torch.device) -> None:
    call = call_of(device, torch.bfloat16, torch.float16)
    text = "per_step_dense: dweight must have the dtype of dz, bfloat16, or float32; got float16"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        ops.backward_accumulate(*call)
    call = call._replace(dweight=call.dweight.float(), dbias=call.dbias.bfloat16())
    text = "per_step_dense: dbias must have the dtype of dweight, float32; got bfloat16"
    with pytest.raises(TypeError, match=f"^{re.escape(text)}$"):
        ops.backward_accumulate(*call)


def test_another_device(device: torch.device) -> None:
    call = call_of(device)
    call = call._replace(dweight=torch.empty(5, 7, 9, device="meta"))
    text = f"per_step_dense: dweight must be on the device of dz, {call.dz.device}; got meta"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        ops.backward_accumulate(*call)


def test_kernel_that_needs_cuda() -> None:
    text = "per_step_dense: use_kernel('simt') needs CUDA tensors; dz is on cpu"
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        ops.backward_accumulate(*call_of(torch.device("cpu")), family="simt")
