"""Is every wrong argument refused, by the function, the op and the reference, in the same words?"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import pytest
import torch
from cases import LAYERS, Layer, bare_op
from torch import Tensor

import per_step_dense as psd

# The right ones: B = 3, T = 4, I = 5, O = 6.
SHAPES = {"x": (3, 4, 5), "weight": (4, 5, 6), "bias": (4, 6)}

NAMES = "relu, gelu, gelu_tanh, silu, tanh, sigmoid"


def good(device: torch.device) -> dict[str, Any]:
    return {name: torch.randn(shape, device=device) for name, shape in SHAPES.items()}


ALL_LAYERS = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
WITH_AND_WITHOUT_GRAD = pytest.mark.parametrize("grad", [False, True], ids=["no_grad", "grad"])


def assert_refused(
    layer: Layer, arguments: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error) as refusal:
        layer(**arguments)
    assert type(refusal.value) is error
    assert str(refusal.value) == f"per_step_dense: {text}"
    assert refusal.value.__context__ is None  # no other error's traceback before this one


# Shapes


class Shapes(NamedTuple):
    """Shapes that differ from the right ones, and what is said of them."""

    text: str
    x: tuple[int, ...] = SHAPES["x"]
    weight: tuple[int, ...] = SHAPES["weight"]
    bias: tuple[int, ...] | None = SHAPES["bias"]


WRONG_SHAPES = {
    "x_0d": Shapes("x must be (*, T, I), at least 2-D; got ()", x=()),
    "x_1d": Shapes("x must be (*, T, I), at least 2-D; got (5,)", x=(5,)),
    "x_T": Shapes("weight must be (T, I, O) with T = x.size(-2) = 9; got (4, 5, 6)", x=(3, 9, 5)),
    "x_T_is_1": Shapes(
        "weight must be (T, I, O) with T = x.size(-2) = 1; got (4, 5, 6)", x=(3, 1, 5)
    ),
    "x_T_is_0": Shapes(
        "weight must be (T, I, O) with T = x.size(-2) = 0; got (4, 5, 6)", x=(3, 0, 5)
    ),
    "x_I": Shapes("weight must be (T, I, O) with I = x.size(-1) = 8; got (4, 5, 6)", x=(3, 4, 8)),
    "x_I_is_1": Shapes(
        "weight must be (T, I, O) with I = x.size(-1) = 1; got (4, 5, 6)", x=(3, 4, 1)
    ),
    "x_of_empty_batch": Shapes(
        "weight must be (T, I, O) with I = x.size(-1) = 8; got (4, 5, 6)", x=(0, 4, 8)
    ),
    "weight_0d": Shapes("weight must be (T, I, O), 3-D; got ()", weight=()),
    "weight_2d": Shapes("weight must be (T, I, O), 3-D; got (5, 6)", weight=(5, 6)),
    "weight_4d": Shapes("weight must be (T, I, O), 3-D; got (1, 4, 5, 6)", weight=(1, 4, 5, 6)),
    "weight_T": Shapes(
        "weight must be (T, I, O) with T = x.size(-2) = 4; got (3, 5, 6)", weight=(3, 5, 6)
    ),
    "weight_T_is_1": Shapes(
        "weight must be (T, I, O) with T = x.size(-2) = 4; got (1, 5, 6)", weight=(1, 5, 6)
    ),
    "weight_as_nn_linear": Shapes(
        "weight must be (T, I, O) with I = x.size(-1) = 5; got (4, 6, 5)", weight=(4, 6, 5)
    ),
    "weight_I_is_1": Shapes(
        "weight must be (T, I, O) with I = x.size(-1) = 5; got (4, 1, 6)", weight=(4, 1, 6)
    ),
    "bias_0d": Shapes("bias must be (T, O) = (4, 6); got ()", bias=()),
    "bias_O": Shapes("bias must be (T, O) = (4, 6); got (6,)", bias=(6,)),
    "bias_1_O": Shapes("bias must be (T, O) = (4, 6); got (1, 6)", bias=(1, 6)),
    "bias_T_1": Shapes("bias must be (T, O) = (4, 6); got (4, 1)", bias=(4, 1)),
    "bias_O_T": Shapes("bias must be (T, O) = (4, 6); got (6, 4)", bias=(6, 4)),
    "bias_1_T_O": Shapes("bias must be (T, O) = (4, 6); got (1, 4, 6)", bias=(1, 4, 6)),
}


@ALL_LAYERS
@WITH_AND_WITHOUT_GRAD
@pytest.mark.parametrize("shapes", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_wrong_shapes(device: torch.device, shapes: Shapes, grad: bool, layer: Layer) -> None:
    text, *rest = shapes
    tensors = [torch.ones(shape, device=device, requires_grad=grad) for shape in rest]
    arguments = dict(zip(SHAPES, tensors, strict=True))
    assert_refused(layer, arguments, ValueError, text)


@ALL_LAYERS
@pytest.mark.parametrize("shapes", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_wrong_shapes_on_meta(shapes: Shapes, layer: Layer) -> None:
    text, *rest = shapes
    tensors = [torch.ones(shape, device="meta") for shape in rest]
    assert_refused(layer, dict(zip(SHAPES, tensors, strict=True)), ValueError, text)


# Dtypes

UNSUPPORTED = {
    dtype: lambda tensor, dtype=dtype: tensor.to(getattr(torch, dtype))
    for dtype in (
        *("int8", "uint8", "int16", "int32", "int64", "bool"),
        *("complex64", "complex128", "float8_e4m3fn", "float8_e5m2"),
    )
}


@ALL_LAYERS
@pytest.mark.parametrize("dtype", UNSUPPORTED)
@pytest.mark.parametrize("name", SHAPES)
def test_unsupported_dtypes(device: torch.device, name: str, dtype: str, layer: Layer) -> None:
    arguments = good(device)
    arguments[name] = UNSUPPORTED[dtype](arguments[name])
    text = f"{name} must be float32, float64, float16 or bfloat16; got {dtype}"
    assert_refused(layer, arguments, TypeError, text)
    everything = {name: UNSUPPORTED[dtype](tensor) for name, tensor in good(device).items()}
    text = f"x must be float32, float64, float16 or bfloat16; got {dtype}"
    assert_refused(layer, everything, TypeError, text)


@ALL_LAYERS
@WITH_AND_WITHOUT_GRAD
@pytest.mark.parametrize("other", ["float64", "float16", "bfloat16"])
@pytest.mark.parametrize("name", SHAPES)
def test_mixed_dtypes(
    device: torch.device, name: str, other: str, grad: bool, layer: Layer
) -> None:
    arguments = {key: tensor.requires_grad_(grad) for key, tensor in good(device).items()}
    arguments[name] = arguments[name].to(getattr(torch, other))
    if name == "x":
        text = f"weight must have the dtype of x, {other}; got float32"
    else:
        text = f"{name} must have the dtype of x, float32; got {other}"
    assert_refused(layer, arguments, TypeError, text)


@ALL_LAYERS
def test_what_is_no_dense_tensor_is_refused_before_what_does_not_agree(
    device: torch.device, layer: Layer
) -> None:
    arguments = good(device)
    arguments["weight"] = arguments["weight"].double()
    arguments["bias"] = arguments["bias"].long()
    text = "bias must be float32, float64, float16 or bfloat16; got int64"
    assert_refused(layer, arguments, TypeError, text)


# Devices


@ALL_LAYERS
@WITH_AND_WITHOUT_GRAD
@pytest.mark.parametrize("name", SHAPES)
def test_one_argument_on_another_device(
    device: torch.device, name: str, grad: bool, layer: Layer
) -> None:
    here = torch.empty(0, device=device).device  # with its index
    for there in ("meta", "cpu"):
        if there == device.type:
            continue
        arguments = {key: tensor.requires_grad_(grad) for key, tensor in good(device).items()}
        arguments[name] = arguments[name].to(there)
        if name == "x":
            text = f"weight must be on the device of x, {there}; got {here}"
        else:
            text = f"{name} must be on the device of x, {here}; got {there}"
        assert_refused(layer, arguments, ValueError, text)


# Layouts


def quantized(tensor: Tensor) -> Tensor:
    return torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8)


@ALL_LAYERS
@pytest.mark.parametrize("layout", ["sparse_coo", "sparse_csr", "sparse_csc"])
@pytest.mark.parametrize("name", SHAPES)
def test_sparse(device: torch.device, name: str, layout: str, layer: Layer) -> None:
    arguments = good(device)
    arguments[name] = arguments[name].to_sparse(layout=getattr(torch, layout))
    text = f"{name} must be a dense tensor; got layout {layout}"
    assert_refused(layer, arguments, ValueError, text)


@ALL_LAYERS
@pytest.mark.parametrize("name", SHAPES)
def test_mkldnn(name: str, layer: Layer) -> None:
    arguments = good(torch.device("cpu"))
    arguments[name] = arguments[name].to_mkldnn()
    text = f"{name} must be a dense tensor; got layout _mkldnn"
    assert_refused(layer, arguments, ValueError, text)


@ALL_LAYERS
@pytest.mark.parametrize("name", SHAPES)
def test_quantized(name: str, layer: Layer) -> None:
    arguments = good(torch.device("cpu"))
    arguments[name] = quantized(arguments[name])
    text = f"{name} must be float32, float64, float16 or bfloat16; got qint8"
    assert_refused(layer, arguments, TypeError, text)


@ALL_LAYERS
@WITH_AND_WITHOUT_GRAD
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged], ids=["strided", "jagged"])
@pytest.mark.parametrize("name", SHAPES)
def test_nested(
    device: torch.device,
    name: str,
    layout: torch.layout,
    grad: bool,
    layer: Layer,
) -> None:
    arguments = {key: tensor.requires_grad_(grad) for key, tensor in good(device).items()}
    rows = [row.detach() for row in arguments[name]]
    arguments[name] = torch.nested.nested_tensor(rows, layout=layout, requires_grad=grad)
    text = f"{name} must be a dense tensor; got a nested tensor"
    assert_refused(layer, arguments, ValueError, text)


# Activations


@pytest.mark.parametrize("activation", ["swish", "none", "ReLU", "", "relu "])
def test_unknown_activation(device: torch.device, activation: str) -> None:
    arguments = {**good(device), "activation": activation}
    text = f"activation must be None or one of {NAMES}; got {activation!r}"
    assert_refused(psd.per_step_dense, arguments, ValueError, text)
    assert_refused(psd.reference.per_step_dense, arguments, ValueError, text)


@WITH_AND_WITHOUT_GRAD
@pytest.mark.parametrize("activation", ["swish", "None", "ReLU", "", "relu "])
def test_unknown_activation_of_the_ops(device: torch.device, activation: str, grad: bool) -> None:
    tensors = [tensor.requires_grad_(grad) for tensor in good(device).values()]
    dy = torch.randn(3, 4, 6, device=device, requires_grad=grad)
    ops = torch.ops.per_step_dense
    for op, *arguments in (
        (ops.forward, *tensors),
        (ops.forward_with_preactivation, *tensors),
        (ops.activation_backward, dy, dy),
    ):
        text = f"activation must be one of none, {NAMES}; got {activation!r}"
        with pytest.raises(ValueError, match=f"^{re.escape(f'per_step_dense: {text}')}$"):
            op(*arguments, activation)


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        (3, "int"),
        (False, "bool"),
        (["relu"], "list"),
        (torch.relu, "builtin_function_or_method"),
        (torch.nn.ReLU(), "ReLU"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_activation_that_is_no_string(device: torch.device, activation: object, kind: str) -> None:
    arguments = {**good(device), "activation": activation}
    text = f"activation must be None or one of {NAMES}; got {kind}"
    assert_refused(psd.per_step_dense, arguments, TypeError, text)
    assert_refused(psd.reference.per_step_dense, arguments, TypeError, text)
    with pytest.raises(RuntimeError, match="Expected a value of type 'str'"):
        bare_op(**arguments)


# What is no tensor

NO_TENSORS = {
    "list": (lambda tensor: tensor.tolist(), "list"),
    "numpy": (lambda tensor: tensor.cpu().numpy(), "ndarray"),
    "number": (lambda tensor: 3.0, "float"),
    "shape": (lambda tensor: tensor.shape, "Size"),
}


@pytest.mark.parametrize("kind", NO_TENSORS)
@pytest.mark.parametrize("name", SHAPES)
def test_no_tensor(device: torch.device, name: str, kind: str) -> None:
    arguments = good(device)
    convert, type_name = NO_TENSORS[kind]
    arguments[name] = convert(arguments[name])
    text = f"{name} must be a torch.Tensor; got {type_name}"
    assert_refused(psd.per_step_dense, arguments, TypeError, text)
    assert_refused(psd.reference.per_step_dense, arguments, TypeError, text)
    with pytest.raises(RuntimeError, match=f"for argument '{name}' but instead found type"):
        bare_op(**arguments)


@ALL_LAYERS
@WITH_AND_WITHOUT_GRAD
@pytest.mark.parametrize("name", ["x", "weight"])
def test_none(device: torch.device, name: str, grad: bool, layer: Layer) -> None:
    arguments = {key: tensor.requires_grad_(grad) for key, tensor in good(device).items()}
    arguments[name] = None
    assert_refused(layer, arguments, TypeError, f"{name} must be a torch.Tensor; got NoneType")


def test_none_with_a_kernel_of_cuda() -> None:
    ops, weight = torch.ops.per_step_dense, torch.ones(4, 5, 6)
    arguments = {"x": None, "weight": weight, "family": "simt"}
    assert_refused(ops.forward, arguments, TypeError, "x must be a torch.Tensor; got NoneType")
    arguments = {"dz": None, "x": None, "weight": weight, "wants_dbias": True, "family": "simt"}
    assert_refused(ops.backward, arguments, TypeError, "dz must be a torch.Tensor; got NoneType")


def test_activation_is_a_keyword(device: torch.device) -> None:
    for layer in (psd.per_step_dense, psd.reference.per_step_dense):
        with pytest.raises(TypeError, match="positional argument"):
            layer(*good(device).values(), "relu")


# The ops of the gradient

WRONG_GRADIENT_ARGUMENTS = {
    "dz_1d": ((6,), None, None, "dz must be (*, T, O), at least 2-D; got (6,)"),
    "x_batch": (
        (3, 4, 6),
        (2, 4, 5),
        None,
        "x must have the sizes of dz but the last, of (3, 4, 6); got (2, 4, 5)",
    ),
    "x_rank": (
        (3, 4, 6),
        (4, 5),
        None,
        "x must have the sizes of dz but the last, of (3, 4, 6); got (4, 5)",
    ),
    "weight_O": (
        (3, 4, 6),
        None,
        (4, 5, 7),
        "weight must be (T, I, O) = (4, I, 6); got (4, 5, 7)",
    ),
    "weight_rank": (
        (3, 4, 6),
        None,
        (5, 6),
        "weight must be (T, I, O) = (4, I, 6); got (5, 6)",
    ),
    "x_and_weight": (
        (3, 4, 6),
        (3, 4, 5),
        (4, 8, 6),
        "weight must be (T, I, O) with I = x.size(-1) = 5; got (4, 8, 6)",
    ),
}


@WITH_AND_WITHOUT_GRAD
@pytest.mark.parametrize("case", WRONG_GRADIENT_ARGUMENTS)
def test_backward_op(device: torch.device, case: str, grad: bool) -> None:
    *shapes, text = WRONG_GRADIENT_ARGUMENTS[case]
    tensors = [
        None if shape is None else torch.ones(shape, device=device, requires_grad=grad)
        for shape in shapes
    ]
    arguments = dict(zip(("dz", "x", "weight"), tensors, strict=True), wants_dbias=True)
    assert_refused(torch.ops.per_step_dense.backward, arguments, ValueError, text)


@WITH_AND_WITHOUT_GRAD
def test_activation_backward_op(device: torch.device, grad: bool) -> None:
    dy = torch.ones(3, 4, 6, device=device, requires_grad=grad)
    arguments = {"dy": dy, "saved": dy[:1], "activation": "relu"}
    text = "saved must have the shape of dy, (3, 4, 6); got (1, 4, 6)"
    assert_refused(torch.ops.per_step_dense.activation_backward, arguments, ValueError, text)
    arguments = {"dy": dy, "saved": dy.double(), "activation": "relu"}
    text = "saved must have the dtype of dy, float32; got float64"
    assert_refused(torch.ops.per_step_dense.activation_backward, arguments, TypeError, text)


def empty(*sizes: int) -> torch.Tensor:
    """Of sizes that torch makes no other tensor of."""
    return torch.empty(0).as_strided(sizes, (0,) * len(sizes))


@pytest.mark.parametrize("leading", [(2, 2**62), (2**31, 2**16, 2**16)], ids=str)
def test_more_samples_than_64_bits_count(leading: tuple[int, ...]) -> None:
    dz, weight = empty(*leading, 0, 3), torch.empty(0, 4, 3)
    arguments = {"dz": dz, "x": None, "weight": weight, "wants_dbias": True}
    text = f"the leading sizes must have a product below 2^63; got [{', '.join(map(str, leading))}]"
    assert_refused(torch.ops.per_step_dense.backward, arguments, ValueError, text)
