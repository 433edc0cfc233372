"""Parts of files that a command writes: kept between markers, checked by a test."""

from __future__ import annotations

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
