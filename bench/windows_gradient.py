"""What the gradient of windows takes, as a Markdown table: ours beside torch's own, on the CPU.

python -m bench.windows_gradient                         prints it
python -m bench.windows_gradient --update docs/design.md   puts it there
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from per_step_dense import _windows

from .generated import begin_marker, replace_between
from .machine import describe_machine
from .timing import QUICK, WallStopwatch, median_us, take_turns

BEGIN: Final = begin_marker("python -m bench.windows_gradient")
SIZES: Final = (  # B, L, I, k, s
    (32, 12, 4, 3, 1),
    (256, 26, 32, 3, 1),
    (256, 98, 64, 3, 1),
    (256, 193, 64, 3, 2),
    (64, 514, 128, 3, 1),
    (256, 336, 1, 25, 1),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the table or puts it into a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.windows_gradient")
    parser.add_argument("--update", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    table = "\n".join(_table(SIZES))
    if options.update:
        text = replace_between(options.update.read_text(), BEGIN, table)
        options.update.write_text(text)
    else:
        print(table)
    return 0


def _table(all_sizes: Sequence[tuple[int, ...]]) -> Iterator[str]:
    machine = describe_machine(torch.device("cpu"))
    yield (
        f"Microseconds, float32 ({machine.cpu}, {machine.threads} threads, {machine.date[:10]}, "
        f"torch {machine.torch}):"
    )
    yield ""
    yield f"| B, L, I, k, s | {' | '.join(_WAYS)} |"
    yield f"| --- {'| ---: ' * len(_WAYS)}|"
    for sizes in all_sizes:
        times = (f"{us:.0f}" for us in _times(*sizes))
        yield f"| {', '.join(map(str, sizes))} | {' | '.join(times)} |"


def _times(batch: int, steps: int, features: int, kernel_size: int, stride: int) -> list[float]:
    """Of a gradient, each way's, in turns."""
    x = torch.randn(batch, steps, features, requires_grad=True)
    turns = {}
    for name, way in _WAYS.items():
        windows = way(x, kernel_size, stride)
        dwindows = torch.randn_like(windows)
        call = partial(torch.autograd.grad, windows, x, dwindows, retain_graph=True)
        turns[name] = WallStopwatch().bind([call])
    return list(map(median_us, take_turns(turns, QUICK).values()))


def _fold(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    apply: Callable[..., Tensor] = _windows._WindowsWithTangents.apply
    return apply(x, kernel_size, stride)


def _as_strided(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    windows = _windows._view(x.detach(), kernel_size, stride)
    return x.as_strided(windows.shape, windows.stride())


_WAYS: Final[Mapping[str, Callable[[Tensor, int, int], Tensor]]] = {
    "the fold": _fold,
    "of `Tensor.unfold`": _windows._view,
    "of `Tensor.as_strided`": _as_strided,
}


if __name__ == "__main__":
    sys.exit(main())
