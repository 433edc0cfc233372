"""Do torch.func's transforms and forward-mode AD see the formula, in the function and the op?"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import truth
from cases import LAYERS, Arguments, Layer, Model, of_sizes
from torch import Tensor, func
from torch.autograd import forward_ad
from transforms import assert_same, loss_of, small

ALL_LAYERS = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
ALL_ACTIVATIONS = pytest.mark.parametrize("activation", truth.ACTIVATIONS)


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
