"""What psd.convert gains or costs, as a Markdown table: layers before and after, on the CPU.

python -m bench.converted                           prints it
python -m bench.converted --update docs/design.md   puts it there
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn

import per_step_dense as psd

from .generated import begin_marker, replace_between
from .machine import describe_machine
from .timing import QUICK, Budget, WallStopwatch, median_us, take_turns

BEGIN: Final = begin_marker("python -m bench.converted")
SIZES: Final = (  # B, T, I, O
    (32, 10, 4, 8),
    (256, 24, 32, 32),
    (256, 7, 200, 200),
    (4096, 16, 64, 64),
    (128, 32, 256, 256),
)
LENGTHS: Final = (1, 4, 32)
Way = Callable[[Tensor], Tensor]
Pair = tuple[nn.Module, Way, Tensor]
"""A layer, what computes the same by this package with the layer's parameters, and an input."""


class Members(nn.Module):
    """What mbrl and those after it call an ensemble's layer."""

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(members, in_features, out_features))
        self.bias = nn.Parameter(torch.randn(members, 1, out_features))

    def forward(self, x: Tensor) -> Tensor:
        return x.matmul(self.weight) + self.bias


class Loop(nn.ModuleList):
    """A Linear a step, one after the other."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([each(x[:, t]) for t, each in enumerate(self)], 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Measures, and prints the table or puts it into a file."""
    parser = argparse.ArgumentParser(prog="python -m bench.converted")
    parser.add_argument("--update", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    table = "\n".join(_table(SIZES))
    if options.update:
        text = replace_between(options.update.read_text(), BEGIN, table)
        options.update.write_text(text)
    else:
        print(table)
    return 0


def pairs(
    batch: int, steps: int, in_features: int, out_features: int
) -> Iterator[tuple[str, Pair]]:
    """Of every kind of layer one."""
    import tabm

    x = torch.randn(batch, steps, in_features)
    ensemble = tabm.LinearEnsemble(in_features, out_features, k=steps)
    yield "tabm's LinearEnsemble", (ensemble, _converted(ensemble), x)
    loop = Loop(nn.Linear(in_features, out_features) for _ in range(steps))
    linears = nn.ModuleList(loop)
    psd.convert(linears, linears=[""], verbose=False)
    yield "a loop of Linears", (loop, linears, x)
    for length in LENGTHS:
        conv = nn.Conv1d(steps * in_features, steps * out_features, 1, groups=steps)
        positions = torch.randn(batch, steps * in_features, length)
        if positions.numel() <= 2**24:
            yield f"grouped Conv1d, L = {length}", (conv, _by_steps(conv, length), positions)
    members = Members(steps, in_features, out_features)
    yield "members, (E, B, I)", (members, _by_members(members), x.transpose(0, 1).contiguous())
    yield "members, (B, I)", (members, _by_members(members), x[:, 0].contiguous())


def ratios(pair: Pair, budget: Budget) -> tuple[float, float]:
    """The layer's time over that of what computes the same: forward, and with the backward."""
    layer, ours, x = pair
    turns = {}
    for name, way in (("before", layer), ("after", ours)):
        leaf = x.clone().requires_grad_()
        dy = torch.randn_like(way(leaf))
        turns[name, "forward"] = WallStopwatch().bind([_forward(way, x)])
        turns[name, "both"] = WallStopwatch().bind([_both(way, leaf, dy, layer)])
    named = {" ".join(name): turn for name, turn in turns.items()}
    us = {name: median_us(timing) for name, timing in take_turns(named, budget).items()}
    return us["before forward"] / us["after forward"], us["before both"] / us["after both"]


def _table(all_sizes: Sequence[tuple[int, int, int, int]], budget: Budget = QUICK) -> Iterator[str]:
    machine = describe_machine(torch.device("cpu"))
    yield (
        f"The layer's time over this package's, float32 ({machine.cpu}, {machine.threads} threads, "
        f"{machine.date[:10]}, torch {machine.torch}):"
    )
    yield ""
    yield "| layer | B, T, I, O | forward | forward+backward |"
    yield "| --- | --- | ---: | ---: |"
    rows = [(name, sizes, pair) for sizes in all_sizes for name, pair in pairs(*sizes)]
    names = list(dict.fromkeys(name for name, _, _ in rows))
    for name, sizes, pair in sorted(rows, key=lambda row: names.index(row[0])):
        forward, both = ratios(pair, budget)
        yield f"| {name} | {', '.join(map(str, sizes))} | {forward:.2f} | {both:.2f} |"


def _converted(layer: nn.Module) -> nn.Module:
    converted = copy.deepcopy(layer)
    psd.convert(converted, verbose=False)
    return converted


def _by_steps(conv: nn.Conv1d, length: int) -> Way:
    """As a converted one does over one position, and would over many."""
    if length == 1:
        return _converted(conv)

    def way(x: Tensor) -> Tensor:
        steps = conv.groups
        rows: Tensor = x.unflatten(1, (steps, -1)).permute(0, 3, 1, 2)  # (B, L, T, I)
        y = psd.per_step_dense(
            rows,
            conv.weight.view(steps, -1, conv.weight.size(1)).mT,
            None if conv.bias is None else conv.bias.view(steps, -1),
        )
        return y.permute(0, 2, 3, 1).flatten(1, 2)

    return way


def _by_members(members: Members) -> Way:
    """As a converted one does on CUDA."""

    def way(x: Tensor) -> Tensor:
        x = x.transpose(0, 1) if x.dim() == 3 else x.unsqueeze(1).expand(-1, len(members.bias), -1)
        return psd.per_step_dense(x, members.weight, members.bias.squeeze(1)).transpose(0, 1)

    return way


def _forward(way: Way, x: Tensor) -> Callable[[], object]:
    def call() -> Tensor:
        with torch.no_grad():
            return way(x)

    return call


def _both(way: Way, x: Tensor, dy: Tensor, layer: nn.Module) -> Callable[[], object]:
    """With the gradients of everything, which are left nowhere."""
    parameters = list((way if isinstance(way, nn.Module) else layer).parameters())

    def call() -> object:
        return torch.autograd.grad(way(x), [x, *parameters], dy)

    return call


if __name__ == "__main__":
    sys.exit(main())
