"""The emulated CUDA driver: what host code finds, and which tensor maps the encoder refuses."""

from __future__ import annotations

from typing import Any

import emulator
import pytest
from emulator.library import NO_ENCODER
from emulator.structs import EncodeRequest

SUCCESS, INVALID_VALUE, NOT_SUPPORTED = 0, 1, 801
FLOAT16, FLOAT32, FLOAT64, BFLOAT16, TFLOAT32 = 6, 7, 8, 9, 11


def encode(**changes: Any) -> int:
    """Of 5 x 7 rows of 100 elements, 208 bytes apart, in boxes of 16 rows of 64 elements."""
    fields: dict[str, Any] = {
        "version": 12000,
        "type": BFLOAT16,
        "rank": 3,
        "swizzle": 3,
        "base": 1 << 20,
        "extents": (100, 7, 5),
        "strides": (208, 7 * 208),
        "box": (64, 16, 1),
        "element_strides": (1, 1, 1),
    }
    return emulator.default_library().encode(EncodeRequest(**(fields | changes)))


LEGAL = {
    "as it is": {},
    "float16": {"type": FLOAT16},
    "float32": {"type": FLOAT32, "box": (32, 16, 1)},
    "float32 to be rounded": {"type": TFLOAT32, "box": (32, 16, 1)},
    "4 columns of float32": {"type": FLOAT32, "box": (4, 16, 1)},
    "a box larger than the tensor": {"extents": (1, 1, 1)},
    "the largest box": {"box": (64, 256, 256)},
    "the largest extents": {"extents": (1 << 32, 1 << 32, 1 << 32)},
    "no swizzle": {"swizzle": 0, "box": (256, 1, 1)},
    "the 64-byte swizzle": {"swizzle": 2, "box": (32, 1, 1)},
    "the 32-byte swizzle": {"swizzle": 1, "box": (16, 1, 1)},
    "every L2 promotion": {"promotion": 3},
    "rows that overlap": {"strides": (16, 208)},
    "an outer dimension between the rows": {"strides": (5 * 208, 208)},
    "a base between the rows": {"base": (1 << 20) + 16},
    "a newer version": {"version": 13000},
}

REFUSED = {
    "float64": {"type": FLOAT64},
    "a row of the box that is not whole chunks of float32": {
        "type": FLOAT32,
        "box": (30, 16, 1),
    },
    "a row of float32 beyond the 128-byte swizzle": {"type": TFLOAT32, "box": (36, 16, 1)},
    "rank 2": {"rank": 2},
    "an interleaved layout": {"interleave": 1},
    "a swizzle that there is not": {"swizzle": 4},
    "a promotion that there is not": {"promotion": 4},
    "NaN outside the tensor": {"fill": 1},
    "a misaligned map": {"map_offset": 32},
    "a misaligned base": {"base": (1 << 20) + 8},
    "an extent of 0": {"extents": (100, 0, 5)},
    "an extent beyond 2^32": {"extents": (100, 7, (1 << 32) + 1)},
    "rows that are repeated": {"strides": (0, 208)},
    "a misaligned stride": {"strides": (200, 7 * 208)},
    "a misaligned outer stride": {"strides": (208, 7 * 200)},
    "a stride of 2^40": {"strides": (208, 1 << 40)},
    "a box of 0": {"box": (64, 0, 1)},
    "a box beyond 256": {"box": (64, 257, 1)},
    "a row of the box that is not whole chunks": {"box": (60, 16, 1)},
    "a row of the box beyond the 128-byte swizzle": {"box": (72, 16, 1)},
    "a row of the box beyond the 64-byte swizzle": {"swizzle": 2, "box": (40, 16, 1)},
    "every other element": {"element_strides": (2, 1, 1)},
    "every other row": {"element_strides": (1, 2, 1)},
}


@pytest.mark.parametrize("what", LEGAL)
def test_encoder_takes(what: str) -> None:
    assert encode(**LEGAL[what]) == SUCCESS


@pytest.mark.parametrize("what", REFUSED)
def test_encoder_refuses(what: str) -> None:
    assert encode(**REFUSED[what]) == INVALID_VALUE


def test_version_without_tensor_maps_has_no_encoder() -> None:
    assert encode(version=11080) == NO_ENCODER


def test_driver_without_an_encoder() -> None:
    with emulator.default_library().driver(NO_ENCODER):
        assert encode() == NO_ENCODER
    assert encode() == SUCCESS


def test_encoder_that_fails() -> None:
    with emulator.default_library().driver(NOT_SUPPORTED):
        assert encode() == NOT_SUPPORTED
    assert encode() == SUCCESS
