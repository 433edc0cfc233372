"""``python -m bench page``: docs/benchmarks.md, its pictures, and the README's figures.

All of it is made of bench/results/*.json, and of nothing else that was measured.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image

from ..generated import begin_marker, replace_between
from ..record import Record, RecordError, read
from .layer import headline_groups
from .markdown import page_text
from .plots import KEYWORD, draw, picture_path, sha256
from .readme import readme_text

ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = "python -m bench page"
BEGIN: Final = begin_marker(COMMAND)


@dataclass(frozen=True)
class Site:
    """A checkout's files."""

    root: Path

    @property
    def results(self) -> Path:
        """The folder of records."""
        return self.root / "bench" / "results"

    @property
    def page(self) -> Path:
        """Written whole."""
        return self.root / "docs" / "benchmarks.md"

    @property
    def pictures(self) -> Path:
        """The folder of plots, and of nothing else."""
        return self.root / "docs" / "benchmarks"

    @property
    def readme(self) -> Path:
        """Written between its markers."""
        return self.root / "README.md"

    def records(self) -> dict[Path, Record]:
        """By file, sorted by name."""
        return {path: read(path) for path in sorted(self.results.glob("*.json"))}


def main(argv: Sequence[str], root: Path = ROOT) -> int:
    """Returns 0, 1 where --check finds a file out of date, 2 where a file is not a record."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=(__doc__ or "").split("\n\n", 1)[1])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if that would")
    options = parser.parse_args(argv)
    site = Site(root)
    try:
        records = site.records()
    except RecordError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 2
    if not options.check:
        write(site, records)
        return 0
    stale = list(out_of_date(site, records))
    for line in stale:
        print(f"{line}: {COMMAND}", file=sys.stderr)
    return 1 if stale else 0


def write(site: Site, records: dict[Path, Record]) -> None:
    """All files, the pictures of records that are gone removed."""
    for path, text in _texts(site, records).items():
        path.write_text(text)
    for picture in _left_over(site, records):
        picture.unlink()
    for path, record in records.items():
        if headline_groups(record.rows):
            site.pictures.mkdir(exist_ok=True)
            draw(record, path, site.pictures)


def out_of_date(site: Site, records: dict[Path, Record]) -> Iterator[str]:
    """A line for each file that does not say what the records do."""
    for path, text in _texts(site, records).items():
        if not path.exists() or path.read_text() != text:
            yield f"{path} is out of date"
    for path, record in records.items():
        for picture in _pictures(site, path, record):
            if not picture.exists():
                yield f"{picture} is missing"
            elif shown_by(picture) != sha256(path):
                yield f"{picture} shows another record than {path}"
    for picture in _left_over(site, records):
        yield f"{picture} shows a record that is gone"


def shown_by(picture: Path) -> str | None:
    """The SHA-256 of the record that a picture says it was made of."""
    with Image.open(picture) as image:
        digest = image.info.get(KEYWORD)
    return digest if isinstance(digest, str) else None


def _texts(site: Site, records: dict[Path, Record]) -> dict[Path, str]:
    readme = site.readme.read_text()
    by_name = {path.stem: record for path, record in records.items()}
    return {
        site.page: page_text(by_name, site.pictures.name),
        site.readme: replace_between(readme, BEGIN, readme_text(list(by_name.values()))),
    }


def _pictures(site: Site, path: Path, record: Record) -> list[Path]:
    if not headline_groups(record.rows):
        return []
    return [picture_path(path, name, site.pictures) for name in ("floor", "speedup")]


def _left_over(site: Site, records: dict[Path, Record]) -> list[Path]:
    wanted = {
        picture for path, record in records.items() for picture in _pictures(site, path, record)
    }
    return sorted(set(site.pictures.glob("*.png")) - wanted)
