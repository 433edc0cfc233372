"""A different dense layer at every time step, in one CUDA launch."""

from . import export, reference
from ._version import __version__
from .config import show_config
from .functional import per_step_dense
from .kernels import use_kernel
from .module import PerStepDense
from .plan import Plan, explain

__all__ = [
    "PerStepDense",
    "Plan",
    "__version__",
    "explain",
    "export",
    "per_step_dense",
    "reference",
    "show_config",
    "use_kernel",
]
