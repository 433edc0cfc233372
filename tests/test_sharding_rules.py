"""Do the function and the ops on DTensors give what they give on one device, without a gather?"""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
import torch
from torch import Tensor
from worlds import World, mesh_of

import per_step_dense as psd
from bench.collectives import Collectives
from per_step_dense import _ops

distributed = pytest.importorskip("torch.distributed.tensor")
DTensor, Partial, Replicate, Shard = (
    distributed.DTensor,
    distributed.Partial,
    distributed.Replicate,
    distributed.Shard,
)

needs_compiled_module = pytest.mark.skipif(
    _ops.compiled is None, reason="needs the compiled module, whose ops have the rules"
)

# Of x (B1, B2, T, I), weight (T, I, O), bias (T, O) and y (B1, B2, T, O).
PLACEMENTS = {
    "nothing": (Replicate(), Replicate(), Replicate(), Replicate()),
    "batch": (Shard(0), Replicate(), Replicate(), Shard(0)),
    "inner batch": (Shard(1), Replicate(), Replicate(), Shard(1)),
    "steps": (Shard(2), Shard(0), Shard(0), Shard(2)),
    "out": (Replicate(), Shard(2), Shard(1), Shard(3)),
    "in": (Shard(3), Shard(1), Replicate(), Partial()),
}
EVEN, UNEVEN = (4, 4, 8, 4, 12), (5, 6, 7, 9, 10)  # B1, B2, T, I, O


def arguments(sizes: tuple[int, ...], *, has_bias: bool = True) -> list[Tensor]:
    """Small integers: their sums are exact in any order. Of bias multiples of 4, which DTensor
    divides among the processes."""
    b1, b2, t, i, o = sizes
    x, weight = torch.randint(-3, 4, (b1, b2, t, i)), torch.randint(-3, 4, (t, i, o))
    bias = [torch.randint(-3, 4, (t, o)) * 4] if has_bias else []
    return [tensor.float().requires_grad_() for tensor in (x, weight, *bias)]


def placed(tensors: list[Tensor], mesh: Any, placements: list[list[Any]]) -> list[Any]:
    """As DTensors, argument after argument, with the placements of every dimension of the mesh."""
    return [
        distributed.distribute_tensor(tensor.detach(), mesh, place).requires_grad_()
        for tensor, place in zip(tensors, placements, strict=False)
    ]


def forward_and_backward(
    over: list[str], mesh_sizes: tuple[int, ...], sizes: tuple[int, ...], options: dict[str, Any]
) -> tuple[dict[str, int], dict[str, int], str]:
    """Compares values and gradients; returns what was communicated, and how y is placed."""
    activation, exact = options.get("activation"), options.get("activation") in (None, "relu")
    tensors = arguments(sizes, has_bias=options.get("has_bias", True))
    y = psd.per_step_dense(*tensors, activation=activation)
    dy = torch.randint(-3, 4, y.shape).float()
    y.backward(dy)

    mesh = mesh_of(*mesh_sizes)
    places = [[PLACEMENTS[name][k] for name in over] for k in range(4)]
    shards = placed(tensors, mesh, places[:3])
    with Collectives() as in_forward:
        result = psd.per_step_dense(*shards, activation=activation)
    gradient = distributed.distribute_tensor(
        dy, mesh, [Replicate() if p.is_partial() else p for p in result.placements]
    )
    with Collectives() as in_backward:
        result.backward(gradient)

    tolerance = {"rtol": 0, "atol": 0} if exact else {"rtol": 1e-5, "atol": 1e-5}
    torch.testing.assert_close(result.full_tensor(), y, **tolerance)
    for shard, tensor in zip(shards, tensors, strict=True):
        assert shard.grad.shape == shard.shape
        torch.testing.assert_close(shard.grad.full_tensor(), tensor.grad, **tolerance)
    return in_forward.counts, in_backward.counts, str(result.placements)


