"""What a call has to give, said once more in Python: from its shapes alone."""

from __future__ import annotations

import math
from typing import NamedTuple

from .calls import Call
from .tensors import FLOATS, TensorSpec

Shape = tuple[int, ...]

MOST_READ = 1 << 16  # sizes that are all one value
LEGAL_KINDS = ("strided", "parameter", "neg", "zero")


class Given(NamedTuple):
    """What a legal call comes to."""

    results: list[Shape | None]
    work: int  # multiply-adds, or elements that are only added up
    steps: int = 1


class IllegalError(Exception):
    """The call has to be refused."""


def given_of(call: Call) -> Given | None:
    """Of a call of an op; None of one that has to be refused."""
    try:
        return _GIVEN[call.entry](call)
    except IllegalError:
        return None


def mapped_size(call: Call) -> int | None:
    """How many examples vmap maps over; None without vmap."""
    if call.context != "vmap" or not call.detail:
        return None
    shapes = [call.tensors[name].shape for name in call.detail if name in call.tensors]
    sizes = {shape[0] for shape in shapes if shape}
    return sizes.pop() if len(sizes) == 1 and all(shapes) else None


def _forward(call: Call) -> Given:
    leading, t, i, o = _of_forward(call)
    return Given([(*leading, t, o)], math.prod(leading) * t * i * o)


def _twice(given: Given) -> Given:
    return given._replace(results=given.results * 2)


def _of_forward(call: Call) -> tuple[Shape, int, int, int]:
    x, weight, bias = (_shape(call, name) for name in ("x", "weight", "bias"))
    _require(x is not None and len(x) >= 2 and weight is not None and len(weight) == 3)
    t, i, o = weight
    _require(x[-2:] == (t, i) and bias in (None, (t, o)))
    return x[:-2], t, i, o


def _backward(call: Call) -> Given:
    dz, x, weight = (_shape(call, name) for name in ("dz", "x", "weight"))
    _require(dz is not None and len(dz) >= 2)
    *leading, t, o = dz
    i = _features_of(dz, x, weight, t)
    wants_dbias = bool(call.arguments.get("wants_dbias"))
    results = [
        None if weight is None else (*leading, t, i),
        None if x is None else (t, i, o),
        (t, o) if wants_dbias else None,
    ]
    products = i * ((x is not None) + (weight is not None)) + wants_dbias
    return Given(results, math.prod(dz) * products)


def _features_of(dz: Shape, x: Shape | None, weight: Shape | None, t: int) -> int:
    _require(x is None or (len(x) == len(dz) and x[:-1] == dz[:-1]))
    _require(weight is None or (len(weight) == 3 and weight[0] == t and weight[2] == dz[-1]))
    _require(x is None or weight is None or x[-1] == weight[1])
    return x[-1] if x is not None else weight[1] if weight is not None else 0


def _backward_accumulate(call: Call) -> Given:
    given = _backward(call)
    dz, x, dweight, dbias = (_shape(call, name) for name in ("dz", "x", "dweight", "dbias"))
    *_, t, o = dz
    _require((x is None) == (dweight is None))
    _require(dweight is None or dweight == (t, x[-1], o))
    _require(dbias in (None, (t, o)))
    return Given(given.results[:1], given.work + math.prod(dz))


def _activation_backward(call: Call) -> Given:
    dy, saved = _shape(call, "dy"), _shape(call, "saved")
    _require(dy is not None and dy == saved)
    return Given([dy], math.prod(dy))


def _ragged_forward(call: Call) -> Given:
    x, weight, bias = (_shape(call, name) for name in ("x", "weight", "bias"))
    _require(x is not None and weight is not None and len(weight) == 3)
    t, i, o = weight
    _require(x[-1:] == (i,) and bias in (None, (t, o)))
    _require_sizes(call, x, t)
    return Given([(*x[:-1], o)], math.prod(x) * o, t)


def _ragged_backward(call: Call) -> Given:
    dz, x, weight = (_shape(call, name) for name in ("dz", "x", "weight"))
    steps = call.arguments["steps"]
    _require(dz is not None and isinstance(steps, int))
    _require_sizes(call, dz, steps)
    i, o = _features_of(dz, x, weight, steps), dz[-1]
    wants_dbias = bool(call.arguments["wants_dbias"])
    results = [
        None if weight is None else (*dz[:-1], i),
        None if x is None else (steps, i, o),
        (steps, o) if wants_dbias else None,
    ]
    return Given(results, math.prod(dz) * (2 * i + 1), steps)


def _require_sizes(call: Call, rows: Shape, t: int) -> None:
    _require(len(rows) in (2, 3) and (len(rows) == 2 or rows[1] == t))
    sizes = call.arguments["sizes"]
    _require(isinstance(sizes, TensorSpec) and sizes.dtype == "int64" and len(sizes.shape) == 1)
    _require(sizes.shape[0] <= t if len(rows) == 2 else sizes.shape[0] == rows[0])
    if not any(spec.device == "meta" for spec in call.tensors.values()):
        values = _values(sizes)
        _require(all(value >= 0 for value in values))
        _require(sum(values) == rows[0] if len(rows) == 2 else all(n <= t for n in values))


def _values(sizes: TensorSpec) -> list[int]:
    sign = {"neg": -1, "zero": 0}.get(sizes.kind_made, 1)
    values = [sign * value for value in sizes.values_read() or [1]]
    return values if len(values) == sizes.shape[0] else values * min(sizes.shape[0], MOST_READ)


def _shape(call: Call, name: str) -> Shape | None:
    """Of one example, where vmap maps over the argument; None of an argument that is absent."""
    spec = call.arguments[name]
    if spec is None:
        return None
    _require(isinstance(spec, TensorSpec) and spec.kind_made in LEGAL_KINDS)
    _require(spec.dtype in FLOATS or (spec.dtype.startswith("float8") and _is_cast(call)))
    is_mapped = call.context == "vmap" and call.detail and name in call.detail
    _require(not is_mapped or len(spec.shape) > 0)
    return spec.shape[1:] if is_mapped else spec.shape


def _is_cast(call: Call) -> bool:
    """Before the op sees it, as autocast does it for torch's own linear."""
    return call.context == "autocast" and call.entry in ("forward", "ragged_forward")


def _require(condition: bool) -> None:
    if not condition:
        raise IllegalError


_GIVEN = {
    "forward": _forward,
    "forward_with_preactivation": lambda call: _twice(_forward(call)),
    "backward": _backward,
    "backward_accumulate": _backward_accumulate,
    "activation_backward": _activation_backward,
    "ragged_forward": _ragged_forward,
    "ragged_forward_with_preactivation": lambda call: _twice(_ragged_forward(call)),
    "ragged_backward": _ragged_backward,
}
