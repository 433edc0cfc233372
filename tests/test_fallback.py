"""Does everything work where the compiled module cannot be imported, and say so?

Each test runs a script in a Python of its own, for which per_step_dense._C cannot be imported.
"""

from __future__ import annotations

import textwrap

import pytest
import scripts
import torch

from per_step_dense import _ops

PRELUDE = """
import sys, warnings
warnings.simplefilter("error")
sys.modules["per_step_dense._C"] = None  # its import fails
import torch, truth
import per_step_dense as psd
from per_step_dense import _ops, config
"""


def run(script: str, prelude: str = PRELUDE) -> str:
    return scripts.run(script, prelude)


def test_values_gradients_and_errors_are_the_same() -> None:
    printed = run(
        """
        assert _ops.compiled is None and _ops.forward is None
        assert not hasattr(torch.ops.per_step_dense, "forward")
        x, weight, bias = torch.randn(3, 4, 5), torch.randn(4, 5, 6), torch.randn(4, 6)
        args = [tensor.double().requires_grad_() for tensor in (x, weight, bias)]
        for activation in truth.ACTIVATIONS:
            y = psd.per_step_dense(*args, activation=activation)
            true = truth.per_step_dense(*args, activation=activation)
            torch.testing.assert_close(y, true)
            ours = torch.autograd.grad(y.square().sum(), args)
            torch.testing.assert_close(ours, torch.autograd.grad(true.square().sum(), args))
        layer = psd.PerStepDense(4, 5, 6, activation="gelu")
        y = layer(x)
        torch.testing.assert_close(
            y, truth.per_step_dense(x, layer.weight, layer.bias, activation="gelu")
        )
        for wrong in (dict(bias=bias[0]), dict(activation="swish"), dict(weight=weight.long())):
            try:
                psd.per_step_dense(**{**dict(x=x, weight=weight), **wrong})
            except (TypeError, ValueError) as error:
                print(type(error).__name__, error)
        """
    )
    assert printed.splitlines() == [
        "ValueError per_step_dense: bias must be (T, O) = (4, 6); got (6,)",
        "ValueError per_step_dense: activation must be None or one of relu, gelu, gelu_tanh, silu, "
        "tanh, sigmoid; got 'swish'",
        "TypeError per_step_dense: weight must be float32, float64, float16 or bfloat16; got int64",
    ]


def test_samples_of_different_lengths_are_computed_as_well() -> None:
    run(
        """
        import ragged
        args = [t.double().requires_grad_() for t in (torch.randn(4, 5, 7), torch.randn(5, 7, 9))]
        lengths = (2, 5, 1, 4)
        exact = ragged.sample_by_sample(*args, None, lengths, "tanh")
        sequence = psd.per_step_dense(ragged.packed(args[0], lengths), args[1], activation="tanh")
        padded = psd.per_step_dense(*args, activation="tanh", lengths=torch.tensor(lengths))
        expected = torch.autograd.grad(exact.square().sum(), args, retain_graph=True)
        for y in (ragged.unpacked(sequence, 5), padded):
            torch.testing.assert_close(y, exact)
            torch.testing.assert_close(torch.autograd.grad(y.square().sum(), args), expected)
        try:
            psd.per_step_dense(*args, lengths=torch.tensor([6, 1, 1, 1]))
        except ValueError as error:
            assert "lengths must lie between 0 and T = 5; got 6 of sample 0" in str(error), error
        else:
            raise AssertionError("lengths out of range are not refused")
        """
    )


def test_show_config_says_why() -> None:
    printed = run(
        """
        print(config.kernel_name(torch.randn(2, 3, 4), torch.randn(3, 4, 5)))
        print(_ops.missing_reason)
        from per_step_dense.__main__ import main
        assert main(["info"]) == 0
        """
    )
    name, reason, *lines = printed.splitlines()
    facts = dict(line.split("  ", 1) for line in lines)
    assert name == "reference (cpu)"
    assert "_C" in reason
    assert facts["compiled module"].strip() == f"missing: {reason}"
    for where in ("on the CPU", "float32 on CUDA", "tf32 and other dtypes on CUDA"):
        assert facts[where].strip() == "reference (torch.einsum)"
    assert "CUDA kernels" not in facts


def test_only_the_reference_can_be_asked_for_and_explained() -> None:
    printed = run(
        """
        x, weight = torch.randn(3, 4, 5), torch.randn(4, 5, 6)
        with psd.use_kernel("reference"):
            plan = psd.explain(x, weight)
        assert plan == psd.explain(x, weight)
        print(plan.kernel, plan.launches, plan.flops, plan.bytes, plan.backward)
        for wrong in (lambda: psd.use_kernel("simt"), lambda: psd.explain(x, weight, arch="sm_90")):
            try:
                wrong()
            except ValueError as error:
                print(str(error).replace(_ops.missing_reason, "REASON"))
        """
    )
    assert printed.splitlines() == [
        f"reference 0 {2 * 3 * 4 * 5 * 6} {4 * (3 * 4 * 5 + 4 * 5 * 6 + 3 * 4 * 6)} None",
        "per_step_dense: kernel must be one of auto, reference; got 'simt' (the others need the "
        "compiled module, which is missing: REASON)",
        "per_step_dense: arch needs the compiled module, which is missing (REASON); got 'sm_90'",
    ]


