"""What a host and its guest say to each other: a line of JSON asks, a line of JSON answers.

::

    {"ask": "prepare", "work": {...}}    {"answer": null}
    {"ask": "results"}                   {"answer": {"y": {"dtype": "float32", "shape": [2, 3]}}}
    {"ask": "turn", "calls": 20}         {"answer": 51.7}    microseconds a call
    (whatever went wrong)                {"error": {"text": "...", "is_out_of_memory": false}}

Arrays are files in a folder that both know, one each, under their names: the raw elements in C
order. A guest ends when there is nothing more to read.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Computed = Literal["forward", "recorded", "backward", "both"]
"""The names of ``bench.record.Pass``, which a guest may be unable to import."""


@dataclass(frozen=True)
class Work:
    """What a guest computes."""

    folder: str
    """Of the arrays, given and returned."""
    shapes: dict[str, list[int]]
    """Of x (B, T, I), weight (T, I, O), dy (B, T, O) and, where there is one, bias (T, O).

    With windows, of which weight has k * I rows and x the steps that they reach."""
    dtype: str
    """Of all of them, as numpy calls it."""
    computed: Computed
    activation: str | None
    threads: int
    kernel_size: int = 1
    stride: int = 1

    def file(self, name: str) -> Path:
        """Where an array is."""
        return Path(self.folder, name)

    def as_json(self) -> dict[str, Any]:
        """What ``Work(**...)`` makes the same of."""
        return asdict(self)


def last_words(text: str, lines: int = 5) -> str:
    """The end of what a process wrote, or a dash."""
    return "\n".join(text.strip().splitlines()[-lines:]) or "-"
