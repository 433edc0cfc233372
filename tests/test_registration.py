"""Are the ops registered as torch wants them: schemas, dispatch keys, shapes without data?"""

from __future__ import annotations

import pytest
import torch
from cases import LAYOUTS, Arguments, arguments, of_sizes
from torch import Tensor
from torch.library import opcheck

import per_step_dense as psd
from per_step_dense import _ops

ops = torch.ops.per_step_dense
OPS = [
    "forward",
    "forward_with_preactivation",
    "backward",
    "backward_accumulate",
    "activation_backward",
    "ragged_forward",
    "ragged_forward_with_preactivation",
    "ragged_backward",
]

SCHEMAS = {
    "forward": (
        "per_step_dense::forward(Tensor x, Tensor weight, Tensor? bias=None, "
        'str activation="none", str family="auto") -> Tensor'
    ),
    "forward_with_preactivation": (
        "per_step_dense::forward_with_preactivation(Tensor x, Tensor weight, Tensor? bias, "
        'str activation, str family="auto") -> (Tensor y, Tensor z)'
    ),
    "backward": (
        "per_step_dense::backward(Tensor dz, Tensor? x, Tensor? weight, bool wants_dbias, "
        'str family="auto") -> (Tensor dx, Tensor dweight, Tensor dbias)'
    ),
    "backward_accumulate": (
        "per_step_dense::backward_accumulate(Tensor dz, Tensor? x, Tensor? weight, "
        'Tensor(a!)? dweight, Tensor(b!)? dbias, str family="auto") -> Tensor'
    ),
    "activation_backward": (
        "per_step_dense::activation_backward(Tensor dy, Tensor saved, str activation, "
        'str family="auto") -> Tensor'
    ),
    "ragged_forward": (
        "per_step_dense::ragged_forward(Tensor x, Tensor weight, Tensor? bias, Tensor sizes, "
        'str activation="none", str family="auto") -> Tensor'
    ),
    "ragged_forward_with_preactivation": (
        "per_step_dense::ragged_forward_with_preactivation(Tensor x, Tensor weight, Tensor? bias, "
        'Tensor sizes, str activation, str family="auto") -> (Tensor y, Tensor z)'
    ),
    "ragged_backward": (
        "per_step_dense::ragged_backward(Tensor dz, Tensor? x, Tensor? weight, Tensor sizes, "
        'SymInt steps, bool wants_dbias, str family="auto") -> '
        "(Tensor dx, Tensor dweight, Tensor dbias)"
    ),
}

KEYS = [
    *("CPU", "Meta", "Autograd", "AutocastCPU", "AutocastCUDA", "FuncTorchBatched"),
    "CompositeExplicitAutograd",
]


@pytest.mark.parametrize("op", OPS)
def test_schema(op: str) -> None:
    assert str(getattr(ops, op).default._schema) == SCHEMAS[op]
    assert getattr(ops, op).overloads() == ["default"]
    assert torch.Tag.pt2_compliant_tag in getattr(ops, op).default.tags


def test_schemas_are_those_of_all_ops() -> None:
    registered = torch._C._dispatch_get_all_op_names()
    ours = [name for name in registered if name.startswith("per_step_dense::")]
    assert sorted(ours) == sorted(f"per_step_dense::{op}" for op in OPS)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("op", OPS)
def test_has_kernel(op: str, key: str) -> None:
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"per_step_dense::{op}", key)


@pytest.mark.parametrize("op", OPS)
def test_cuda_kernels_are_registered_where_they_are_built(op: str) -> None:
    has_kernel = torch._C._dispatch_has_kernel_for_dispatch_key(f"per_step_dense::{op}", "CUDA")
    assert has_kernel == _ops.has_cuda_kernels


# opcheck: schema honesty, autograd registration, fake tensors, tracing with dynamic shapes


def requiring_grad(layout: str, device: torch.device) -> Arguments:
    args = arguments(layout, torch.float32, device)
    return Arguments(*(tensor if tensor is None else tensor.requires_grad_() for tensor in args))


@pytest.mark.parametrize(
    ("layout", "activation"),
    [
        ("contiguous", "none"),
        ("contiguous", "relu"),
        ("contiguous", "gelu"),
        ("no_bias", "none"),
        ("windows_x", "relu"),
        ("no_batch_dim", "gelu"),
        ("swapped_batch_dims", "gelu"),
    ],
)
def test_opcheck_forward(device: torch.device, layout: str, activation: str) -> None:
    args = requiring_grad(layout, device)
    opcheck(ops.forward.default, (*args, activation))
    opcheck(ops.forward_with_preactivation.default, (*args, activation))


def test_opcheck_forward_with_defaults(device: torch.device) -> None:
    args = requiring_grad("contiguous", device)
    opcheck(ops.forward.default, args[:2])
    opcheck(ops.forward.default, args[:2], {"activation": "tanh"})
    opcheck(ops.forward.default, tuple(tensor.detach() for tensor in args))


