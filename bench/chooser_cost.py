"""What choosing a kernel costs on the CPU, with and without the cache.

python -m bench.chooser_cost
"""

from __future__ import annotations

from functools import partial

from per_step_dense import _ops

from .cases import GPU_CASES
from .timing import QUICK, WallStopwatch, median_us, take_turns


def main() -> None:
    """Prints nanoseconds for some of the benchmark's cases."""
    if _ops.compiled is None:
        raise SystemExit("needs the compiled module")
    print(f"{'case':<20}  {'chosen anew':>12}  {'from the cache':>15}")
    for case in GPU_CASES[:: len(GPU_CASES) // 6]:
        x, weight, _ = case.tensors("meta")
        # A thousand to a call: its microseconds are nanoseconds of one.
        choose = partial(_ops.compiled.plan_repeatedly, x, weight, "sm_90", repeats=1000)
        turns = {
            name: WallStopwatch().bind([partial(choose, is_cached=name == "cached")])
            for name in ("anew", "cached")
        }
        anew, cached = map(median_us, take_turns(turns, QUICK).values())
        print(f"{case.name:<20}  {anew:>9.0f} ns  {cached:>12.0f} ns")


if __name__ == "__main__":
    main()
