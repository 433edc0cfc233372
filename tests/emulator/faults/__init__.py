"""The faults that test_emulator_selftest.py plants, each an edit or two of a source.

A fault names what to run: a scenario of scenarios/, or an example kernel. Texts are quoted from
the sources; where a source changes, its quotation here changes with it, or planting fails.
"""

from __future__ import annotations

from .accumulation import ACCUMULATION_FAULTS
from .common import ONE_BLOCK, Fault
from .examples import EXAMPLE_FAULTS
from .row_ranges import ROW_RANGE_FAULTS
from .shared import SHARED_FAULTS
from .simt import SIMT_FAULTS
from .sm80 import SM80_FAULTS
from .sm90 import SM90_FAULTS
from .sm90_backward import SM90_BACKWARD_FAULTS
from .sm90_row_ranges import SM90_ROW_RANGE_FAULTS
from .sm90_tf32 import SM90_TF32_FAULTS
from .sm90_tf32_backward import SM90_TF32_BACKWARD_FAULTS
from .tiled import TILED_FAULTS
from .tiny import TINY_FAULTS

PACKAGE_FAULTS = {
    **SIMT_FAULTS,
    **TILED_FAULTS,
    **TINY_FAULTS,
    **SM80_FAULTS,
    **SM90_FAULTS,
    **SM90_BACKWARD_FAULTS,
    **SM90_TF32_FAULTS,
    **SM90_TF32_BACKWARD_FAULTS,
    **ROW_RANGE_FAULTS,
    **SM90_ROW_RANGE_FAULTS,
    **SHARED_FAULTS,
    **ACCUMULATION_FAULTS,
}

__all__ = ["EXAMPLE_FAULTS", "ONE_BLOCK", "PACKAGE_FAULTS", "Fault"]
