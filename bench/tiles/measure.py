"""Checks and times all candidates for a layer: tiles, the chooser's choice, torch's products."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

import per_step_dense as psd

from ..forced import forced_tile
from ..precision import float32_products
from ..record import Pass, Timing
from ..timing import Budget, Call, Stopwatch, Turn, first_line, take_turns
from ..workload import Inputs, Workload
from .record import AUTO, PRODUCTS, Measured, TilesRow

FAMILIES: Final = ("tiny", "simt", "sm80", "sm90")
ACTIVATION: Final = "gelu"  # of forwards

BUDGET: Final = Budget(seconds=0.03, turn_seconds=0.004, least_turns=3, most_turns=7, most_calls=32)
_MOST_TILES: Final = 16

Results = tuple[Tensor | None, ...]


@dataclass(frozen=True)
class Candidate:
    """What may compute a layer."""

    name: str
    family: str
    tile: int
    estimate_us: float | None = None


def measure(workload: Workload, stopwatch: Stopwatch) -> TilesRow:
    """Checks and times all candidates in turns."""
    with float32_products("tf32" if workload.case.allows_tf32 else "ieee"), torch.no_grad():
        sets = _sets(workload)
        truth = _truth(workload, sets[0])
        outcomes: dict[str, Measured] = {}
        turns: dict[str, Turn] = {}
        by_name = {candidate.name: candidate for candidate in _candidates(workload, sets[0])}
        errors: dict[str, float] = {}
        for name, candidate in by_name.items():
            try:
                calls = [_call(workload, inputs, candidate) for inputs in sets]
                if candidate.family != PRODUCTS:
                    errors[name] = _error(calls[0](), truth)
                turns[name] = stopwatch.bind(calls)
            except (RuntimeError, ValueError) as error:
                outcomes[name] = _measured(candidate, None, None, first_line(error))
        for name, outcome in take_turns(turns, BUDGET).items():
            timing = outcome if isinstance(outcome, Timing) else None
            failure = None if timing else first_line(outcome)  # type: ignore[arg-type]
            outcomes[name] = _measured(
                by_name[name], timing.median_us if timing else None, errors.get(name), failure
            )
        plan = _plan(workload, sets[0])
    case = workload.case
    return TilesRow(
        case=case.name,
        sizes=str(case.sizes),
        arithmetic=case.arithmetic,
        computed=workload.computed.value,  # type: ignore[arg-type]
        chosen=_name_of(plan),
        floor_us=plan.floor_us,
        candidates=tuple(outcomes[name] for name in by_name),
    )


def _measured(
    candidate: Candidate, us: float | None, error: float | None, failure: str | None
) -> Measured:
    return Measured(
        name=candidate.name,
        family=candidate.family,
        tile=candidate.tile,
        estimate_us=candidate.estimate_us,
        us=us,
        error=error,
        failure=failure,
    )


def _sets(workload: Workload) -> list[Inputs]:
    first = workload.inputs()
    set_bytes = sum(tensor.nbytes for tensor in (first.x, first.weight, first.dy))
    count = max(2, min(8, 2**28 // max(1, set_bytes)))
    return [first, *(workload.inputs(seed) for seed in range(1, count))]


def _candidates(workload: Workload, inputs: Inputs) -> Iterator[Candidate]:
    yield Candidate(AUTO, AUTO, -1)
    yield Candidate(PRODUCTS, PRODUCTS, -1)
    for family in FAMILIES:
        for tile in range(_MOST_TILES):
            try:
                with forced_tile(family, tile):
                    plan = _plan(workload, inputs)
            except ValueError:
                break
            yield Candidate(_name_of(plan), family, tile, plan.estimate_us)


def _plan(workload: Workload, inputs: Inputs) -> psd.Plan:
    is_forward = workload.computed is Pass.FORWARD
    plan = psd.explain(
        inputs.x,
        inputs.weight,
        inputs.bias,
        activation=ACTIVATION if is_forward else None,
    )
    if is_forward:
        return plan
    if plan.backward is None:
        raise ValueError("this family has no backward for the layer")
    return plan.backward


def _name_of(plan: psd.Plan) -> str:
    launches = plan.parts or (plan,)
    names = []
    for launch in launches:
        name = launch.kernel if launch.tile is None else f"{launch.kernel} {launch.tile}"
        if any(count > 1 for count in launch.splits):
            name += f" split {'/'.join(map(str, launch.splits))}"
        names.append(name)
    return ", then ".join(names)


def _call(workload: Workload, inputs: Inputs, candidate: Candidate) -> Call:
    if candidate.family == PRODUCTS:
        return _products(workload, inputs)
    ops = torch.ops.per_step_dense
    forward, backward = ops.forward.default, ops.backward.default
    call: Call
    if workload.computed is Pass.FORWARD:
        arguments = (inputs.x, inputs.weight, inputs.bias, ACTIVATION)
        call = lambda: forward(*arguments)  # noqa: E731
    else:
        call = lambda: backward(inputs.dy, inputs.x, inputs.weight, True)  # noqa: E731
    if candidate.family == AUTO:
        return call

    def forced_call() -> object:
        with forced_tile(candidate.family, candidate.tile):
            return call()

    return forced_call


def _products(workload: Workload, inputs: Inputs) -> Call:
    """Without bias, activation and the bias's gradient: no composition of torch's can be faster."""
    x, weight, dy = inputs.x.transpose(0, 1), inputs.weight, inputs.dy.transpose(0, 1)
    if workload.computed is Pass.FORWARD:
        y = torch.empty_like(inputs.dy)
        return lambda: torch.bmm(x, weight, out=y.transpose(0, 1))
    dx, dweight = torch.empty_like(inputs.x), torch.empty_like(weight)

    def backward() -> Results:
        torch.bmm(dy, weight.transpose(1, 2), out=dx.transpose(0, 1))
        torch.bmm(x.transpose(1, 2), dy, out=dweight)
        return dx, dweight

    return backward


def _truth(workload: Workload, inputs: Inputs) -> Results:
    x, weight, dy = (t.double().transpose(0, 1) for t in (inputs.x, inputs.weight, inputs.dy))
    weight = inputs.weight.double()
    if workload.computed is Pass.FORWARD:
        z = torch.bmm(x, weight).transpose(0, 1)
        assert inputs.bias is not None
        return (torch.nn.functional.gelu(z + inputs.bias.double()),)
    return (
        torch.bmm(dy, weight.transpose(1, 2)).transpose(0, 1),
        torch.bmm(x.transpose(1, 2), dy),
        dy.sum(1),
    )


def _error(results: object, truth: Results) -> float:
    found = results if isinstance(results, tuple) else (results,)
    errors = [
        float(torch.linalg.vector_norm(mine.double() - exact) / torch.linalg.vector_norm(exact))
        for mine, exact in zip(found, truth, strict=False)
        if mine is not None and exact is not None
    ]
    return max(errors)
