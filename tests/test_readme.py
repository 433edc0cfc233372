"""Does the README's example run as printed?"""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_example_prints_what_its_comment_says(capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (expected,) = re.findall(r"print\(.*\)  # (.*)", example)

    exec(compile(example, "README.md", "exec"), {})

    assert capsys.readouterr().out.strip() == expected
