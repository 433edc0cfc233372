"""A different dense layer at every time step, in one CUDA launch."""

from . import reference
from ._version import __version__
from .config import show_config
from .functional import per_step_dense
from .module import PerStepDense

__all__ = ["PerStepDense", "__version__", "per_step_dense", "reference", "show_config"]
