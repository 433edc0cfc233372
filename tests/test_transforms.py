"""Do torch.func's transforms and forward-mode AD see the formula, in the function and the op?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import truth
from cases import LAYERS, Arguments, Layer, Model, of_sizes
from torch import Tensor, func
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

import per_step_dense as psd

ALL_LAYERS = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
ALL_ACTIVATIONS = pytest.mark.parametrize("activation", truth.ACTIVATIONS)


def small(device: torch.device) -> Arguments:
    return of_sizes(3, 2, 4, 3, torch.float64, device)


def assert_same(actual: object, expected: object) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-12)


def loss_of(layer: Layer, activation: str | None) -> Layer:
    return lambda *args: layer(*args, activation=activation).square().sum()


@ALL_LAYERS
@ALL_ACTIVATIONS
def test_grad(device: torch.device, layer: Layer, activation: str | None) -> None:
    args = small(device)

    def gradients(layer: Layer) -> tuple[Tensor, ...]:
        return func.grad(loss_of(layer, activation), argnums=(0, 1, 2))(*args)

    assert_same(gradients(layer), gradients(truth.per_step_dense))


@ALL_LAYERS
@pytest.mark.parametrize("transform", [func.jacrev, func.jacfwd, func.hessian])
@ALL_ACTIVATIONS
def test_jacobian_and_hessian(
    device: torch.device, layer: Layer, activation: str | None, transform: Callable[..., Layer]
) -> None:
    args = of_sizes(2, 2, 3, 2, torch.float64, device)

    def derivatives(layer: Layer) -> object:
        def function(*args: Tensor) -> Tensor:
            return layer(*args, activation=activation)

        return transform(function, argnums=(0, 1, 2))(*args)

    assert_same(derivatives(layer), derivatives(truth.per_step_dense))


@ALL_LAYERS
@ALL_ACTIVATIONS
def test_jvp(device: torch.device, layer: Layer, activation: str | None) -> None:
    args, tangents = small(device), small(device)

    def of(layer: Layer) -> tuple[Tensor, Tensor]:
        return func.jvp(lambda *args: layer(*args, activation=activation), args, tangents)

    assert_same(of(layer), of(truth.per_step_dense))


@ALL_LAYERS
@pytest.mark.parametrize("dual", Arguments._fields)
@ALL_ACTIVATIONS
def test_dual_numbers(
    device: torch.device, layer: Layer, activation: str | None, dual: str
) -> None:
    args = small(device)
    tangent = torch.randn_like(getattr(args, dual))

    def of(layer: Layer) -> tuple[Tensor, Tensor]:
        with forward_ad.dual_level():
            number = forward_ad.make_dual(getattr(args, dual), tangent)
            y = layer(*args._replace(**{dual: number}), activation=activation)
            return tuple(forward_ad.unpack_dual(y))

    assert_same(of(layer), of(truth.per_step_dense))


@ALL_LAYERS
@ALL_ACTIVATIONS
def test_forward_over_reverse(device: torch.device, layer: Layer, activation: str | None) -> None:
    args, tangents = small(device), small(device)

    def of(layer: Layer) -> object:
        gradient = func.grad(loss_of(layer, activation), argnums=(0, 1, 2))
        return func.jvp(gradient, tuple(args), tuple(tangents))

    assert_same(of(layer), of(truth.per_step_dense))


# vmap


@ALL_LAYERS
@pytest.mark.parametrize(
    "in_dims",
    [
        (0, None, None),
        (None, 0, None),
        (None, None, 0),
        (0, 0, 0),
        (2, 1, None),
        (3, 3, 2),
        (-1, 0, 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("activation", [None, "gelu"])
def test_vmap(
    device: torch.device, layer: Layer, activation: str | None, in_dims: tuple[int | None, ...]
) -> None:
    args = [
        tensor if dim is None else torch.stack([tensor, 2 * tensor, tensor - 1], dim)
        for tensor, dim in zip(small(device), in_dims, strict=True)
    ]

    def of(layer: Layer) -> Tensor:
        return func.vmap(lambda *args: layer(*args, activation=activation), in_dims)(*args)

    def sample(index: int) -> list[Tensor]:
        return [
            tensor if dim is None else tensor.select(dim, index)
            for tensor, dim in zip(args, in_dims, strict=True)
        ]

    one_by_one = [truth.per_step_dense(*sample(k), activation=activation) for k in range(3)]
    assert_same(of(layer), torch.stack(one_by_one))


@ALL_LAYERS
def test_vmap_without_bias(device: torch.device, layer: Layer) -> None:
    x, weight, _ = small(device)
    weights = torch.stack([weight, -weight])
    actual = func.vmap(layer, (None, 0))(x, weights)
    assert_same(actual, torch.stack([truth.per_step_dense(x, w) for w in weights]))


@ALL_LAYERS
def test_nested_vmap(device: torch.device, layer: Layer) -> None:
    args = of_sizes(3, 2, 4, 3, torch.float64, device)
    xs = torch.stack([args.x, args.x + 1])  # (2, 3, T, I)
    weights = torch.stack([args.weight, args.weight * 2, -args.weight])  # (3, T, I, O)
    over_both = func.vmap(func.vmap(layer, (None, 0, None)), (0, None, None))
    expected = [[truth.per_step_dense(x, w, args.bias) for w in weights] for x in xs]
    assert_same(
        over_both(xs, weights, args.bias), torch.stack([torch.stack(row) for row in expected])
    )


@ALL_LAYERS
def test_out_dims(device: torch.device, layer: Layer) -> None:
    args = small(device)
    actual = func.vmap(layer, (0, None, None), out_dims=1)(*args)
    assert_same(actual, truth.per_step_dense(*args).transpose(0, 1))


@ALL_LAYERS
@ALL_ACTIVATIONS
def test_per_sample_gradients(device: torch.device, layer: Layer, activation: str | None) -> None:
    args = small(device)
    gradient = func.grad(loss_of(layer, activation), argnums=(1, 2))
    actual = func.vmap(gradient, (0, None, None))(*args)
    exact = func.grad(loss_of(truth.per_step_dense, activation), argnums=(1, 2))
    one_by_one = [exact(x, args.weight, args.bias) for x in args.x]
    assert_same(actual, tuple(map(torch.stack, zip(*one_by_one, strict=True))))


@ALL_LAYERS
def test_grad_of_a_vmapped_loss(device: torch.device, layer: Layer) -> None:
    args = small(device)

    def of(layer: Layer) -> tuple[Tensor, ...]:
        losses = func.vmap(loss_of(layer, "silu"), (0, None, None))
        return func.grad(lambda *args: losses(*args).sum(), argnums=(0, 1, 2))(*args)

    assert_same(of(layer), of(truth.per_step_dense))


@ALL_LAYERS
def test_vmap_of_what_requires_grad(device: torch.device, layer: Layer) -> None:
    args = Arguments(*(tensor.requires_grad_() for tensor in small(device)))

    def of(layer: Layer) -> tuple[Tensor, ...]:
        y = func.vmap(lambda x: layer(x, args.weight, args.bias, activation="tanh"))(args.x)
        return torch.autograd.grad(y.square().sum(), args)

    assert_same(of(layer), of(truth.per_step_dense))


# Jacobians of torch.autograd, and modules as functions


@ALL_LAYERS
@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("activation", [None, "gelu", "tanh"])
def test_vectorized_jacobian(
    device: torch.device, layer: Layer, activation: str | None, strategy: str
) -> None:
    args = small(device)

    def of(layer: Layer) -> tuple[Tensor, ...]:
        def function(*args: Tensor) -> Tensor:
            return layer(*args, activation=activation)

        return torch.autograd.functional.jacobian(
            function, tuple(args), vectorize=True, strategy=strategy
        )

    assert_same(of(layer), of(truth.per_step_dense))


@ALL_LAYERS
def test_batched_gradients(device: torch.device, layer: Layer) -> None:
    args = Arguments(*(tensor.requires_grad_() for tensor in small(device)))
    dys = torch.randn(4, 3, 2, 3, dtype=torch.float64, device=device)

    def of(layer: Layer) -> tuple[Tensor, ...]:
        y = layer(*args, activation="gelu")
        return torch.autograd.grad(y, args, dys, is_grads_batched=True)

    assert_same(of(layer), of(truth.per_step_dense))


@ALL_LAYERS
def test_functional_call_and_ensembles(device: torch.device, layer: Layer) -> None:
    x = small(device).x
    members = [small(device), small(device)]
    models = [Model(layer, args, "relu") for args in members]
    parameters, _ = func.stack_module_state(models)

    def call(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return func.functional_call(models[0], parameters, (x,))

    exact = [truth.per_step_dense(x, m.weight, m.bias, activation="relu") for m in members]
    assert_same(call({"weight": members[1].weight, "bias": members[1].bias}, x), exact[1])
    assert_same(func.vmap(call, (0, None))(parameters, x), torch.stack(exact))


# The ops of the gradient, which a user may meet in a transform of a backward


def test_ops_of_the_gradient(device: torch.device) -> None:
    ops = torch.ops.per_step_dense
    args, tangents = small(device), small(device)
    dz = torch.randn(3, 2, 3, dtype=torch.float64, device=device)

    def products(dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        return ops.backward(dz, x, weight, True)

    def true_products(dz: Tensor, x: Tensor, weight: Tensor) -> tuple[Tensor, ...]:
        dx = torch.einsum("bto,tio->bti", dz, weight)
        return dx, torch.einsum("bti,bto->tio", x, dz), dz.sum(0)

    inputs, directions = (dz, *args[:2]), (torch.randn_like(dz), *tangents[:2])
    assert_same(func.jvp(products, inputs, directions), func.jvp(true_products, inputs, directions))
    stacked = [torch.stack([tensor, tensor * 2]) for tensor in inputs]
    assert_same(func.vmap(products)(*stacked), func.vmap(true_products)(*stacked))

    def both(*args: Tensor) -> tuple[Tensor, Tensor]:
        return ops.forward_with_preactivation(*args, "gelu")

    def true_both(*args: Tensor) -> tuple[Tensor, Tensor]:
        return truth.per_step_dense(*args, activation="gelu"), truth.per_step_dense(*args)

    assert_same(func.jacfwd(both)(*args), func.jacfwd(true_both)(*args))
    assert_same(func.jacrev(both)(*args), func.jacrev(true_both)(*args))

    def silu_gradient(dy: Tensor, z: Tensor) -> Tensor:
        return ops.activation_backward(dy, z, "silu")

    def true_silu_gradient(dy: Tensor, z: Tensor) -> Tensor:
        sigma = torch.sigmoid(z)
        return dy * sigma * (1 + z * (1 - sigma))

    pair = (dz, torch.randn_like(dz))
    assert_same(
        func.jvp(silu_gradient, pair, pair[::-1]), func.jvp(true_silu_gradient, pair, pair[::-1])
    )
    assert_same(func.vmap(silu_gradient)(*pair), true_silu_gradient(*pair))


# Calls of the op, which is what makes it fast


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
