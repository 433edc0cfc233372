"""Do float32's products on CUDA follow torch's setting, however it is set, and only they?"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import truth
from cases import Arguments, of_sizes
from tolerance import assert_as_close_as_torch
from torch import Tensor

import per_step_dense as psd
from bench.precision import float32_products
from per_step_dense import _ops

if _ops.compiled is None:
    pytest.skip("needs the compiled module", allow_module_level=True)

cuda_matmul = torch.backends.cuda.matmul
SIZES = (200, 16, 136, 136)


@pytest.fixture(autouse=True)
def settings_are_restored() -> Iterator[None]:
    """The older switches first, for they move the newer ones."""
    matmuls = cuda_matmul, torch.backends.mkldnn.matmul
    before = [matmul.fp32_precision for matmul in matmuls]
    everywhere = torch.backends.fp32_precision
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.fp32_precision = everywhere
    for matmul, precision in zip(matmuls, before, strict=True):
        matmul.fp32_precision = precision


def set_new(precision: str) -> None:
    cuda_matmul.fp32_precision = precision


def set_everywhere(precision: str) -> None:
    cuda_matmul.fp32_precision = "none"  # which defers to the setting of all backends
    torch.backends.fp32_precision = precision


def set_allowed(precision: str) -> None:
    cuda_matmul.allow_tf32 = precision == "tf32"


def set_high(precision: str) -> None:
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")


def set_medium(precision: str) -> None:
    torch.set_float32_matmul_precision("medium" if precision == "tf32" else "highest")


SETTERS = [set_new, set_everywhere, set_allowed, set_high, set_medium]
OF_EVERY_SETTER = pytest.mark.parametrize("setter", SETTERS, ids=lambda setter: setter.__name__)


def plan_of(
    dtype: torch.dtype = torch.float32, kernel: str = "auto", arch: str | None = "sm_90"
) -> psd.Plan:
    b, t, i, o = SIZES
    device = "cpu" if arch is None else "meta"
    shapes = (b, t, i), (t, i, o), (t, o)
    with psd.use_kernel(kernel):
        return psd.explain(
            *(torch.empty(shape, dtype=dtype, device=device) for shape in shapes), arch=arch
        )


def uses_tensor_cores(plan: psd.Plan) -> bool:
    assert plan.backward is not None
    found = {"sm80" in told.kernel or "sm90" in told.kernel for told in (plan, plan.backward)}
    assert len(found) == 1
    return found.pop()


# What is planned


def test_float32_is_ieee_unless_told() -> None:
    plan = plan_of()
    assert not uses_tensor_cores(plan)
    assert "got float32 in IEEE precision" in plan.reason


@OF_EVERY_SETTER
def test_plans_follow_every_way_to_set_it(setter: Callable[[str], None]) -> None:
    for _ in range(2):
        setter("tf32")
        permitted = plan_of()
        assert uses_tensor_cores(permitted)
        assert ", aten " in permitted.reason
        assert "IEEE" not in permitted.reason
        setter("ieee")
        exact = plan_of()
        assert not uses_tensor_cores(exact)
        assert "got float32 in IEEE precision" in exact.reason
        assert permitted.estimate_us < exact.estimate_us


@OF_EVERY_SETTER
@pytest.mark.parametrize("precision", ["tf32", "ieee"])
def test_the_newer_way_wins_over_what_was_set_before(
    setter: Callable[[str], None], precision: str
) -> None:
    setter("ieee" if precision == "tf32" else "tf32")
    set_new(precision)  # from here on torch may refuse to read the older switches
    assert uses_tensor_cores(plan_of()) == (precision == "tf32")


def test_floor_is_that_of_tensor_cores() -> None:
    b, t, i, o = 4096, 8, 1024, 1024
    x, weight = torch.empty(b, t, i, device="meta"), torch.empty(t, i, o, device="meta")
    for precision, tflops in (("ieee", 55), ("tf32", 400)):
        set_new(precision)
        plan = psd.explain(x, weight, arch="sm_90")
        assert plan.floor_us == pytest.approx(2e-6 * b * t * i * o / tflops, rel=1e-6)


def test_ieee_kernels_stay_what_they_are() -> None:
    for kernel in ("simt", "tiny"):
        b, t, i, o = (64, 10, 4, 8) if kernel == "tiny" else SIZES
        x, weight = torch.empty(b, t, i, device="meta"), torch.empty(t, i, o, device="meta")
        plans = []
        for precision in ("ieee", "tf32"):
            set_new(precision)
            with psd.use_kernel(kernel):
                plans.append(psd.explain(x, weight, arch="sm_90"))
        exact, permitted = plans
        for one, other in ((exact, permitted), (exact.backward, permitted.backward)):
            assert (one.kernel, one.tile, one.splits) == (other.kernel, other.tile, other.splits)
            assert one.estimate_us == other.estimate_us


@pytest.mark.parametrize("kernel", ["sm80", "sm90"])
def test_tensor_cores_can_be_asked_for(kernel: str) -> None:
    set_new("tf32")
    plan = plan_of(kernel=kernel)
    assert plan.kernel == kernel
    assert (plan.backward.kernel == kernel) == (kernel == "sm80")  # sm90 has no gradients
    assert f"; {kernel} was asked for" in plan.reason
    set_new("ieee")
    with pytest.raises(ValueError, match=r"fp32_precision is 'tf32'; got float32 in IEEE"):
        plan_of(kernel=kernel)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16], ids=str)
def test_other_dtypes_do_not_follow(dtype: torch.dtype) -> None:
    set_new("ieee")
    exact = plan_of(dtype)
    set_new("tf32")
    assert plan_of(dtype) == exact


def test_autocast_does_not_follow() -> None:
    def plan() -> psd.Plan:
        shapes = (64, 32, 512), (32, 512, 512)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return psd.explain(*map(torch.empty, shapes), arch="sm_90")

    set_new("ieee")
    exact = plan()
    set_new("tf32")
    assert plan() == exact


def test_the_cpu_does_not_follow() -> None:
    args = of_sizes(6, 5, 7, 9, torch.float32, "cpu")
    set_new("ieee")
    exact, plan = psd.per_step_dense(*args), plan_of(arch=None)
    set_new("tf32")
    assert torch.equal(psd.per_step_dense(*args), exact)
    assert plan_of(arch=None) == plan


# What is computed


def on_gpu(gpu: torch.device) -> tuple[Arguments, Tensor]:
    """Sizes that cuBLAS uses tensor cores for as well; and the gradient of the result."""
    b, t, i, o = 64, 4, 512, 512
    args = of_sizes(b, t, i, o, torch.float32, gpu)
    return (
        Arguments(*(tensor.requires_grad_() for tensor in args)),
        torch.randn(b, t, o, device=gpu),
    )


@pytest.mark.parametrize("kernel", ["auto", "sm80", "sm90"])
def test_tf32_matches_fp64_as_torchs_does(
    gpu: torch.device, kernel: str, request: pytest.FixtureRequest
) -> None:
    if kernel == "sm90":
        request.getfixturevalue("hopper")
    args, dy = on_gpu(gpu)
    exact_args = Arguments(*map(truth.in_fp64, args))
    exact = truth.per_step_dense(*exact_args)
    with float32_products("tf32"):
        with psd.use_kernel(kernel):
            y = psd.per_step_dense(*args)
        gradients = torch.autograd.grad(y, args, dy)
        torchs = psd.reference.per_step_dense(*args)
        torchs_gradients = torch.autograd.grad(torchs, args, dy)
    exact_gradients = torch.autograd.grad(exact, exact_args, dy.double())
    assert_as_close_as_torch(y, torchs, exact)
    for ours, theirs, true in zip(gradients, torchs_gradients, exact_gradients, strict=True):
        assert_as_close_as_torch(ours, theirs, true)


def test_sm80_rounds_products_and_not_the_gradient_of_the_bias(gpu: torch.device) -> None:
    args, dy = on_gpu(gpu)
    exact = truth.per_step_dense(*map(truth.in_fp64, args))
    with float32_products("tf32"), psd.use_kernel("sm80"):
        y = psd.per_step_dense(*args)
        (dbias,) = torch.autograd.grad(y, args.bias, dy)
    ieee = psd.reference.per_step_dense(*(tensor.detach().cpu() for tensor in args))
    with pytest.raises(AssertionError, match="exceeds"):  # tensor cores were at work
        assert_as_close_as_torch(y, ieee.to(gpu), exact)
    assert_as_close_as_torch(dbias, dy.sum(0), dy.double().sum(0))


def test_ieee_is_ieee_on_the_gpu(gpu: torch.device) -> None:
    args, _ = on_gpu(gpu)
    exact = truth.per_step_dense(*map(truth.in_fp64, args))
    with float32_products("ieee"):
        y = psd.per_step_dense(*args)
        assert_as_close_as_torch(y, psd.reference.per_step_dense(*args), exact)
        refusal = pytest.raises(ValueError, match=r"use_kernel\('sm80'\) cannot take this call")
        with refusal, psd.use_kernel("sm80"):
            psd.per_step_dense(*args)


def test_autocast_is_autocast_on_the_gpu(gpu: torch.device) -> None:
    args, _ = on_gpu(gpu)
    results = []
    for precision in ("ieee", "tf32"):
        with float32_products(precision), torch.autocast("cuda", dtype=torch.bfloat16):
            results.append(psd.per_step_dense(*args))
    assert results[0].dtype == torch.bfloat16
    assert torch.equal(*results)
