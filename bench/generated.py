"""Parts of files that a command writes: kept between markers, checked by a test."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

END: Final = "<!-- end -->"


def begin_marker(command: str) -> str:
    """The line before what the command writes."""
    return f"<!-- begin: {command} -->"


def replace_between(text: str, begin: str, content: str) -> str:
    """The text with the content between its markers.

    Raises:
        SystemExit: where the text does not have both.
    """
    before, found_begin, rest = text.partition(begin)
    _, found_end, after = rest.partition(END)
    if not found_begin or not found_end:
        raise SystemExit(f"there are no markers {begin} and {END}")
    return f"{before}{begin}\n{content}\n{END}{after}"


def run_generated(command: str, content: Callable[[], str], argv: Sequence[str] | None) -> int:
    """Prints the content; with ``--update FILE`` puts it between the file's markers, which name
    the command; with ``--check FILE`` says whether it is there: 1 where it is not.
    """
    parser = argparse.ArgumentParser(prog=command)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", type=Path, metavar="FILE")
    what.add_argument("--update", type=Path, metavar="FILE")
    options = parser.parse_args(argv)
    file = options.check or options.update
    if not file:
        print(content())
        return 0
    text = file.read_text()
    new_text = replace_between(text, begin_marker(command), content())
    if options.update:
        file.write_text(new_text)
    elif new_text != text:
        print(f"{file} is out of date: {command} --update {file}", file=sys.stderr)
        return 1
    return 0
