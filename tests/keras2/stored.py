"""The stored arrays: one array of all values in a row, and a table of what they are."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
LAYERS = FOLDER / "layers.npz"
TRAINING = FOLDER / "training.npz"
MODELS = FOLDER / "models.npz"
"""What the models in the other files compute."""
QUESTION = FOLDER / "question.h5"
"""A whole model: the network of the question that this project begins with."""

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Stored:
    """One layer, or one training run."""

    config: dict[str, Any]
    arrays: Arrays

    @property
    def weights(self) -> list[NDArray[Any]]:
        """As ``get_weights()`` gives them."""
        return [self.arrays[name] for name in ("kernel", "bias") if name in self.arrays]


def weights_file(implementation: int) -> Path:
    """What ``save_weights`` wrote of a model of two such layers."""
    return FOLDER / f"weights_{implementation}.h5"


def write(path: Path, all_stored: Sequence[Stored]) -> None:
    """In float32, compressed."""
    table = [
        {"config": each.config, "shapes": {name: a.shape for name, a in each.arrays.items()}}
        for each in all_stored
    ]
    values = [array.ravel() for each in all_stored for array in each.arrays.values()]
    np.savez_compressed(
        path, table=np.array(json.dumps(table)), values=np.concatenate(values, dtype=np.float32)
    )


def read(path: Path) -> Iterator[Stored]:
    """What was written so."""
    with np.load(path) as file:
        table, values = json.loads(file["table"].item()), file["values"]
    begin = 0
    for entry in table:
        arrays = {}
        for name, shape in entry["shapes"].items():
            arrays[name] = values[begin : begin + prod(shape)].reshape(shape)
            begin += prod(shape)
        yield Stored(entry["config"], arrays)
    assert begin == len(values)
