"""Is a transform of torch.func as few calls of the op as can be? That is what makes it fast."""

from __future__ import annotations

import pytest
import torch
import truth
from cases import of_sizes
from torch import Tensor, func
from torch.utils._python_dispatch import TorchDispatchMode
from transforms import assert_same, loss_of, small

import per_step_dense as psd


class Calls(TorchDispatchMode):
    """Remembers ops and the shapes of what they are given, below all transforms."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[tuple[str, tuple[tuple[int, ...], ...]]] = []

    def __torch_dispatch__(self, op, types, args=(), kwargs=None):
        shapes = tuple(tuple(arg.shape) for arg in args if isinstance(arg, Tensor))
        self.made.append((op.name().partition(".")[0], shapes))
        return op(*args, **(kwargs or {}))

    def of_this_package(self) -> list[tuple[str, tuple[tuple[int, ...], ...]]]:
        prefix = "per_step_dense::"
        return [(n.removeprefix(prefix), s) for n, s in self.made if n.startswith(prefix)]

    def has_products(self) -> bool:
        products = ("aten::bmm", "aten::mm", "aten::einsum", "aten::matmul", "aten::baddbmm")
        return any(name in products for name, _ in self.made)


B, T, I, O, N = 3, 2, 4, 5, 6  # noqa: E741


@pytest.mark.parametrize(
    ("in_dims", "folded"),
    [
        ((0, None, None), ((N, B, T, I), (T, I, O), (T, O))),
        ((2, None, None), ((N, B, T, I), (T, I, O), (T, O))),
        ((None, 0, 0), ((B, N * T, I), (N * T, I, O), (N * T, O))),
        ((0, 0, 0), ((B, N * T, I), (N * T, I, O), (N * T, O))),
        ((None, 0, None), ((B, N * T, I), (N * T, I, O), (N * T, O))),
        ((0, None, 0), ((N, B, T, I), (T, I, O))),
        ((None, None, 0), ((B, T, I), (T, I, O))),
    ],
    ids=str,
)
def test_vmap_is_one_call(
    device: torch.device,
    in_dims: tuple[int | None, ...],
    folded: tuple[tuple[int, ...], ...],
) -> None:
    args = [
        tensor if dim is None else torch.stack([tensor] * N, dim)
        for tensor, dim in zip(of_sizes(B, T, I, O, torch.float32, device), in_dims, strict=True)
    ]
    with Calls() as calls:
        func.vmap(psd.per_step_dense, in_dims)(*args)
    assert calls.of_this_package() == [("forward", folded)]
    assert not calls.has_products()


def test_nested_vmap_is_one_call(device: torch.device) -> None:
    x, weight, bias = of_sizes(B, T, I, O, torch.float32, device)
    over_both = func.vmap(func.vmap(psd.per_step_dense, (None, 0, 0)), (0, None, None))
    with Calls() as calls:
        over_both(torch.stack([x, x]), torch.stack([weight] * N), torch.stack([bias] * N))
    assert calls.of_this_package() == [("forward", ((2, B, N * T, I), (N * T, I, O), (N * T, O)))]


def test_gradients_are_calls_of_the_ops(device: torch.device) -> None:
    args = of_sizes(B, T, I, O, torch.float32, device)
    with Calls() as calls:
        func.grad(loss_of(psd.per_step_dense, "gelu"), argnums=(0, 1, 2))(*args)
    names = [name for name, _ in calls.of_this_package()]
    assert names == ["forward_with_preactivation", "backward"]  # func.grad's can be differentiated,
    # for which the activation's derivative is ATen's
    assert not calls.has_products()


def test_per_sample_gradients_are_one_call(device: torch.device) -> None:
    args = of_sizes(N, T, I, O, torch.float32, device)
    gradient = func.grad(loss_of(psd.per_step_dense, None), argnums=(1, 2))
    with Calls() as calls:
        func.vmap(gradient, (0, None, None))(*args)
    assert calls.of_this_package() == [
        ("forward", ((N, T, I), (T, I, O), (T, O))),
        ("backward", ((N * T, O), (N * T, I))),
    ]
    assert not calls.has_products()


def test_an_ensemble_of_layers_is_one_call(device: torch.device) -> None:
    layers = [psd.PerStepDense(T, I, O, device=device) for _ in range(N)]
    parameters, buffers = func.stack_module_state(layers)
    x = torch.randn(B, T, I, device=device)

    def call(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> Tensor:
        return func.functional_call(layers[0], (parameters, buffers), x)

    with Calls() as calls:
        y = func.vmap(call)(parameters, buffers)
    assert calls.of_this_package() == [("forward", ((B, N * T, I), (N * T, I, O), (N * T, O)))]
    torch.testing.assert_close(y, torch.stack([layer(x) for layer in layers]))


def test_another_level_maps_over_the_arguments(device: torch.device) -> None:
    """The inner vmap has nothing to do with the call."""
    x, weight, bias = of_sizes(B, T, I, O, torch.float64, device)
    xs, scales = torch.stack([x, -x]), torch.arange(3.0, dtype=torch.float64, device=device)

    def inner(x: Tensor, scale: Tensor) -> Tensor:
        return psd.per_step_dense(x, weight, bias) * scale

    actual = func.vmap(func.vmap(inner, (None, 0)), (0, None))(xs, scales)
    exact = torch.stack([truth.per_step_dense(x, weight, bias) for x in xs])
    assert_same(actual, exact.unsqueeze(1) * scales.view(1, -1, 1, 1, 1))


@pytest.mark.parametrize("given", ["x", "weight", "both"])
@pytest.mark.parametrize(
    "in_dims", [(0, None, None), (0, 0, None), (None, 0, 0), (0, 1, 1)], ids=str
)
def test_vmap_of_the_backward(
    device: torch.device, in_dims: tuple[int | None, ...], given: str
) -> None:
    x, weight, _ = of_sizes(B, T, I, O, torch.float64, device)
    plain = [torch.randn(B, T, O, dtype=torch.float64, device=device), x, weight]
    args = [
        tensor if dim is None else torch.stack([tensor, 2 * tensor, tensor - 1], dim)
        for tensor, dim in zip(plain, in_dims, strict=True)
    ]
    backward = torch.ops.per_step_dense.backward
    keeps_x, keeps_weight = given != "weight", given != "x"

    def call(dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        results = backward(dz, x if keeps_x else None, weight if keeps_weight else None, True)
        return tuple(result for result in results if result is not None)

    actual = func.vmap(call, in_dims)(*args)
    one_by_one = [
        call(
            *(t if dim is None else t.select(dim, k) for t, dim in zip(args, in_dims, strict=True))
        )
        for k in range(3)
    ]
    assert_same(actual, tuple(map(torch.stack, zip(*one_by_one, strict=True))))


@pytest.mark.parametrize("in_dims", [(0, None, None), (None, 0, 0)], ids=str)
def test_compiled_vmap_of_a_gradient(device: torch.device, in_dims: tuple[int | None, ...]) -> None:
    args = [
        tensor if dim is None else torch.stack([tensor, 2 * tensor, tensor - 1], dim)
        for tensor, dim in zip(small(device), in_dims, strict=True)
    ]
    gradient = func.grad(loss_of(psd.per_step_dense, "gelu"), argnums=(0, 1, 2))

    def per_sample(*args: Tensor) -> tuple[Tensor, ...]:
        return func.vmap(gradient, in_dims)(*args)

    compiled = torch.compile(per_sample, fullgraph=True, backend="aot_eager")
    assert_same(compiled(*args), per_sample(*args))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"weight": (N, T, I + 1, O)}, "weight must be (T, I, O)"),
        ({"bias": (N, T + 1, O)}, "bias must be (T, O)"),
        ({"x": (N, B, T + 1, I)}, "weight must be (T, I, O)"),
    ],
    ids=str,
)
def test_mapped_arguments_are_refused_as_those_of_one_call(
    device: torch.device, changes: dict[str, tuple[int, ...]], told: str
) -> None:
    shapes = {"x": (N, B, T, I), "weight": (N, T, I, O), "bias": (N, T, O), **changes}
    args = [torch.randn(shape, device=device) for shape in shapes.values()]
    with pytest.raises(ValueError) as mapped:
        func.vmap(psd.per_step_dense)(*args)
    with pytest.raises(ValueError) as one:
        psd.per_step_dense(*(tensor[0] for tensor in args))
    assert str(mapped.value) == str(one.value)
    assert told in str(one.value)


@pytest.mark.parametrize("empty", ["N", "B", "T", "I", "O"])
@pytest.mark.parametrize(
    "in_dims", [(0, None, None), (None, 0, 0), (0, 0, 0), (None, None, 0)], ids=str
)
def test_vmap_of_nothing(device: torch.device, in_dims: tuple[int | None, ...], empty: str) -> None:
    sizes = {"N": N, "B": B, "T": T, "I": I, "O": O, empty: 0}
    n, b, t, i, o = sizes.values()
    args = [
        torch.randn(shape if dim is None else (n, *shape), device=device)
        for shape, dim in zip(((b, t, i), (t, i, o), (t, o)), in_dims, strict=True)
    ]
    y = func.vmap(psd.per_step_dense, in_dims)(*args)
    assert y.shape == (n, b, t, o)
    if y.numel():
        expected = args[2] if in_dims[2] is None else args[2].unsqueeze(1)
        torch.testing.assert_close(y, expected.expand_as(y))
