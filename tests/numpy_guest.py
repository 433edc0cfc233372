"""A guest of numpy alone, and how guests go wrong: the test's ``NUMPY_GUEST`` says which way."""

from __future__ import annotations

import itertools
import os
import sys
import time
from collections.abc import Callable, Mapping

import numpy as np

from bench.guests.protocol import Work
from bench.guests.server import Arrays, Prepared, named

MODE = os.environ.get("NUMPY_GUEST", "")

if MODE == "is not importable":
    raise ImportError("libframework.so.7 is missing")


def prepare(work: Work, arrays: Arrays) -> Prepared:
    """The layer without an activation, or with relu."""
    print("what frameworks print goes elsewhere", flush=True)
    os.write(1, b"and so does what C++ prints\n")
    x, weight, dy = (arrays[name].astype("float64") for name in ("x", "weight", "dy"))
    has_gradients = work.computed in ("backward", "both")

    def call() -> list[np.ndarray]:
        z = np.einsum("bti,tio->bto", x, weight) + arrays.get("bias", 0)
        dz = dy * (z > 0) if work.activation == "relu" else dy
        y = np.maximum(z, 0) if work.activation == "relu" else z
        if not has_gradients:
            return [y]
        gradients = [np.einsum("bto,tio->bti", dz, weight), np.einsum("bti,bto->tio", x, dz)]
        return [y, *gradients, *([dz.sum(0)] if "bias" in arrays else [])]

    def results() -> Arrays:
        computed = [result.astype(work.dtype) for result in call()]
        if MODE == "tells its threads":
            computed[0].fill(work.threads)
        BREAK_RESULTS.get(MODE, lambda results: None)(computed)
        return named(computed)

    return Prepared(BREAK_CALL.get(MODE, call), results)


def end() -> None:
    print("out of luck", file=sys.stderr, flush=True)
    os._exit(9)


_calls = itertools.count(1)


def end_midway() -> None:
    if next(_calls) > 3:
        end()


def hang_at_a_turn() -> None:
    if next(_calls) > 1:
        hang()


def exhaust() -> None:
    raise MemoryError("no room for 8 TiB")


def exhaust_as_xla() -> None:
    raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8796093022208 bytes.")


class ResourceExhaustedError(Exception):
    """Of TensorFlow by this name."""


def exhaust_as_tensorflow() -> None:
    raise ResourceExhaustedError("OOM when allocating tensor")


def fail() -> None:
    raise TypeError("no such activation: 'gelü'")


def hang() -> None:
    print("about to wait", file=sys.stderr, flush=True)
    time.sleep(600)


BREAK_CALL: Mapping[str, Callable[[], object]] = {
    "ends at once": end,
    "ends midway": end_midway,
    "exhausts memory": exhaust,
    "exhausts memory as XLA": exhaust_as_xla,
    "exhausts memory as TensorFlow": exhaust_as_tensorflow,
    "fails": fail,
    "hangs": hang,
    "hangs at a turn": hang_at_a_turn,
    "sleeps": lambda: time.sleep(0.002),
}


def spoil(results: list[np.ndarray]) -> None:
    results[-1].flat[0] += 0.01


BREAK_RESULTS: Mapping[str, Callable[[list[np.ndarray]], object]] = {
    "is wrong": spoil,
    "has one result less": lambda results: results.pop(),
    "transposes": lambda results: results.__setitem__(0, results[0].swapaxes(0, 1)),
}
