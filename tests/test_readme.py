"""Do the README's examples run as printed?"""

from pathlib import Path

import pytest
from examples_in_markdown import examples_of, printed_by, promised_by

from per_step_dense import _ops

EXAMPLES = examples_of(Path(__file__).parents[1] / "README.md")


def test_examples_print_what_their_comments_say() -> None:
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    expected = promised_by(EXAMPLES)
    assert len(EXAMPLES) == 3 and len(expected) == 3
    printed = printed_by(EXAMPLES, "README.md")
    assert printed[:2] == expected[:2]
    assert printed[2].startswith("sm90 128x256 on sm_90: 1 launch, 132 blocks")
