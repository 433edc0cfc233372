"""Calls that have failed once: every run of their property tries them again.

A property that fails prints its arguments. They come here, under its name and as they are printed,
with a line that says what was wrong.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from hypothesis import example

import per_step_dense as psd
from fuzz.calls import Call
from fuzz.memory import Memory


class Regression(NamedTuple):
    """What was wrong, and the property's arguments."""

    found: str
    arguments: dict[str, Any]


REGRESSIONS: dict[str, list[Regression]] = {
    "test_gradients": [
        Regression(
            "torch's gelu refuses what strides of dy oneDNN cannot describe",
            {
                "call": Call(
                    batch=(),
                    steps=15,
                    in_features=0,
                    out_features=15,
                    dtype="float32",
                    activation="gelu",
                    values="normal",
                    seed=0,
                    x=Memory(strides=(1, 1)),
                    weight=Memory(strides=(15, 15, 1)),
                    bias=None,
                    dz=Memory(strides=(2, 29)),
                ),
                "family": "auto",
                "layer": psd.per_step_dense,
            },
        ),
    ],
}


def with_regressions(prove: Any) -> Any:
    """A property that tries its own first."""
    for regression in REGRESSIONS.get(prove.__name__, ()):
        prove = example(**regression.arguments)(prove)
    return prove