@pytest.mark.parametrize(
    ("layout", "given", "wants_dbias"),
    [
        ("contiguous", "x+weight", True),
        ("contiguous", "x", True),
        ("contiguous", "weight", False),
        ("contiguous", "neither", True),
        ("contiguous", "neither", False),
        ("no_batch_dim", "x+weight", True),
        ("swapped_batch_dims", "x+weight", True),
    ],
)
def test_opcheck_backward(device: torch.device, layout: str, given: str, wants_dbias: bool) -> None:
    x, weight, _ = requiring_grad(layout, device)
    dz = torch.randn(*x.shape[:-1], weight.size(2), device=device, requires_grad=True)
    opcheck(
        ops.backward.default,
        (dz, x if "x" in given else None, weight if "weight" in given else None, wants_dbias),
    )


@pytest.mark.parametrize("activation", ["none", "relu", "silu"])
@pytest.mark.parametrize("shape", [(7,), (2, 3, 4, 5)], ids=str)
def test_opcheck_activation_backward(
    device: torch.device, shape: tuple[int, ...], activation: str
) -> None:
    dy, saved = (torch.randn(shape, device=device, requires_grad=True) for _ in range(2))
    opcheck(ops.activation_backward.default, (dy, saved, activation))


@pytest.mark.parametrize(
    "sizes", [(0, 5, 7, 9), (6, 0, 7, 9), (6, 5, 0, 9), (6, 5, 7, 0)], ids=["B", "T", "I", "O"]
)
def test_opcheck_of_nothing(device: torch.device, sizes: tuple[int, int, int, int]) -> None:
    b, t, _, o = sizes
    args = [tensor.requires_grad_() for tensor in of_sizes(*sizes, torch.float32, device)]
    dz = torch.randn(b, t, o, device=device, requires_grad=True)
    opcheck(ops.forward.default, (*args, "relu"))
    opcheck(ops.forward_with_preactivation.default, (*args, "gelu"))
    opcheck(ops.backward.default, (dz, args[0], args[1], True))
    opcheck(ops.activation_backward.default, (dz, dz.detach(), "relu"))


@pytest.mark.parametrize(
    "layout", ["expanded_weight", "batch_expanded_x", "steps_expanded_x", "strided_weight"]
)
def test_opcheck_of_strides(device: torch.device, layout: str) -> None:
    args = requiring_grad(layout, device)
    opcheck(ops.forward.default, (*args, "gelu"))
    opcheck(ops.forward_with_preactivation.default, (*args, "gelu"))
    dz = torch.randn(args.weight.size(2), *args.x.shape[:-1], device=device).movedim(0, -1)
    opcheck(ops.backward.default, (dz, args.x.detach(), args.weight.detach(), True))
    opcheck(ops.activation_backward.default, (dz, dz[:1].expand_as(dz), "gelu"))


# Meta tensors say what the real ones say


def described(outputs: Tensor | tuple[Tensor | None, ...]) -> list[tuple[object, ...] | None]:
    if isinstance(outputs, Tensor):
        outputs = (outputs,)
    return [
        None if output is None else (output.shape, output.stride(), output.dtype)
        for output in outputs
    ]


def on_meta(tensor: object) -> object:
    if not isinstance(tensor, Tensor):
        return tensor
    shell = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    return shell.requires_grad_(tensor.requires_grad)


def assert_meta_agrees(op: torch._ops.OpOverloadPacket, *args: object) -> None:
    with_data, without = op(*args), op(*map(on_meta, args))
    assert described(with_data) == described(without)
    outputs = (without,) if isinstance(without, Tensor) else without
    assert all(output is None or output.device.type == "meta" for output in outputs)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_meta_agrees(device: torch.device, layout: str, dtype: torch.dtype) -> None:
    x, weight, bias = arguments(layout, dtype, device)
    for activation in ("none", "gelu", "relu"):
        assert_meta_agrees(ops.forward, x, weight, bias, activation)
        assert_meta_agrees(ops.forward_with_preactivation, x, weight, bias, activation)
    y = ops.forward(x, weight, bias)
    for dz in (y, y.mT.contiguous().mT):
        assert_meta_agrees(ops.backward, dz, x, weight, True)
        assert_meta_agrees(ops.backward, dz, None, weight, False)
        assert_meta_agrees(ops.backward, dz, x, None, True)
        assert_meta_agrees(ops.backward, dz, None, None, False)
        for activation in ("none", "relu", "silu", "gelu"):
            assert_meta_agrees(ops.activation_backward, dz, y, activation)


@pytest.mark.parametrize("layer", [psd.per_step_dense, psd.reference.per_step_dense])
def test_function_and_reference_take_meta_tensors(layer: object) -> None:
    args = [on_meta(tensor.requires_grad_()) for tensor in arguments("contiguous")]
    y = layer(*args, activation="gelu")
    assert y.device.type == "meta"
    assert y.shape == (6, 5, 9)
    gradients = torch.autograd.grad(y.sum(), args)
    assert [gradient.shape for gradient in gradients] == [tensor.shape for tensor in args]