@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@pytest.mark.parametrize("sizes", [EVEN, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("over", PLACEMENTS)
def test_over_one_dimension(
    world: World, over: str, sizes: tuple[int, ...], activation: str | None, has_bias: bool
) -> None:
    options = {"activation": activation, "has_bias": has_bias}
    reduces = over == "in" and activation is not None
    placement = Replicate() if reduces else PLACEMENTS[over][3]
    for forward, backward, y in world.run(
        forward_and_backward, [over], (world.size,), sizes, options
    ):
        assert forward == ({"all_reduce": 1} if reduces else {})
        assert backward == {}
        assert y == str((placement,))


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("over", list(combinations(PLACEMENTS, 2)), ids="-".join)
def test_over_a_mesh_of_two_by_two(
    four: World, over: tuple[str, str], activation: str | None
) -> None:
    reduces = "in" in over and activation is not None
    for forward, backward, _ in four.run(
        forward_and_backward, list(over), (2, 2), EVEN, {"activation": activation}
    ):
        assert forward == ({"all_reduce": 1} if reduces else {})
        assert backward == {}


def replicated_x(over: str) -> tuple[dict[str, int], str]:
    tensors, mesh = arguments(EVEN), mesh_of(2)
    _, weight, bias, _ = PLACEMENTS[over]
    shards = placed(tensors, mesh, [[Replicate()], [weight], [bias]])
    with Collectives() as counted:
        y = psd.per_step_dense(*shards)
    torch.testing.assert_close(y.full_tensor(), psd.per_step_dense(*tensors), rtol=0, atol=0)
    return counted.counts, str(y.placements)


@pytest.mark.parametrize("over", ["steps", "out", "in"])
def test_what_all_have_is_sliced(two: World, over: str) -> None:
    for counted, placements in two.run(replicated_x, over):
        assert counted == {}
        assert placements == str((PLACEMENTS[over][3],))


def terms_of_a_sum() -> dict[str, int]:
    tensors, mesh = arguments(EVEN), mesh_of(2)
    x, weight, bias = placed(tensors, mesh, [[Replicate()]] * 3)
    x = DTensor.from_local(tensors[0].detach() * 2 - 1, mesh, [Partial()])  # 2 x - 1, twice
    with Collectives() as counted:
        y = psd.per_step_dense(x, weight, bias)
    expected = psd.per_step_dense(tensors[0] * 4 - 2, *tensors[1:])
    torch.testing.assert_close(y.full_tensor(), expected, rtol=0, atol=0)
    return counted.counts


def test_terms_of_a_sum_stay_terms(two: World) -> None:
    assert two.run(terms_of_a_sum) == [{}, {}]


def second_derivative(over: str) -> None:
    tensors, mesh = [tensor.double() for tensor in arguments(EVEN)], mesh_of(2)
    shards = placed(tensors, mesh, [[PLACEMENTS[over][k]] for k in range(3)])
    grads = []
    for x, weight, bias in ([tensor.detach().requires_grad_() for tensor in tensors], shards):
        y = psd.per_step_dense(x * 0.1, weight * 0.1, bias * 0.1, activation="tanh")
        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        grads.append(torch.autograd.grad(dx.square().sum(), [x, weight, bias]))
    for expected, got in zip(*grads, strict=True):
        torch.testing.assert_close(got.full_tensor(), expected)


@pytest.mark.parametrize("over", PLACEMENTS)
def test_second_derivatives(two: World, over: str) -> None:
    two.run(second_derivative, over)


def remembered_rules() -> None:
    size = 4  # of everything, so that x and weight look alike
    mesh, ops = mesh_of(2), torch.ops.per_step_dense
    full = [torch.randn(size, size, size).double() for _ in range(3)]
    x, weight, dz = full
    z = psd.per_step_dense(x, weight)

    shard_x, shard_w = placed([x, weight], mesh, [[Shard(2)], [Shard(1)]])
    torch.testing.assert_close(ops.forward(shard_x, shard_w).full_tensor(), z)
    for activation in ("relu", "gelu"):
        with pytest.raises(RuntimeError, match=r"weight must not be S\(1\) under an activation"):
            ops.forward(shard_x, shard_w, None, activation)

    rows, same = placed([x, dz], mesh, [[Replicate()], [Replicate()]])
    for wants_dbias in (False, True):
        _, dweight, dbias = ops.backward(same, rows, None, wants_dbias)
        torch.testing.assert_close(dweight.full_tensor(), torch.einsum("bti,bto->tio", x, dz))
        assert (dbias is None) is not wants_dbias
        dx, dweight, _ = ops.backward(same, None, rows, wants_dbias)
        assert dweight is None
        torch.testing.assert_close(dx.full_tensor(), torch.einsum("bto,tio->bti", dz, x))


@needs_compiled_module
def test_a_remembered_rule_is_that_of_the_same_arguments(two: World) -> None:
    two.run(remembered_rules)


def partial_gradient() -> dict[str, int]:
    """Of a sum over processes, each of which has a part of dy."""
    tensors, mesh = arguments(EVEN), mesh_of(2)
    x, weight, bias = placed(tensors, mesh, [[Replicate()]] * 3)
    with Collectives() as counted:
        y = psd.per_step_dense(x, weight, bias, activation="relu")
        y.backward(DTensor.from_local(torch.ones(y.shape), mesh, [Partial()]))
    z = psd.per_step_dense(*tensors, activation="relu")
    z.backward(torch.full_like(z, 2.0))
    for shard, tensor in zip((x, weight, bias), tensors, strict=True):
        torch.testing.assert_close(shard.grad.full_tensor(), tensor.grad, rtol=0, atol=0)
    return counted.counts


@needs_compiled_module
def test_parts_of_a_gradient_stay_parts(two: World) -> None:
    assert two.run(partial_gradient) == [{}, {}]


def under_autocast() -> str:
    tensors, mesh = arguments(EVEN), mesh_of(2)
    shards = placed(tensors, mesh, [[PLACEMENTS["steps"][k]] for k in range(3)])
    with torch.autocast("cpu", torch.bfloat16):
        y = psd.per_step_dense(*shards, activation="relu")
        expected = psd.per_step_dense(*tensors, activation="relu")
    torch.testing.assert_close(y.full_tensor(), expected, rtol=0, atol=0)
    return str(y.dtype)


def test_autocast(two: World) -> None:
    assert two.run(under_autocast) == ["torch.bfloat16"] * 2


# Refusals


def refusal(over: list[Any], options: dict[str, Any]) -> str:
    mesh, tensors = mesh_of(2), arguments(options.get("sizes", EVEN))
    x, weight, bias = (
        DTensor.from_local(tensor.detach(), mesh, [place])
        if place.is_partial()
        else placed([tensor], mesh, [[place]])[0]
        for tensor, place in zip(tensors, over, strict=True)
    )
    with Collectives() as counted, pytest.raises(ValueError) as error:
        psd.per_step_dense(x, weight, bias, activation=options.get("activation"))
    assert counted.counts == {}
    return str(error.value)


SILENTLY = (
    "on mesh dimension d0 of 2 processes, for nothing is gathered silently: redistribute it first"
)


@pytest.mark.parametrize(
    ("over", "options", "message"),
    [
        (
            (Shard(0), Shard(0), Shard(0)),
            {},
            f"with weight S(0) x must be S(2) or R and bias S(0) or R {SILENTLY}; "
            "got x S(0), weight S(0), bias S(0)",
        ),
        (
            (Shard(3), Shard(2), Shard(1)),
            {},
            f"with weight S(2) x must be R and bias S(1) or R {SILENTLY}; "
            "got x S(3), weight S(2), bias S(1)",
        ),
        (
            (Shard(2), Shard(1), Replicate()),
            {"activation": "gelu"},
            f"with weight S(1) x must be S(3) or R and bias P(sum) or R {SILENTLY}; "
            "got x S(2), weight S(1), bias R",
        ),
        (
            (Partial(), Shard(0), Shard(0)),
            {},
            f"with weight S(0) x must be S(2) or R and bias S(0) or R {SILENTLY}; "
            "got x P(sum), weight S(0), bias S(0)",
        ),
        (
            (Partial(), Replicate(), Replicate()),
            {"activation": "gelu"},
            f"with weight R x must be R or S(0) or S(1) and bias R {SILENTLY}; "
            "got x P(sum), weight R, bias R",
        ),
        (
            (Replicate(), Partial(), Replicate()),
            {"activation": "gelu"},
            "weight must not be P(sum) under an activation, for sums would be in parts, "
            f"{SILENTLY}; got x R, weight P(sum), bias R",
        ),
        (
            (Shard(2), Shard(0), Shard(1)),
            {},
            f"with weight S(0) x must be S(2) or R and bias S(0) or R {SILENTLY}; "
            "got x S(2), weight S(0), bias S(1)",
        ),
        (
            (Shard(2), Shard(0), Shard(0)),
            {"sizes": (4, 4, 1, 4, 12)},
            f"with weight S(0) x must be S(2) or R and bias S(0) or R {SILENTLY}; "
            "got x S(2), weight S(0), bias S(0)",
        ),
    ],
    ids=["batch_steps", "in_out", "steps_in", "sum", "activated_sum", "weight", "bias", "one_step"],
)
def test_what_would_be_moved_is_refused(
    two: World, over: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    assert two.run(refusal, list(over), options) == [f"per_step_dense: {message}"] * 2


def refusals_of_kinds() -> list[str]:
    tensors, mesh = arguments(EVEN), mesh_of(2)
    x, weight, bias = placed(tensors, mesh, [[Replicate()]] * 3)
    (elsewhere,) = placed(tensors[1:2], mesh_of(2, names=("other",)), [[Replicate()]])
    wrong = [
        (tensors[0], weight, bias),
        (x, tensors[1], bias),
        (x, weight, tensors[2]),
        (tensors[0], tensors[1], bias),
        (x, elsewhere, bias),
        (x, weight[:-1], bias),
        (x, weight.double(), bias),
        (x, weight, bias[:, :-1]),
    ]
    texts = []
    for each in wrong:
        with pytest.raises((ValueError, TypeError)) as error:
            psd.per_step_dense(*each)
        texts.append(str(error.value))
    with pytest.raises(ValueError) as error:
        psd.per_step_dense(x, weight, bias, activation="elu")
    texts.append(str(error.value))
    with pytest.raises(ValueError) as error:
        psd.explain(tensors[0], weight, bias)
    return [*texts, str(error.value)]


def test_other_wrong_arguments_are_refused_as_on_one_device(two: World) -> None:
    for texts in two.run(refusals_of_kinds):
        assert all(text.startswith("per_step_dense: ") for text in texts)
        assert "x must be a DTensor, as weight is" in texts[0]
        assert "weight must be a DTensor, as x is" in texts[1]
        assert "bias must be a DTensor, as x is" in texts[2]
        assert "x must be a DTensor, as bias is" in texts[3]
        assert "weight must be on the mesh of x" in texts[4]
        assert texts[5].endswith("with T = x.size(-2) = 8; got (7, 4, 12)")
        assert texts[6].endswith("weight must have the dtype of x, float32; got float64")
        assert texts[7].endswith("bias must be (T, O) = (8, 12); got (8, 11)")
        assert "activation must be None or one of" in texts[8]
        assert "weight must be what one process computes with, a plain tensor" in texts[9]
        assert "(weight.to_local() is one); got a DTensor" in texts[9]


def forced_family() -> str:
    mesh = mesh_of(2)
    x, weight, bias = placed(arguments(EVEN), mesh, [[Shard(2)], [Shard(0)], [Shard(0)]])
    with psd.use_kernel("simt"), pytest.raises(ValueError) as error:
        psd.per_step_dense(x, weight, bias)
    return str(error.value)


@pytest.mark.skipif(not _ops.has_cuda_kernels, reason="needs a family that refuses the CPU")
def test_a_family_that_cannot_take_the_parts_refuses_in_its_words(two: World) -> None:
    x, weight, bias = arguments(EVEN)
    with psd.use_kernel("simt"), pytest.raises(ValueError) as error:
        psd.per_step_dense(x, weight, bias)
    assert two.run(forced_family) == [str(error.value)] * 2


def accumulation() -> str:
    tensors, mesh = [tensor.detach() for tensor in arguments(EVEN)], mesh_of(2)
    x, weight = (tensor.detach() for tensor in placed(tensors, mesh, [[Shard(0)], [Replicate()]]))
    dz = psd.per_step_dense(x, weight)
    with pytest.raises(NotImplementedError) as error:
        torch.ops.per_step_dense.backward_accumulate(dz, x, weight, torch.zeros_like(weight), None)
    return str(error.value)


@needs_compiled_module
def test_accumulation_is_refused_for_its_sum_would_be_lost(two: World) -> None:
    for text in two.run(accumulation):
        assert "does not have a sharding strategy registered" in text
