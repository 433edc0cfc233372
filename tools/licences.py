"""Writes the table of docs/licences.md, or with --check says what is wrong in it.

A licence is read from the package installed here; that of one that is not stays as it stands.
"""

from __future__ import annotations

import re
import sys
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from packaging.requirements import Requirement

from tools.requirements import project

PAGE = Path(__file__).resolve().parents[1] / "docs" / "licences.md"
ROW = re.compile(
    r"^\| `(?P<package>[^`]+)` \| (?P<range>[^|]*) \| (?P<used_by>[^|]+) \| (.+) \|$", re.M
)
HEAD = "| package | versions | for | licence |\n| --- | --- | --- | --- |\n"
TABLE = re.compile(r"(?<=--update -->\n).*(?=<!-- end -->)", re.S)


class Row(NamedTuple):
    """One package that pyproject.toml asks for."""

    package: str
    range: str
    used_by: str
    licence: str

    def __str__(self) -> str:
        return f"| `{self.package}` | {self.range} | {self.used_by} | {self.licence} |\n"


def rows(before: str) -> list[Row]:
    """What should stand there, where ``before`` stands now."""
    known = {row["package"]: row[4] for row in ROW.finditer(before)}
    told = project()
    users = {
        "running": told["project"]["dependencies"],
        **told["project"]["optional-dependencies"],
        **told["dependency-groups"],
    }
    found: dict[str, tuple[str, list[str]]] = {}
    for user, requirements in users.items():
        for requirement in map(Requirement, requirements):
            versions = str(requirement.specifier).replace(",", ", ")
            found.setdefault(requirement.name, (versions, []))[1].append(user)
    return [
        Row(name, versions, ", ".join(used_by), licence(name) or known.get(name, "unknown"))
        for name, (versions, used_by) in found.items()
    ]


def licence(package: str) -> str | None:
    """In the words of the package's metadata; None where it is not installed or has none."""
    try:
        told = metadata.metadata(package)
    except metadata.PackageNotFoundError:
        return None
    expression = told.get("License-Expression") or told.get("License") or ""
    if expression and len(expression) < 80 and "\n" not in expression:
        return expression
    classifiers = told.get_all("Classifier") or []
    names = [each.split(" :: ")[-1] for each in classifiers if each.startswith("License ::")]
    return ", ".join(names) or None


def main(argv: list[str]) -> int:
    """Returns the exit status."""
    page = PAGE.read_text()
    wanted = TABLE.sub(lambda _: HEAD + "".join(map(str, rows(page))), page)
    if argv == ["--update"]:
        PAGE.write_text(wanted)
        return 0
    if page != wanted:
        print(f"{PAGE.name} is out of date: python -m tools.licences --update", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
