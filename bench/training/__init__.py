"""Training steps of real models, with this package's layer in them and with others."""

from __future__ import annotations

from .layers import LAYERS
from .measure import measure_model
from .models import MODELS

__all__ = ["LAYERS", "MODELS", "measure_model"]