def test_batch_invariance_is_not_to_be_had() -> None:
    printed = run(
        """
        try:
            psd.batch_invariant()
        except ValueError as error:
            print(str(error).replace(_ops.missing_reason, "REASON"))
        """
    )
    assert printed.strip() == (
        "per_step_dense: batch_invariant() needs the compiled module, which is missing: REASON"
    )


# Without a GPU, CPU tensors stand in for CUDA's: all that the package asks of them is is_cuda.
CUDA_LIKE = """
class CudaLike(torch.Tensor):
    is_cuda = property(lambda self: True)

def randn(*shape):
    tensor = torch.randn(shape, device=DEVICE)
    return tensor.as_subclass(CudaLike) if DEVICE == "cpu" else tensor

def calls(first):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        psd.per_step_dense(torch.randn(2, 3, 4), torch.randn(3, 4, 5))  # on the CPU
        assert not caught
        for _ in range(3):
            y = psd.per_step_dense(first, randn(3, 4, 5))
        warned = len(caught)
        psd.per_step_dense(randn(2, 3, 4), randn(3, 4, 5), activation="relu")
        assert y.is_cuda and len(caught) == warned
    for warning in caught:
        print(warning.category.__name__, warning.filename, warning.message)
"""


def test_cuda_without_the_module_warns_once(device: torch.device) -> None:
    printed = run(
        f"""
        DEVICE = {device.type!r}
        {textwrap.indent(CUDA_LIKE, " " * 8).strip()}
        print(_ops.missing_reason)
        calls(randn(2, 3, 4))
        """
    )
    reason, *warned = printed.splitlines()
    assert warned == [
        "UserWarning <string> per_step_dense: CUDA tensors run through plain torch operations "
        f"because its compiled module is missing ({reason}); see `python -m per_step_dense info`"
    ]


def test_cuda_with_a_module_without_kernels_warns_once(device: torch.device) -> None:
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    printed = run(
        f"""
        import warnings, torch
        import per_step_dense as psd
        from per_step_dense import _ops
        _ops.has_cuda_kernels = False
        DEVICE = {device.type!r}
        {textwrap.indent(CUDA_LIKE, " " * 8).strip()}
        calls(torch.nn.utils.rnn.PackedSequence(randn(5, 4), torch.tensor([2, 2, 1])))
        """,
        prelude="",
    )
    assert printed.splitlines() == [
        "UserWarning <string> per_step_dense: CUDA tensors run through plain torch operations "
        "because it was built without CUDA; see `python -m per_step_dense info`"
    ]


def test_a_module_with_kernels_does_not_warn(device: torch.device) -> None:
    if not _ops.has_cuda_kernels:
        pytest.skip("needs a compiled module with CUDA kernels")
    printed = run(
        f"""
        import warnings, torch
        import per_step_dense as psd
        DEVICE = {device.type!r}
        {textwrap.indent(CUDA_LIKE, " " * 8).strip()}
        calls(randn(2, 3, 4))
        """,
        prelude="",
    )
    assert printed == ""


@pytest.mark.skipif(not torch.distributed.is_available(), reason="needs torch.distributed")
def test_sharded_layers_work_through_torch_s_own_rules() -> None:
    printed = run(
        """
        import copy
        import torch.distributed as dist
        from torch.distributed.device_mesh import init_device_mesh

        dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
        mesh, x = init_device_mesh("cpu", (1,)), torch.randn(3, 4, 5)
        for dim in ("steps", "out", "in"):
            whole = psd.PerStepDense(4, 5, 6, activation="gelu")
            layer = psd.distributed.parallelize(copy.deepcopy(whole), mesh, dim)
            y = layer(x)
            torch.testing.assert_close(y, whole(x))
            y.sum().backward()
            whole(x).sum().backward()
            torch.testing.assert_close(layer.weight.grad.full_tensor(), whole.weight.grad)
        try:
            psd.per_step_dense(layer.weight[0], layer.weight, layer.bias)
        except ValueError as error:
            print(error)
        dist.destroy_process_group()
        """
    )
    *_, printed_by_us = printed.splitlines()  # gloo of torch 2.10 prints a line before
    assert printed_by_us == (
        "per_step_dense: weight must be (T, I, O) with T = x.size(-2) = 5; got (4, 5, 6)"
    )
