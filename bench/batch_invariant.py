"""What ``psd.batch_invariant()`` costs on the benchmark's shapes, by the chooser's estimates for an
H200, as a Markdown table; times in microseconds.

python -m bench.batch_invariant                            prints it
python -m bench.batch_invariant --check  docs/guarantees.md   fails where the file says otherwise
python -m bench.batch_invariant --update docs/guarantees.md   puts it there
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import per_step_dense as psd

from .cases import GPU_CASES, Case
from .explain_shapes import explain_case, format_us
from .generated import run_generated

COMMAND = "python -m bench.batch_invariant"
HEADER = "| case | B,T,I,O | dtype | forward | est. | cost | backward | est. | cost |"


def main(argv: Sequence[str] | None = None) -> int:
    """Prints, checks or updates the table; 1 where a checked file differs."""
    return run_generated(COMMAND, format_table, argv)


def format_table() -> str:
    """A row a case; the cost is the estimate over the one of the chooser's own choice."""
    lines = [HEADER, "| --- | --- | --- | --- | ---: | ---: | --- | ---: | ---: |"]
    for case in GPU_CASES:
        invariant, free = (
            plans_of(case, context) for context in (psd.batch_invariant(), nullcontext())
        )
        cells = [case.name, str(case.sizes), case.arithmetic]
        for plan, other in zip(invariant, free, strict=True):
            assert plan.estimate_us is not None and other.estimate_us is not None
            cost = plan.estimate_us / other.estimate_us
            cells += [f"{plan.kernel} {plan.tile}", format_us(plan.estimate_us), f"{cost:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plans_of(case: Case, context: AbstractContextManager[None]) -> tuple[psd.Plan, psd.Plan]:
    """The forward's and the backward's."""
    with context:
        plan = explain_case(case)
    assert plan.backward is not None
    return plan, plan.backward


if __name__ == "__main__":
    sys.exit(main())
