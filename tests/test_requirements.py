"""Do the pinned packages fit pyproject.toml, each with hashes, and from no index in particular?"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from pins import FOLDER, PINNED, normal, pinned, pins

from tools.requirements import project, requirements

TORCH = sorted(path.stem for path in FOLDER.glob("torch-*.txt"))
PYTHONS = ["3.10", "3.11", "3.12", "3.13"]

# The bench's, of machines that have them: CI does not install them.
NOT_PINNED = {"bench-keras"}


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
        name = normal(requirement.name)
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
