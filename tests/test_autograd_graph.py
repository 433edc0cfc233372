"""What the graph keeps, what it lets go of, and what it refuses."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.utils.checkpoint
import truth
from cases import Arguments, of_sizes
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

import per_step_dense as psd

SUBSETS = [names for size in (1, 2, 3) for names in itertools.combinations(Arguments._fields, size)]


def small(device: torch.device, *names: str) -> Arguments:
    """Arguments of which those named require a gradient."""
    args = of_sizes(3, 2, 4, 5, torch.float32, device)
    for name in names:
        getattr(args, name).requires_grad_()
    return args


def saved_by(args: Arguments, activation: str | None) -> list[Tensor]:
    """The tensors that a call keeps for its backward."""
    saved = []

    def pack(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        psd.per_step_dense(*args, activation=activation)
    return saved


def shapes(tensors: list[Tensor]) -> set[tuple[int, ...]]:
    assert len(tensors) == len({tuple(tensor.shape) for tensor in tensors})
    return {tuple(tensor.shape) for tensor in tensors}


@pytest.mark.parametrize("activation", truth.ACTIVATIONS)
def test_nothing_is_saved_where_nothing_needs_a_gradient(
    device: torch.device, activation: str | None
) -> None:
    args = small(device)
    assert saved_by(args, activation) == []
    assert psd.per_step_dense(*args, activation=activation).grad_fn is None
    needing = small(device, "x", "weight", "bias")
    with torch.no_grad():
        assert saved_by(needing, activation) == []
        assert psd.per_step_dense(*needing, activation=activation).grad_fn is None


@pytest.mark.parametrize("activation", truth.ACTIVATIONS)
@pytest.mark.parametrize("differentiated", SUBSETS, ids="+".join)
def test_only_what_a_gradient_needs_is_saved(
    device: torch.device, differentiated: tuple[str, ...], activation: str | None
) -> None:
    args = small(device, *differentiated)
    expected = set()
    if "weight" in differentiated:
        expected.add(tuple(args.x.shape))
    if "x" in differentiated:
        expected.add(tuple(args.weight.shape))
    if activation is not None:
        expected.add((3, 2, 5))  # y, or z
    assert shapes(saved_by(args, activation)) == expected


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_saved_inputs_are_not_copies(device: torch.device, activation: str | None) -> None:
    args = small(device, "x", "weight", "bias")
    pointers = {tensor.data_ptr() for tensor in saved_by(args, activation)}
    assert {args.x.data_ptr(), args.weight.data_ptr()} <= pointers


@pytest.mark.parametrize("differentiated", SUBSETS, ids="+".join)
def test_only_what_requires_a_gradient_gets_one(
    device: torch.device, differentiated: tuple[str, ...]
) -> None:
    args = small(device, *differentiated)
    y = psd.per_step_dense(*args, activation="gelu")
    assert y.requires_grad
    y.sum().backward()
    assert [name for name in args._fields if getattr(args, name).grad is not None] == list(
        differentiated
    )


def locally_connected(
    x: Tensor, weight: Tensor, bias: Tensor | None = None, *, activation: str | None = None
) -> Tensor:
    """Of windows of one step, which overlap no others."""
    layer = psd.LocallyConnected1d(2, 4, 5, 1, bias=False, activation=activation, device=x.device)
    parameters = {"weight": weight}
    return torch.func.functional_call(layer, parameters, (x,))


def of_lengths(*args: Tensor | None, activation: str | None = None) -> Tensor:
    """Sorted samples, whose rows are read where they lie."""
    return psd.per_step_dense(*args, activation=activation, lengths=torch.tensor([2, 1, 1]))


def of_packed(x: Tensor, *parameters: Tensor | None, activation: str | None = None) -> Tensor:
    sequence = PackedSequence(x.flatten(0, 1), torch.tensor([4, 2]))
    return psd.per_step_dense(sequence, *parameters, activation=activation).data


FORMS = {
    "function": psd.per_step_dense,
    "locally connected": locally_connected,
    "lengths": of_lengths,
    "packed": of_packed,
}
each_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@pytest.mark.parametrize("changed", ["x", "weight"])
@each_form
def test_changing_a_saved_input_is_an_error(
    device: torch.device, form: Callable[..., Tensor], changed: str
) -> None:
    args = small(device, "x", "weight")
    y = form(*args[:2])
    with torch.no_grad():
        getattr(args, changed).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@each_form
def test_changing_a_saved_result_is_an_error(
    device: torch.device, form: Callable[..., Tensor]
) -> None:
    y = form(*small(device, "x")[:2], activation="relu")
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize("saved", ["dz", "x", "weight", "z"])
def test_changing_what_the_backward_saves_is_an_error(device: torch.device, saved: str) -> None:
    """For a second differentiation."""
    args = small(device, "x", "weight")
    dz = torch.randn(3, 2, 5, device=device, requires_grad=True)
    z = torch.randn(3, 2, 5, device=device, requires_grad=True)
    if saved == "z":
        gradient = torch.ops.per_step_dense.activation_backward(dz, z, "gelu")
    else:
        dx, dweight, _ = torch.ops.per_step_dense.backward(dz, args.x, args.weight, False)
        gradient = dx.sum() + dweight.sum()
    changed = {"dz": dz, "x": args.x, "weight": args.weight, "z": z}[saved]
    with torch.no_grad():
        changed.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradient.sum().backward()


@pytest.mark.parametrize("activation", [None, "gelu"])  # y is not saved
def test_changing_an_unsaved_result_is_fine(device: torch.device, activation: str | None) -> None:
    args = small(device, "x")
    y = psd.per_step_dense(*args, activation=activation)
    y.mul_(2)
    (actual,) = torch.autograd.grad(y.sum(), args.x)
    doubled = 2 * truth.per_step_dense(*args, activation=activation)
    torch.testing.assert_close(actual, *torch.autograd.grad(doubled.sum(), args.x))


def test_changing_what_is_not_saved_is_fine(device: torch.device) -> None:
    args = small(device, "weight", "bias")
    y = psd.per_step_dense(*args)
    with torch.no_grad():
        args.weight.add_(1)
        args.bias.add_(1)
    (actual,) = torch.autograd.grad(y.sum(), args.weight)
    torch.testing.assert_close(actual, args.x.sum(0).unsqueeze(-1).expand_as(actual))


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
@each_form
def test_a_freed_graph_is_an_error(
    device: torch.device, form: Callable[..., Tensor], activation: str | None
) -> None:
    y = form(*small(device, "x", "weight")[:2], activation=activation)
    y.sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


def test_a_freed_graph_of_the_backward_is_an_error(device: torch.device) -> None:
    args = small(device, "x", "weight")
    y = psd.per_step_dense(*args)
    (dx,) = torch.autograd.grad(y.square().sum(), args.x, create_graph=True)
    dx.sum().backward()
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        dx.sum().backward()


def test_retain_graph_accumulates(device: torch.device) -> None:
    args = small(device, "x", "weight", "bias")
    y = psd.per_step_dense(*args, activation="gelu")
    y.sum().backward(retain_graph=True)
    once = [tensor.grad.clone() for tensor in args]
    y.sum().backward()
    for tensor, gradient in zip(args, once, strict=True):
        torch.testing.assert_close(tensor.grad, 2 * gradient)


def test_detaching_ends_the_graph(device: torch.device) -> None:
    args = small(device, "weight")
    y = psd.per_step_dense(*args, activation="relu")
    assert not y.detach().requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        y.detach().sum().backward()


def test_one_tensor_as_several_arguments(device: torch.device) -> None:
    shared = torch.randn(3, 3, 3, device=device, dtype=torch.float64, requires_grad=True)
    y = psd.per_step_dense(shared, shared, shared[0], activation="tanh")
    (actual,) = torch.autograd.grad(y.sum(), shared)
    exact = truth.per_step_dense(shared, shared, shared[0], activation="tanh")
    torch.testing.assert_close(actual, *torch.autograd.grad(exact.sum(), shared))


def test_hooks_may_move_the_saved_tensors(device: torch.device) -> None:
    args = small(device, "x", "weight", "bias")
    with torch.autograd.graph.save_on_cpu():
        y = psd.per_step_dense(*args, activation="silu")
    actual = torch.autograd.grad(y.sum(), args)
    expected = torch.autograd.grad(truth.per_step_dense(*args, activation="silu").sum(), args)
    for ours, true in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, true)


def test_checkpointing_recomputes_the_same(device: torch.device) -> None:
    args = small(device, "x", "weight", "bias")
    y = torch.utils.checkpoint.checkpoint(
        lambda *args: psd.per_step_dense(*args, activation="gelu"), *args, use_reentrant=False
    )
    actual = torch.autograd.grad(y.sum(), args)
    expected = torch.autograd.grad(psd.per_step_dense(*args, activation="gelu").sum(), args)
    for ours, plain in zip(actual, expected, strict=True):
        assert torch.equal(ours, plain)


def test_anomaly_mode_names_the_forward_call(device: torch.device) -> None:
    args = small(device, "x", "weight")
    with torch.no_grad():
        args.x[0, 0, 0] = torch.inf
        args.weight.zero_()
    with (
        torch.autograd.set_detect_anomaly(True),
        pytest.warns(UserWarning, match="Error detected in PerStepDenseBackward"),
        pytest.raises(RuntimeError, match=r"PerStepDenseBackward.*nan"),
    ):
        y = psd.per_step_dense(*args)
        y.backward(torch.zeros_like(y))
