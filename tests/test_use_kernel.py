"""Does use_kernel choose what runs: in this thread, and in the backward?"""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch
import truth
from cases import Arguments
from kernel_in_force import in_force, nothing_is_left_in_force, small  # noqa: F401 - around all
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint

import per_step_dense as psd
from bench.precision import float32_products
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

ops = torch.ops.per_step_dense
NAMES = ["auto", "reference", "simt", "tiny", "sm80", "sm90"]
LISTED = "auto, reference, simt, tiny, sm80, sm90"
LISTED_BY_OPS = "auto, reference, batch_invariant, simt, tiny, sm80, sm90"


class CalledOps(TorchDispatchMode):
    """Notes the ops that run below autograd, and which kernels they are to use."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.kernels: list[tuple[str, str]] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.name())
        parameters = [argument.name for argument in func._schema.arguments]
        if func.namespace == "per_step_dense" and "family" in parameters:
            index = parameters.index("family")
            kernel = args[index] if index < len(args) else "auto"
            self.kernels.append((func.name().partition("::")[2], kernel))
        return func(*args, **(kwargs or {}))


# The state


def test_nothing_is_forced_at_first() -> None:
    assert in_force() == "auto"


@pytest.mark.parametrize("name", NAMES)
def test_every_family_can_be_named(name: str) -> None:
    with psd.use_kernel(name):
        assert in_force() == name
    assert in_force() == "auto"


def test_it_nests_and_survives_exceptions() -> None:
    with psd.use_kernel("tiny"):
        with pytest.raises(ZeroDivisionError), psd.use_kernel("simt"):
            with psd.use_kernel("auto"):
                assert in_force() == "auto"
            assert in_force() == "simt"
            raise ZeroDivisionError
        assert in_force() == "tiny"


def test_one_object_may_be_entered_twice() -> None:
    once = psd.use_kernel("simt")
    with once:
        with psd.use_kernel("tiny"), once:
            assert in_force() == "simt"
        assert in_force() == "simt"


def test_decorator() -> None:
    @psd.use_kernel("reference")
    def inner(depth: int) -> list[str]:
        return [in_force()] + (inner(depth - 1) if depth else [])

    assert inner(2) == ["reference"] * 3
    assert in_force() == "auto"


def test_it_belongs_to_the_thread() -> None:
    seen: list[str] = []
    with psd.use_kernel("reference"):
        thread = threading.Thread(target=lambda: seen.append(in_force()))
        thread.start()
        thread.join()
    assert seen == ["auto"]


@pytest.mark.parametrize("name", ["sm100", "aten", "cublas", "", "Simt"])
def test_unknown_name(name: str) -> None:
    expected = "per_step_dense: kernel must be one of {}; got {!r}"
    with pytest.raises(ValueError) as refusal:
        psd.use_kernel(name)
    assert str(refusal.value) == expected.format(LISTED, name)
    with pytest.raises(ValueError) as refusal:
        ops.forward(*small(grad=False), "none", name)
    assert str(refusal.value) == expected.format(LISTED_BY_OPS, name)


def test_name_of_another_type() -> None:
    with pytest.raises(TypeError) as refusal:
        psd.use_kernel(3)
    assert str(refusal.value) == f"per_step_dense: kernel must be one of {LISTED}; got int"


# What runs


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@pytest.mark.parametrize("explicit", [True, False], ids=["argument", "context"])
def test_reference_runs_the_einsum(device: torch.device, grad: bool, explicit: bool) -> None:
    args = small(device, grad)
    with CalledOps() as called, psd.use_kernel("auto" if explicit else "reference"):
        y = ops.forward(*args, "gelu", "reference" if explicit else "auto")
    assert not any(name.startswith("per_step_dense") for name in called.names)
    torch.testing.assert_close(y, truth.per_step_dense(*args, activation="gelu"))


def test_reference_in_inference_mode(device: torch.device) -> None:
    args = small(device, grad=False)
    with torch.inference_mode(), psd.use_kernel("reference"):
        y = psd.per_step_dense(*args, activation="silu")
        y_z = ops.forward_with_preactivation(*args, "silu")
        gradients = ops.backward(y, args.x, args.weight, True)
    torch.testing.assert_close(y, truth.per_step_dense(*args, activation="silu"))
    torch.testing.assert_close(y_z[1], truth.per_step_dense(*args))
    torch.testing.assert_close(gradients[2], y.sum(0))


def test_an_explicit_name_wins() -> None:
    args = small()
    with psd.use_kernel("simt"):  # would refuse the CPU
        y = ops.forward(*args, "none", "reference")
    assert y.grad_fn.name() != "PerStepDenseBackward"
    with psd.use_kernel("reference"):
        assert psd.per_step_dense(*args).grad_fn.name() != "PerStepDenseBackward"


@pytest.mark.parametrize("activation", [None, "relu", "gelu"])
def test_reference_gradients(device: torch.device, activation: str | None) -> None:
    args = small(device)
    with psd.use_kernel("reference"):
        y = psd.per_step_dense(*args, activation=activation)
    actual = torch.autograd.grad(y.square().sum(), args, create_graph=True)
    exact = truth.per_step_dense(*args, activation=activation)
    expected = torch.autograd.grad(exact.square().sum(), args, create_graph=True)
    for ours, true in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, true)
    twice = torch.autograd.grad(actual[1].square().sum(), args.x)
    torch.testing.assert_close(twice, torch.autograd.grad(expected[1].square().sum(), args.x))


@pytest.mark.parametrize("name", ["auto", "simt", "tiny", "sm80", "sm90"])
def test_all_backwards_are_given_the_family_of_their_forward(name: str) -> None:
    args = small("meta")
    with psd.use_kernel(name):
        y = psd.per_step_dense(*args, activation="gelu")
    with CalledOps() as called, psd.use_kernel("reference"):
        (dx,) = torch.autograd.grad(y.sum(), args.x, create_graph=True)
        torch.autograd.grad(dx.sum(), args.weight)
    assert ("backward", name) in called.kernels[:1]
    assert len(called.kernels) > 1
    assert {kernel for _, kernel in called.kernels} == {name}


def test_the_backward_keeps_the_family_of_its_forward(gpu: torch.device) -> None:
    args = Arguments(*(t.detach().bfloat16().requires_grad_() for t in small(gpu)))
    for name in ("simt", "tiny", "sm80"):
        with psd.use_kernel(name):
            y = psd.per_step_dense(*args)
        with torch.profiler.profile(
            activities=[torch.profiler.ProfilerActivity.CUDA], acc_events=True
        ) as profile:
            torch.autograd.grad(y.sum(), args)
            torch.cuda.synchronize()
        assert any(f"::{name}::" in event.key for event in profile.key_averages())


# Who refuses


@pytest.mark.parametrize("grad", [True, False], ids=["grad", "no_grad"])
@pytest.mark.parametrize("name", ["simt", "tiny", "sm80", "sm90"])
def test_kernels_refuse_the_cpu(name: str, grad: bool) -> None:
    args = small(grad=grad)
    expected = f"per_step_dense: use_kernel('{name}') needs CUDA tensors; x is on cpu"
    for call in (psd.per_step_dense, ops.forward, psd.explain):
        with pytest.raises(ValueError) as refusal, psd.use_kernel(name):
            call(*args)
        assert str(refusal.value) == expected
    with pytest.raises(ValueError) as refusal:
        ops.backward(args.x, args.x, None, False, name)
    assert str(refusal.value) == expected.replace("x is", "dz is")
    with torch.inference_mode(), pytest.raises(ValueError, match="needs CUDA tensors"):
        ops.forward(*args, "none", name)


def test_kernels_refuse_a_module_without_cuda() -> None:
    if _ops.has_cuda_kernels:
        pytest.skip("this module has CUDA kernels")
    args = [torch.empty(shape, device="meta") for shape in ((3, 4, 5), (4, 5, 6))]
    with psd.use_kernel("simt"):  # shapes need no kernel
        assert psd.per_step_dense(*args).shape == (3, 4, 6)
        plan = psd.explain(*args, arch="sm_90")
    assert plan.kernel == "simt"
    assert plan.reason.endswith("; but this module was built without CUDA kernels")


def transform_vmap(x: Tensor, weight: Tensor) -> Tensor:
    return torch.func.vmap(psd.per_step_dense, in_dims=(0, None))(x.unsqueeze(0), weight)


def transform_grad(x: Tensor, weight: Tensor) -> Tensor:
    return torch.func.grad(lambda x: psd.per_step_dense(x, weight).sum())(x)


def transform_jvp(x: Tensor, weight: Tensor) -> Tensor:
    return torch.func.jvp(lambda x: psd.per_step_dense(x, weight), (x,), (x,))[0]


def transform_dual(x: Tensor, weight: Tensor) -> Tensor:
    with forward_ad.dual_level():
        return psd.per_step_dense(forward_ad.make_dual(x, x), weight)


@pytest.mark.parametrize("transform", [transform_jvp, transform_dual])
def test_only_the_composite_serves_forward_mode(transform: Callable[..., Tensor]) -> None:
    x, weight, _ = small(grad=False)
    expected = transform(x, weight)
    with psd.use_kernel("reference"):
        torch.testing.assert_close(transform(x, weight), expected)
    with pytest.raises(ValueError) as refusal, psd.use_kernel("simt"):
        transform(x, weight)
    assert str(refusal.value) == (
        "per_step_dense: use_kernel('simt') cannot serve forward-mode AD or nested tensors; only "
        "'auto' and 'reference' can"
    )


@pytest.mark.parametrize("transform", [transform_vmap, transform_grad])
def test_other_transforms_reach_the_kernel_that_is_asked_for(
    device: torch.device, transform: Callable[..., Tensor]
) -> None:
    x, weight, _ = small(device, grad=False)
    expected = transform(x, weight)
    with psd.use_kernel("reference"):
        torch.testing.assert_close(transform(x, weight), expected)
    with psd.use_kernel("simt"):
        if device.type == "cuda":
            torch.testing.assert_close(transform(x, weight), expected)
        else:
            with pytest.raises(ValueError, match=r"use_kernel\('simt'\) needs CUDA tensors"):
                transform(x, weight)


def test_gradients_of_sm90_in_tf32_are_found_by_the_chooser() -> None:
    args = [torch.empty(shape, device="meta") for shape in ((512, 8, 512), (8, 512, 512))]
    with float32_products("tf32"):
        with psd.use_kernel("sm90"):
            plan = psd.explain(*args, arch="sm_90")
        assert plan.kernel == "sm90"
        assert plan.backward == psd.explain(*args, arch="sm_90").backward
    args = [arg.bfloat16() for arg in args]
    with psd.use_kernel("sm90"):
        plan = psd.explain(*args, arch="sm_90")
    assert (plan.kernel, plan.backward.kernel) == ("sm90", "sm90")


# What torch.utils.checkpoint computes again


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_context_inside_what_is_checkpointed_is_entered_again(
    device: torch.device, use_reentrant: bool
) -> None:
    args = small(device)

    @psd.use_kernel("reference")
    def function(*args: Tensor) -> Tensor:
        return psd.per_step_dense(*args, activation="gelu")

    with CalledOps() as called:
        y = checkpoint(function, *args, use_reentrant=use_reentrant)
        y.square().sum().backward()
    assert "aten::gelu_backward" in called.names
    assert not any(name.startswith("per_step_dense") for name in called.names)
    exact = truth.per_step_dense(*args, activation="gelu")
    for ours, true in zip(args, torch.autograd.grad(exact.square().sum(), args), strict=True):
        torch.testing.assert_close(ours.grad, true)
