"""What is known to fail, until it is mended."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hypothesis import assume, event, reject

from fuzz.calls import SPECIALS, Call

GELU = "could not construct a memory descriptor using strides"


@contextlib.contextmanager
def but_for_torchs_gelu() -> Iterator[None]:
    """Torch's gradient of gelu in float32 refuses what strides of dy oneDNN cannot describe; the
    package hands dy on to it as it lies."""
    try:
        yield
    except RuntimeError as error:
        if str(error) != GELU:
            raise
        event("torch's gelu does not take the strides of dy")
        reject()


def but_for_padding_of_the_reference(call: Call, family: str) -> None:
    """The reference computes rows that a sample does not have, of zeros; where a weight or bias is
    not finite, the activation's derivative makes NaN of their gradient, which should be zero."""
    assume(family != "reference" or call.values != SPECIALS)
