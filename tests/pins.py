"""The packages that requirements/ pins."""

from __future__ import annotations

import re
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

FOLDER = Path(__file__).parents[1] / "requirements"

# name==version, the marker, and one hash or several
PINNED = re.compile(
    r"(?P<name>[a-z0-9-]+)==(?P<version>\S+)(?: ; (?P<marker>[^\\\n]+?))?"
    r"(?P<hashes>(?:[ \\\n]+--hash=sha256:[0-9a-f]{64})+)\n"
)


def pins(stem: str) -> list[re.Match[str]]:
    return list(PINNED.finditer((FOLDER / f"{stem}.txt").read_text()))


def pinned(*stems: str, python: str) -> dict[str, Version]:
    """Each package's version on CI's machines, for one Python."""
    machine = {
        "python_version": python,
        "python_full_version": f"{python}.1",
        "platform_machine": "x86_64",
        "sys_platform": "linux",
    }
    found: dict[str, Version] = {}
    for pin in (pin for stem in stems for pin in pins(stem)):
        requirement = Requirement(f"{pin['name']} ; {pin['marker']}" if pin["marker"] else "any")
        if requirement.marker is None or requirement.marker.evaluate(machine):
            version = Version(pin["version"])
            assert found.setdefault(pin["name"], version) == version, pin["name"]
    return found


def normal(name: str) -> str:
    """How a package is called there."""
    return re.sub(r"[-_.]+", "-", name).lower()
