"""Keras 2's ``LocallyConnected1D`` for Keras 3, on any of its backends.

Importing it registers the layer: models that were saved with it, and Keras 2's, load without
``custom_objects``.
"""

from __future__ import annotations

try:
    import keras as _keras  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "keras":
        raise
    raise ModuleNotFoundError(
        "per_step_dense.keras needs Keras 3: pip install 'keras>=3'", name="keras"
    ) from None

from ._layer import LocallyConnected1D

__all__ = ["LocallyConnected1D"]
