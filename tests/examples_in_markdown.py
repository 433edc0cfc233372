"""The Python examples of a Markdown page, and what their comments say that they print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path


def examples_of(page: Path) -> list[str]:
    """The code blocks, in order."""
    return re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)


def promised_by(examples: list[str]) -> list[str]:
    """What stands in the comment behind each print, in order."""
    return re.findall(r"print\(.*\)  # (.*)", "".join(examples))


def printed_by(examples: list[str], name: str) -> list[str]:
    """The lines that they print, run one after the other; what one defines the next may use."""
    names: dict[str, object] = {"__name__": name}
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        for example in examples:
            exec(compile(example, name, "exec"), names)
    return output.getvalue().splitlines()
