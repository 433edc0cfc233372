"""Does every rival compute the layer, and does the gate let nothing else through?"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
import truth
from torch import Tensor

for _package in ("matplotlib", "pydantic", "rich"):
    pytest.importorskip(_package, reason="the bench's extra is not installed")

from bench.cases import CASES, CPU_CASES, GPU_CASES, QUICK_CASES, WINDOW_CASES, Case, cases_for
from bench.contestant import Results, TorchContestant
from bench.gate import Gate, WrongError
from bench.record import Clock, Layout, Pass
from bench.rivals import OURS, RIVALS, Rival
from bench.rivals.base import ACTIVATIONS, TorchRival
from bench.timing import stopwatches_of
from bench.workload import Inputs, Workload

CPU = torch.device("cpu")
RIVALS_HERE = [rival for rival in RIVALS if isinstance(rival, TorchRival)]
UNCOMPILED = [rival for rival in RIVALS_HERE if not rival.name.startswith("torch.compile")]


def small(dtype: torch.dtype = torch.float32, sizes: Sequence[int] = (5, 3, 4, 8)) -> Case:
    return Case("small", *sizes, dtype, "this test")


def workload(
    computed: Pass = Pass.BOTH,
    *,
    case: Case | None = None,
    has_bias: bool = True,
    activation: str | None = "gelu",
) -> Workload:
    return Workload(case or small(), CPU, computed, has_bias, activation)


def entered(rival: Rival, work: Workload) -> TorchContestant:
    contestant = rival.enter(work, [work.inputs()], stopwatches_of(CPU))
    assert isinstance(contestant, TorchContestant)
    return contestant


def exact(work: Workload) -> Results:
    """From the formula, in float64, by nothing of the bench."""
    inputs = work.inputs()
    tensors = (inputs.x, inputs.weight, inputs.bias)
    leaves = [tensor.double().requires_grad_() for tensor in tensors if tensor is not None]
    y = truth.per_step_dense(*leaves, activation=work.activation)
    gradients = torch.autograd.grad(y, leaves, inputs.dy.double())
    return Results(y.detach(), *gradients)


def assert_equal(actual: Results, expected: Results, tolerance: float) -> None:
    assert actual.items().keys() == expected.items().keys()
    for name, tensor in actual.items().items():
        torch.testing.assert_close(
            tensor.double(), expected.items()[name], rtol=tolerance, atol=tolerance, msg=name
        )


@pytest.mark.parametrize("activation", [None, "gelu"])
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("rival", UNCOMPILED, ids=lambda rival: rival.name)
def test_results_are_the_layers(rival: TorchRival, has_bias: bool, activation: str | None) -> None:
    work = workload(has_bias=has_bias, activation=activation)
    if rival.why_not(work):
        work = workload(Pass.FORWARD, has_bias=has_bias, activation=activation)
        expected = Results(exact(work).y)
    else:
        expected = exact(work)
    assert_equal(entered(rival, work).results(), expected, 1e-5)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations_are_those_of_the_layer(activation: str) -> None:
    for rival in (rival for rival in UNCOMPILED if rival.name in (OURS, "matmul")):
        work = workload(activation=activation)
        assert_equal(entered(rival, work).results(), exact(work), 1e-5)


@pytest.mark.parametrize("computed", [Pass.FORWARD, Pass.RECORDED, Pass.BACKWARD, Pass.BOTH])
@pytest.mark.parametrize("rival", UNCOMPILED, ids=lambda rival: rival.name)
def test_what_is_timed_is_what_was_asked_for(
    rival: TorchRival, computed: Pass, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = workload(computed)
    if reason := rival.why_not(work):
        assert "out= has no gradient" in reason and computed is not Pass.FORWARD
        return
    made: list[object] = []
    contestant = entered(rival, work)
    watch = contestant._stopwatches[Clock.WALL]
    monkeypatch.setattr(
        watch, "bind", lambda calls: lambda count: made.append([call() for call in calls]) or 1.0
    )
    contestant.turn(Clock.WALL, Layout.CONTIGUOUS, 1)
    (results,) = made
    (result,) = results  # type: ignore[misc]
    expected = exact(work)
    if computed.has_gradients:
        assert_equal(Results(expected.y, *rival.restore(result)), expected, 1e-5)
        return
    assert result.is_contiguous() and result.requires_grad == (computed is Pass.RECORDED)
    torch.testing.assert_close(result.double(), expected.y, rtol=1e-5, atol=1e-5)


def test_layouts_differ_where_a_rival_leaves_another() -> None:
    (baddbmm,) = (rival for rival in UNCOMPILED if rival.name == "baddbmm")
    (ours,) = (rival for rival in UNCOMPILED if rival.name == OURS)
    work = workload(Pass.FORWARD, activation=None)
    assert entered(ours, work).is_contiguous
    contestant = entered(baddbmm, work)
    assert not contestant.is_contiguous
    (as_left,) = contestant._calls(Layout.AS_LEFT, 1)
    (contiguous,) = contestant._calls(Layout.CONTIGUOUS, 1)
    assert not as_left().is_contiguous()  # type: ignore[attr-defined]
    assert contiguous().is_contiguous()  # type: ignore[attr-defined]
    assert torch.equal(as_left(), contiguous())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("rival", "dtype", "sizes", "reason"),
    [
        ("grouped_mm", torch.float64, (5, 3, 4, 8), "takes float32, bfloat16 and float16 only"),
        ("grouped_mm", torch.float32, (5, 3, 6, 8), "16 bytes; 6 features are not"),
        ("grouped_mm", torch.bfloat16, (5, 3, 8, 12), "16 bytes; 12 features are not"),
    ],
)
def test_refusals_say_why(
    rival: str, dtype: torch.dtype, sizes: Sequence[int], reason: str
) -> None:
    (found,) = (one for one in RIVALS if one.name == rival)
    work = workload(case=small(dtype, sizes))
    assert reason in (found.why_not(work) or "")
    assert found.why_not(workload()) is None


def test_rival_that_cannot_be_called_always_says_so() -> None:
    (unreachable,) = (rival for rival in RIVALS if rival.name.startswith("cuBLASLt"))
    for computed in Pass:
        assert "no bias with a batch" in (unreachable.why_not(workload(computed)) or "")


# The gate

Wrong = Callable[[Results], Results]


def changed(**changes: Callable[[Tensor], Tensor | None]) -> Wrong:
    def change(results: Results) -> Results:
        tensors = results.items()
        return Results(**{name: changes.get(name, lambda t: t)(t) for name, t in tensors.items()})

    return change


def nudged(index: int, by: float) -> Callable[[Tensor], Tensor]:
    def nudge(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed.view(-1)[index] += by * tensor.abs().max()
        return changed

    return nudge


def with_nan(tensor: Tensor) -> Tensor:
    changed = tensor.clone()
    changed.view(-1)[-1] = float("nan")
    return changed


WRONG: dict[str, tuple[Wrong, str]] = {
    "one element": (changed(y=nudged(7, 1e-4)), "y is off by"),
    "a gradient of x": (changed(dx=nudged(3, 1e-4)), "dx is off by"),
    "a gradient of weight": (changed(dweight=nudged(0, -1e-4)), "dweight is off by"),
    "a gradient of bias": (changed(dbias=lambda t: 1.001 * t), "dbias is off by"),
    "steps in another order": (changed(y=lambda t: t.roll(1, 1)), "y is off by"),
    "not a number": (changed(dweight=with_nan), "dweight is off by nan"),
    "another order of axes": (changed(y=lambda t: t.transpose(0, 1)), "y is of shape (3, 5, 8)"),
    "a gradient left out": (changed(dbias=lambda t: None), "results are y, dx, dweight; expected"),
    "rounded to tf32": (
        changed(dx=lambda t: (t.view(torch.int32) & ~0x1FFF).view(torch.float32)),
        "dx is off by",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_gate_stops(case: str) -> None:
    change, text = WRONG[case]
    work = workload()
    inputs = work.inputs()
    right = entered(RIVALS_HERE[0], work).results()
    gate = Gate(work, inputs)
    assert 0 < gate.check(right) < 1
    with pytest.raises(WrongError) as raised:
        gate.check(change(right))
    assert text in str(raised.value)


@pytest.mark.parametrize(
    ("dtype", "too_far"),
    [(torch.float64, 1e-12), (torch.float32, 1e-4), (torch.float16, 1e-2), (torch.bfloat16, 0.1)],
    ids=str,
)
def test_gate_knows_each_dtype(dtype: torch.dtype, too_far: float) -> None:
    work = workload(case=small(dtype, (64, 3, 300, 8)))
    gate = Gate(work, work.inputs())
    for rival in UNCOMPILED:
        if rival.why_not(work) is None:
            assert gate.check(entered(rival, work).results()) < 1, rival.name
    with pytest.raises(WrongError):
        gate.check(changed(dweight=nudged(5, too_far))(entered(RIVALS_HERE[0], work).results()))


def test_gate_differentiates_relu_by_the_rivals_own_signs() -> None:
    """A sum that rounding may put on either side of zero has two right gradients."""
    work = workload(activation="relu", has_bias=False)
    made = work.inputs()
    x, weight = made.x.clone(), made.weight.clone()
    x[0, 0], weight[0, :, 0] = 0, 1
    x[0, 0, 0], x[0, 0, 1] = 1, -1  # z[0, 0, 0] = 0 but for rounding
    inputs = Inputs(x, weight, None, made.dy)
    gate = Gate(work, inputs)
    for z in (1e-9, 0.0):
        y = truth.per_step_dense(x, weight, activation="relu")
        y[0, 0, 0] = z
        dz = made.dy * (y > 0)
        dx = torch.einsum("bto,tio->bti", dz, weight)
        gate.check(Results(y, dx, torch.einsum("bti,bto->tio", x, dz)))
    with pytest.raises(WrongError, match="dx is off"):
        gate.check(Results(y, 1.01 * dx, torch.einsum("bti,bto->tio", x, dz)))


def test_tf32_may_be_rounded_to_ten_bits_and_float32_may_not() -> None:
    rounded = changed(y=nudged(0, 1e-3))
    for allows_tf32 in (True, False):
        case = Case("small", 5, 3, 4, 8, torch.float32, "this test", allows_tf32)
        work = workload(Pass.FORWARD, case=case)
        results = rounded(entered(RIVALS_HERE[0], work).results())
        gate = Gate(work, work.inputs())
        if allows_tf32:
            gate.check(results)
        else:
            with pytest.raises(WrongError):
                gate.check(results)


# Inputs and cases


def test_inputs_are_the_same_for_a_seed_and_another_for_another() -> None:
    work = workload()
    first, again, other = work.inputs(), work.inputs(), work.inputs(1)
    assert torch.equal(first.x, again.x) and torch.equal(first.dy, again.dy)
    assert not torch.equal(first.x, other.x) and not torch.equal(first.weight, other.weight)
    assert workload(has_bias=False).inputs().bias is None


def test_sums_keep_the_size_of_their_terms() -> None:
    """However long they are, so that neither activations nor the gate's scale depend on I."""
    for in_features in (16, 4096):
        work = workload(case=small(sizes=(64, 2, in_features, 32)), has_bias=False, activation=None)
        inputs = work.inputs()
        assert truth.per_step_dense(inputs.x, inputs.weight).std().item() == pytest.approx(1, 0.1)


def test_cases_are_named_once_and_have_their_device() -> None:
    assert len(GPU_CASES) == 24 and len(CPU_CASES) == 6
    assert len(WINDOW_CASES) == 6 and all(case.has_windows for case in WINDOW_CASES)
    assert len({case.name for case in CASES}) == len(CASES) == 29 + 6 + 2 * 8
    assert cases_for("cuda") == GPU_CASES and cases_for("cpu") == CPU_CASES
    assert len(QUICK_CASES["cuda"]) == 8 and all(case.source for case in CASES)
    sizes = ["32,10,4,8", "256,24,32,32", "256,96,64,64"]
    sizes += ["64,512,128,128", "4096,16,64,64", "128,32,512,512"]
    assert [str(case.sizes) for case in CPU_CASES] == sizes


def test_rivals_are_named_once_and_this_package_comes_first() -> None:
    names = [rival.name for rival in RIVALS]
    assert len(set(names)) == len(names) and names[0] == OURS
    assert all(rival.summary for rival in RIVALS)
    assert [r.name for r in RIVALS if r.only_when_named] == [
        "torch.compile(einsum, max-autotune-no-cudagraphs)"
    ]
