"""How many examples are tried: pytest's --hypothesis-profile takes one of these names.

The number is of a whole file of properties; each says which share of it is its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.database import DirectoryBasedExampleDatabase

FOLDER = Path(__file__).parents[2] / "build" / "hypothesis"

EXAMPLES = {"quick": 100, "ci": 300, "long": 10_000}


def register() -> None:
    """For conftest.py. The shorter ones try the same examples every time."""
    set_hypothesis_home_dir(FOLDER)
    for name, examples in EXAMPLES.items():
        is_random = name == "long"
        settings.register_profile(
            name,
            max_examples=examples,
            derandomize=not is_random,
            database=DirectoryBasedExampleDatabase(FOLDER / "examples") if is_random else None,
            deadline=None,
            print_blob=True,
            # Large problems are slow, and fixtures hold nothing that an example could change.
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
    settings.load_profile("quick")


def share(part: float) -> Callable[[Any], Any]:
    """So much of the profile's examples, for one property."""
    return settings(max_examples=max(1, round(part * settings.default.max_examples)))
