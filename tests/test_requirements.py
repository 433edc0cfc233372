"""Do the pinned packages fit pyproject.toml, each with hashes, and from no index in particular?"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from tools.requirements import project, requirements

FOLDER = Path(__file__).parents[1] / "requirements"
TORCH = sorted(path.stem for path in FOLDER.glob("torch-*.txt"))
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

# The bench's, of machines that have them: CI does not install them.
NOT_PINNED = {"bench-keras"}

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


def asked_for() -> list[str]:
    told = project()
    extras = [name for name in told["project"]["optional-dependencies"] if name not in NOT_PINNED]
    groups = told["dependency-groups"]
    return [*requirements(extras), *groups["dev"], *groups["cuda-toolkit"]]


@pytest.mark.parametrize("file", sorted(FOLDER.iterdir()), ids=lambda file: file.name)
def test_a_file_is_pins_with_hashes_alone(file: Path) -> None:
    assert pins(file.stem)
    assert PINNED.sub("", file.read_text()) == ""


@pytest.mark.parametrize("python", PYTHONS)
@pytest.mark.parametrize("torch", ["torch-2.11.0", "torch-2.13.0"])
def test_pins_fit_what_is_asked_for(torch: str, python: str) -> None:
    found = pinned(torch, "common", python=python)
    for text in asked_for():
        requirement = Requirement(text)
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        assert name in found, text
        assert requirement.specifier.contains(found[name]), f"{text}: {found[name]}"


@pytest.mark.parametrize("torch", TORCH)
def test_a_file_named_for_torch_pins_it(torch: str) -> None:
    version = torch.removeprefix("torch-")
    assert [pin["version"] for pin in pins(torch) if pin["name"] == "torch"] == [version]


def test_pip_is_pinned_once() -> None:
    (alone,) = pins("pip")
    assert alone[0] in (FOLDER / "common.txt").read_text()


def test_command_prints_what_extras_need() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tools.requirements", "keras"],
        capture_output=True,
        text=True,
        check=True,
        cwd=FOLDER.parent,
    ).stdout
    assert printed == "torch>=2.10\nkeras>=3\n"
