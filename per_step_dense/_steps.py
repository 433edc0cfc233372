"""How many steps there are, and which of them is meant."""

from __future__ import annotations

import operator
from typing import SupportsIndex

from ._checks import checked_size


def checked_steps(steps: int | tuple[int, ...]) -> int | tuple[int, ...]:
    """Raises TypeError or ValueError unless it is a number of steps, or the extents of a grid."""
    if not isinstance(steps, tuple):
        return checked_size("steps", steps, "an int of at least 1, or a tuple of them")
    if not steps:
        raise ValueError(
            "per_step_dense: steps must be an int of at least 1, or a tuple of them; got ()"
        )
    return tuple(checked_size(f"steps[{i}]", size) for i, size in enumerate(steps))


def checked_steps_of(
    t: int | slice | tuple[int, ...], steps_shape: tuple[int, ...]
) -> tuple[int | slice | tuple[int, ...], int | None]:
    """An index into the parameters, and how many steps a slice has; None where it is one step."""
    if len(steps_shape) > 1:
        if not isinstance(t, tuple):
            raise TypeError(
                f"per_step_dense: t must be a tuple of {len(steps_shape)} ints, for steps is one; "
                f"got {type(t).__name__}"
            )
        if len(t) != len(steps_shape):
            raise ValueError(
                f"per_step_dense: t must have {len(steps_shape)} ints, as steps has; got {t}"
            )
        cell = zip(t, steps_shape, strict=True)
        return tuple(_checked_step(f"t[{i}]", *pair, "an int") for i, pair in enumerate(cell)), None
    (steps,) = steps_shape
    if not isinstance(t, slice):
        return _checked_step("t", t, steps, "an int or a slice"), None
    if t.step is not None and operator.index(t.step) < 1:
        raise ValueError(f"per_step_dense: t must be a slice whose step is positive; got {t}")
    return t, len(range(*t.indices(steps)))


def _checked_step(name: str, value: object, steps: int, expected: str) -> int:
    if isinstance(value, bool) or not isinstance(value, SupportsIndex):
        raise TypeError(f"per_step_dense: {name} must be {expected}; got {type(value).__name__}")
    step = value if isinstance(value, int) else operator.index(value)  # a traced int stays dynamic
    if not -steps <= step < steps:
        raise ValueError(
            f"per_step_dense: {name} must be a step from {-steps} to {steps - 1}; got {step}"
        )
    return step
