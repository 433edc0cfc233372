"""Is what `make dist` built named for what it is for, and does it hold what it should, and no more?

Not collected by itself, for it needs those files: tools/test_dist.sh runs it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest
import torch

from build_support.version import local_version
from tools.requirements import project

ROOT = Path(__file__).resolve().parents[1]
VERSION = re.search(r'__version__ = "(.+)"', (ROOT / "per_step_dense/_version.py").read_text())[1]

BUILDS_THE_PACKAGE = [
    *("per_step_dense", "csrc", "build_support", "setup.py", "pyproject.toml", "MANIFEST.in"),
    *("README.md", "LICENSE", "CHANGELOG.md", "SECURITY.md"),
]


def built(pattern: str) -> Path:
    (found,) = (ROOT / "dist").glob(pattern)
    return found


def committed(*places: str) -> set[str]:
    command = ["git", "ls-files", *places]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return set(listed.stdout.splitlines())


def of_the_sdist() -> dict[str, bytes]:
    """The files, without the folder that they are all in."""
    with tarfile.open(built("*.tar.gz")) as archive:
        return {
            str(PurePosixPath(*PurePosixPath(each.name).parts[1:])): archive.extractfile(
                each
            ).read()
            for each in archive.getmembers()
            if each.isfile()
        }


def of_the_wheel() -> dict[str, bytes]:
    with zipfile.ZipFile(built("*.whl")) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def fields(metadata: bytes) -> dict[str, list[str]]:
    message = Parser().parsestr(metadata.decode())
    return {name: message.get_all(name) for name in message.keys()}  # noqa: SIM118, repeats names


def test_the_sdist_is_for_any_torch() -> None:
    assert built("*.tar.gz").name == f"per_step_dense-{VERSION}.tar.gz"
    assert fields(of_the_sdist()["PKG-INFO"])["Version"] == [VERSION]


def test_the_sdist_is_what_builds_the_package() -> None:
    files = of_the_sdist()
    added = {name for name in files if name.startswith("per_step_dense.egg-info/")}
    assert set(files) - added - {"PKG-INFO", "setup.cfg"} == committed(*BUILDS_THE_PACKAGE)
    for name in committed(*BUILDS_THE_PACKAGE):
        assert files[name] == (ROOT / name).read_bytes(), name


def test_the_wheel_says_which_torch_and_python_it_is_for() -> None:
    cuda = torch.version.cuda if os.environ.get("PER_STEP_DENSE_CUDA") == "1" else None
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    version = f"{VERSION}+{local_version(torch.__version__, cuda)}"
    assert built("*.whl").name == f"per_step_dense-{version}-{python}-{python}-linux_x86_64.whl"
    assert fields(of_the_wheel()[f"{info()}/METADATA"])["Version"] == [version]


@pytest.mark.parametrize("field", ["License-Expression", "License-File", "Requires-Python"])
def test_metadata(field: str) -> None:
    told = project()["project"]
    expected = {
        "License-Expression": [told["license"]],
        "License-File": told["license-files"],
        "Requires-Python": [told["requires-python"]],
    }
    for metadata in (of_the_sdist()["PKG-INFO"], of_the_wheel()[f"{info()}/METADATA"]):
        assert fields(metadata)[field] == expected[field]


def info() -> str:
    (found,) = {name.split("/")[0] for name in of_the_wheel() if ".dist-info/" in name}
    return found


def test_the_wheel_holds_the_package_and_its_licence_alone() -> None:
    files = of_the_wheel()
    (compiled,) = [name for name in files if name.endswith(".so")]
    assert re.fullmatch(r"per_step_dense/_C\.cpython-\d+-x86_64-linux-gnu\.so", compiled)
    of_python = committed("per_step_dense")
    of_wheels = {
        f"{info()}/{name}"
        for name in ("METADATA", "RECORD", "WHEEL", "top_level.txt", "licenses/LICENSE")
    }
    assert set(files) == {compiled} | of_python | of_wheels
    assert files[f"{info()}/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    assert "per_step_dense/py.typed" in of_python
