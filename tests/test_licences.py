"""Does docs/licences.md list what pyproject.toml asks for, under the licences those state?"""

from __future__ import annotations

import platform
from importlib import metadata

import pytest
from pins import normal, pinned

from tools.licences import PAGE, ROW, Row, rows

LISTED = [Row(*row.groups()) for row in ROW.finditer(PAGE.read_text())]
WANTED = rows(PAGE.read_text())


def test_every_package_is_listed_with_its_versions_and_uses() -> None:
    assert len(LISTED) > 40
    assert [row[:3] for row in LISTED] == [row[:3] for row in WANTED]


def installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


@pytest.mark.parametrize(
    ("listed", "wanted"),
    list(zip(LISTED, WANTED, strict=False)),
    ids=[row.package for row in LISTED],
)
def test_licence(listed: Row, wanted: Row) -> None:
    python = ".".join(platform.python_version_tuple()[:2])
    pins = pinned("torch-2.11.0", "common", python=python)
    # Another version may say the same in other words, or have changed its licence.
    if installed(listed.package) == str(pins.get(normal(listed.package))):
        assert listed.licence == wanted.licence
    assert listed.licence not in ("", "unknown")
