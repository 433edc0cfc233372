"""What the gradient of windows costs: this package's, that of ``Tensor.unfold``, an index_add.

python -m bench.windows_gradient
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import Tensor

from per_step_dense import _windows

from .timing import QUICK, WallStopwatch, median_us, take_turns

SIZES: Final = (  # batch, L, I, k, s
    (32, 12, 4, 3, 1),
    (256, 26, 32, 3, 1),
    (256, 98, 64, 3, 1),
    (256, 193, 64, 3, 2),
    (64, 514, 128, 3, 1),
    (256, 336, 1, 25, 1),
)


def main() -> None:
    """Prints microseconds, of float32 on the CPU."""
    ways = {"own": _own, "unfold": _unfold, "as_strided": _as_strided}
    print(f"{'B, L, I, k, s':<20}" + "".join(f"{name:>12}" for name in ways))
    for *shape, kernel_size, stride in SIZES:
        x = torch.randn(shape, requires_grad=True)
        turns = {}
        for name, way in ways.items():
            windows = way(x, kernel_size, stride)
            gradient = partial(
                torch.autograd.grad, windows, x, torch.randn_like(windows), retain_graph=True
            )
            turns[name] = WallStopwatch().bind([gradient])
        medians = map(median_us, take_turns(turns, QUICK).values())
        sizes = ", ".join(map(str, (*shape, kernel_size, stride)))
        print(f"{sizes:<20}" + "".join(f"{median:>9.0f} us" for median in medians))


def _own(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    apply: Callable[..., Tensor] = _windows._WindowsWithTangents.apply
    return apply(x, kernel_size, stride)


def _unfold(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    return _windows._view(x, kernel_size, stride)


def _as_strided(x: Tensor, kernel_size: int, stride: int) -> Tensor:
    windows = _unfold(x.detach(), kernel_size, stride)
    return x.as_strided(windows.shape, windows.stride())


if __name__ == "__main__":
    main()
