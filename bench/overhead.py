"""CPU time a call at (B, T, I, O) = (8, 2, 4, 4): what a call costs before it computes anything.

    python -m bench.overhead [--device cpu|cuda] [--rounds N] [--json FILE]
    python -m bench.overhead --plan        what choosing a kernel costs, with and without the cache

The aim is at most 1.0 x baddbmm's time. baddbmm leaves its result in (T, B, O) order; this
package's is a contiguous (B, T, O). On CUDA the figure is the time until the call returns, not
until the GPU is done.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

import per_step_dense as psd
from per_step_dense import _ops

from .cases import CASES
from .timing import Timing, describe_machine, time_in_turns

BATCH, STEPS, IN_FEATURES, OUT_FEATURES = 8, 2, 4, 4
BASELINE = "baddbmm"

Call = Callable[[], Tensor]
Calls = Mapping[str, Callable[[], object]]  # by the names of the table's rows


def main(argv: Sequence[str] | None = None) -> None:
    """Checks that all compute the same, measures, prints a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.overhead")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    parser.add_argument("--plan", action="store_true", help="measure the chooser alone")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    if options.plan:
        print(f"{describe_machine()}\n{format_plans(options.rounds)}")
        return

    forward, parameters = make_rivals(torch.device(options.device))
    check_results(forward)
    results = {
        "forward, no gradient": measure(without_gradient(forward), options.rounds),
        "forward": measure(forward, options.rounds),
        "forward + backward": measure(with_backward(forward, parameters), options.rounds),
    }
    print(f"{describe_machine()}\n{format_table(results)}")
    if options.json:
        figures = {
            name: {rival: asdict(timing) for rival, timing in timings.items()}
            for name, timings in results.items()
        }
        options.json.write_text(
            json.dumps({"machine": describe_machine(), "us": figures}, indent=1)
        )


def format_plans(rounds: int) -> str:
    """A row for some of the benchmark's cases: nanoseconds to choose the forward's kernel."""
    if _ops.compiled is None:
        raise SystemExit("needs the compiled module")
    lines = [f"{'case':<20}  {'chosen anew':>12}  {'from the cache':>15}"]
    for case in CASES[:: len(CASES) // 6]:
        x, weight, _ = case.tensors("meta")
        choose = partial(_ops.compiled.plan_repeatedly, x, weight, "sm_90", repeats=1000)
        variants = {
            "anew": partial(choose, is_cached=False),
            "cached": partial(choose, is_cached=True),
        }
        timings = time_in_turns(variants, rounds=rounds, calls=1)
        anew, cached = (f"{timings[name].median_us:.0f} ns" for name in variants)
        lines.append(f"{case.name:<20}  {anew:>12}  {cached:>15}")
    return "\n".join(lines)


def make_rivals(device: torch.device) -> tuple[dict[str, Call], dict[str, Sequence[Tensor]]]:
    """The calls, and by the same names what each takes gradients of."""
    torch.manual_seed(0)
    x = torch.randn(BATCH, STEPS, IN_FEATURES, device=device, requires_grad=True)
    weight = torch.randn(STEPS, IN_FEATURES, OUT_FEATURES, device=device, requires_grad=True)
    bias = torch.randn(STEPS, OUT_FEATURES, device=device, requires_grad=True)
    linear = nn.Linear(IN_FEATURES, OUT_FEATURES, device=device)
    op = torch.ops.per_step_dense.forward
    calls: dict[str, Call] = {
        "psd.per_step_dense": lambda: psd.per_step_dense(x, weight, bias),
        "torch.ops...forward": lambda: op(x, weight, bias),
        BASELINE: lambda: torch.baddbmm(bias.unsqueeze(1), x.transpose(0, 1), weight),
        "einsum + bias": lambda: torch.einsum("bti,tio->bto", x, weight) + bias,
        "nn.Linear (shared)": lambda: linear(x),
    }
    own, shared = (x, weight, bias), (x, linear.weight, linear.bias)
    return calls, {name: shared if "Linear" in name else own for name in calls}


def check_results(calls: dict[str, Call]) -> None:
    """Raises unless every call that computes the operation gives the same values."""
    expected = calls["einsum + bias"]()
    for name, call in calls.items():
        if "Linear" in name:
            continue
        y = call().transpose(0, 1) if name == BASELINE else call()
        torch.testing.assert_close(y, expected)


def without_gradient(calls: dict[str, Call]) -> dict[str, Call]:
    """The same calls in no_grad mode."""
    return {name: torch.no_grad()(call) for name, call in calls.items()}


def with_backward(calls: dict[str, Call], parameters: dict[str, Sequence[Tensor]]) -> Calls:
    """The same calls, each followed by the gradients of input, weight and bias."""

    def bind(call: Call, wanted: Sequence[Tensor]) -> Callable[[], object]:
        gradient = torch.ones_like(call())
        return lambda: torch.autograd.grad(call(), wanted, gradient)

    return {name: bind(call, parameters[name]) for name, call in calls.items()}


def measure(calls: Calls, rounds: int) -> dict[str, Timing]:
    """Times the calls in turns."""
    return time_in_turns(calls, rounds=rounds, calls=50)


def format_table(results: dict[str, dict[str, Timing]]) -> str:
    """A row a rival: microseconds, the spread, and the ratio to the baseline."""
    width = max(len(name) for timings in results.values() for name in timings)
    lines = [" " * width + "".join(f"  {name:>30}" for name in results)]
    for rival in next(iter(results.values())):
        cells = []
        for timings in results.values():
            timing = timings[rival]
            ratio = timing.median_us / timings[BASELINE].median_us
            cell = f"{timing.median_us:.1f} us (+- {timing.spread_us / 2:.1f}) {ratio:.2f} x"
            cells.append(f"  {cell:>30}")
        lines.append(f"{rival:<{width}}{''.join(cells)}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
