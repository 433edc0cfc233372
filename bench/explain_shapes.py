"""What ``psd.explain`` says of the benchmark's shapes, as a Markdown table; times in microseconds.

python -m bench.explain_shapes                       prints it
python -m bench.explain_shapes --check  docs/design.md   fails where the file says otherwise
python -m bench.explain_shapes --update docs/design.md   puts it there
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import per_step_dense as psd

from .cases import GPU_CASES, Case
from .generated import run_generated
from .precision import float32_products

ARCHITECTURE = "sm_90"
COMMAND = "python -m bench.explain_shapes"
HEADER = (
    "| # | case | B,T,I,O | dtype | forward | floor, us | est. | x floor "
    "| backward | floor, us | est. | x floor |"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Prints, checks or updates the table; 1 where a checked file differs."""
    return run_generated(COMMAND, format_table, argv)


def format_table() -> str:
    """A row a case."""
    lines = [HEADER, "| --- " * HEADER.count(" | ") + "| --- |"]
    for number, case in enumerate(GPU_CASES, start=1):
        plan = explain_case(case)
        cells = [str(number), case.name, str(case.sizes), case.arithmetic, *describe(plan)]
        assert plan.backward is not None  # every size has one, for nothing is forced
        cells += describe(plan.backward)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def explain_case(case: Case, architecture: str = ARCHITECTURE) -> psd.Plan:
    """Its plan, from meta tensors."""
    with float32_products("tf32" if case.allows_tf32 else "ieee"):
        return psd.explain(*case.tensors("meta"), arch=architecture)


def describe(plan: psd.Plan) -> list[str]:
    """The kernel, its times, and how far they are apart."""
    assert plan.floor_us is not None and plan.estimate_us is not None  # CUDA plans have both
    launches = plan.parts or (plan,)
    ratio = plan.estimate_us / plan.floor_us
    times = map(format_us, (plan.floor_us, plan.estimate_us))
    return [
        ", then ".join(map(describe_kernel, launches)),
        *times,
        f"{ratio:.2f}" if ratio < 100 else f"{ratio:.0f}",
    ]


def describe_kernel(plan: psd.Plan) -> str:
    """Of one launch."""
    kernel = plan.kernel if plan.tile is None else f"{plan.kernel} {plan.tile}"
    if plan.stages is not None:
        kernel += f", {plan.stages} stages"
    if any(count > 1 for count in plan.splits):
        kernel += f", split {'/'.join(map(str, plan.splits))}"
    return kernel


def format_us(us: float) -> str:
    """Three digits, and no exponent."""
    return f"{us:.0f}" if us >= 100 else f"{us:#.2g}" if us < 10 else f"{us:.1f}"


if __name__ == "__main__":
    sys.exit(main())
