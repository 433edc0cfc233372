"""Prints what the package needs, with the extras named: python tools/requirements.py demo docs.

pip installs that with hashes, which it cannot do together with a folder to be installed in place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef, import-not-found, unused-ignore]

PYPROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"


def project() -> dict[str, Any]:
    """All that pyproject.toml says."""
    return tomllib.loads(PYPROJECT.read_text())


def requirements(extras: Iterable[str]) -> list[str]:
    """The package's own, then those of its extras."""
    told = project()["project"]
    return [
        *told["dependencies"],
        *(each for extra in extras for each in told["optional-dependencies"][extra]),
    ]


if __name__ == "__main__":
    print(*requirements(sys.argv[1:]), sep="\n")
