"""Which ATen calls compute x @ weight + bias fastest on the CPU, into a contiguous (B, T, O).

    python -m bench.cpu_products [--rounds N]

csrc/aten.cpp takes the winner.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .timing import describe_machine, time_in_turns

SHAPES = (  # (B, T, I, O)
    (32, 10, 4, 8),
    (256, 24, 32, 32),
    (256, 96, 64, 64),
    (64, 512, 128, 128),
    (4096, 16, 64, 64),
    (128, 32, 512, 512),
)


def bmm_then_add_into_order(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The addition writes the result in its order: no pass of its own for either."""
    y = x.new_empty(x.size(0), x.size(1), weight.size(2))
    return torch.add(torch.bmm(x.transpose(0, 1), weight).transpose(0, 1), bias, out=y)


def baddbmm_then_contiguous(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The bias goes in first, then a copy brings the order."""
    return torch.baddbmm(bias.unsqueeze(1), x.transpose(0, 1), weight).transpose(0, 1).contiguous()


def bmm_into_strided_view(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The product is written in order, through a transposed view."""
    y = x.new_empty(x.size(0), x.size(1), weight.size(2))
    torch.bmm(x.transpose(0, 1), weight, out=y.transpose(0, 1))
    return y.add_(bias)


def einsum_plus_bias(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """What is written first; its result has the order of (T, B, O)."""
    return (torch.einsum("bti,tio->bto", x, weight) + bias).contiguous()


CANDIDATES = (
    bmm_then_add_into_order,
    baddbmm_then_contiguous,
    bmm_into_strided_view,
    einsum_plus_bias,
)


def main(argv: Sequence[str] | None = None) -> None:
    """Checks that all compute the same, measures, prints a table of ratios to the first."""
    parser = argparse.ArgumentParser(prog="python -m bench.cpu_products")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args(argv)
    print(describe_machine())
    print(f"{'B, T, I, O':<20}" + "".join(f"{call.__name__:>28}" for call in CANDIDATES))
    for shape in SHAPES:
        b, t, i, o = shape
        arguments = torch.randn(b, t, i), torch.randn(t, i, o), torch.randn(t, o)
        for call in CANDIDATES:
            torch.testing.assert_close(
                call(*arguments), einsum_plus_bias(*arguments), rtol=1e-4, atol=1e-4
            )
        timings = time_in_turns(
            {call.__name__: bound(call, arguments) for call in CANDIDATES},
            rounds=options.rounds,
            calls=max(1, 3_000_000 // (b * t * i * o)),
        )
        first = timings[CANDIDATES[0].__name__].median_us
        cells = [
            f"{timing.median_us:.0f} us {timing.median_us / first:.2f} x"
            for timing in timings.values()
        ]
        print(f"{shape!s:<20}" + "".join(f"{cell:>28}" for cell in cells), flush=True)


def bound(
    call: Callable[..., Tensor], arguments: tuple[Tensor, Tensor, Tensor]
) -> Callable[[], Tensor]:
    """The call with its arguments."""
    return lambda: call(*arguments)


if __name__ == "__main__":
    main()
