"""Do the README's examples run as printed?"""

import re
from pathlib import Path

import pytest

from per_step_dense import _ops

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_examples_print_what_their_comments_say(capsys: pytest.CaptureFixture[str]) -> None:
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    expected = re.findall(r"print\(.*\)  # (.*)", "".join(EXAMPLES))
    assert len(EXAMPLES) == 3 and len(expected) == 3

    names: dict[str, object] = {}  # what one example defines, the next may use
    for example in EXAMPLES:
        exec(compile(example, "README.md", "exec"), names)

    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == expected[:2]
    assert printed[2].startswith("sm90 128x256 on sm_90: 1 launch, 132 blocks")
