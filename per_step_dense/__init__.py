"""A different dense layer at every time step, in one CUDA launch."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

from . import export, reference
from ._conversion.convert import Converted, convert
from ._version import __version__
from .config import show_config
from .functional import per_step_dense
from .kernels import batch_invariant, use_kernel
from .locally_connected import LocallyConnected1d
from .module import PerStepDense
from .plan import Plan, explain

if TYPE_CHECKING:
    from . import distributed as distributed
    from . import keras as keras

__all__ = [
    "Converted",
    "LocallyConnected1d",
    "PerStepDense",
    "Plan",
    "__version__",
    "batch_invariant",
    "convert",
    "explain",
    "export",
    "per_step_dense",
    "reference",
    "show_config",
    "use_kernel",
]


def __getattr__(name: str) -> ModuleType:
    # When first asked for: they import all of torch.distributed.tensor, and Keras.
    if name in ("distributed", "keras"):
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
