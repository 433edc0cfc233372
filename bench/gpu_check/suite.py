"""Parts that are tests: the GPU's of the suite, those of big tensors, and the fuzzing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from .part import Part, seconds_option
from .program import Command

BIG: Final = "tests/test_big_tensors.py"
FUZZING: Final = "tests/test_fuzz_cuda.py"

# Of the emulator: none needs a GPU, and to collect them is to compile it, for minutes.
EMULATORS: Final = ("tests/test_*emula*", "tests/test_splits.py", "tests/test_cuda_build.py")

# What else is installed on a machine must not be part of the run: one plugin warns where tests run
# in several processes, and here a warning is an error.
ENVIRONMENT: Final[Mapping[str, str]] = {
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    "PYTEST_ADDOPTS": "",
}


class PytestPart(Part):
    """Some of them, in one process after another until all are through."""

    def __init__(self, name: str, question: str, *arguments: str) -> None:
        self.name = name
        self.question = question
        self.arguments = arguments

    def command(self, journal: Path, seconds: float) -> Command:
        """Of pytest; a test that needs a GPU fails where there is none."""
        options = ("-q", "--tb=short", "-p", "no:cacheprovider", "-p", "bench.gpu_check.keeper")
        kept = ("--journal", str(journal), *seconds_option("--journal-seconds", seconds))
        arguments = (*options, *kept, "--require-gpu", *self.arguments)
        return Command((sys.executable, "-m", "pytest", *arguments), ENVIRONMENT)


SUITE: Final = PytestPart(
    "suite",
    "do the tests that need a GPU pass?",
    "--only-gpu",
    f"--ignore={BIG}",
    f"--ignore={FUZZING}",
    *(f"--ignore-glob={files}" for files in EMULATORS),
)
BIG_TENSORS: Final = PytestPart(
    "big_tensors", "are tensors past 2^31 elements computed right?", "--only-gpu", BIG
)
FUZZING_ON_CUDA: Final = PytestPart(
    "fuzzing",
    "is every problem that hypothesis makes up computed right?",
    "-p",
    "_hypothesis_pytestplugin",
    "--hypothesis-profile=ci",
    FUZZING,
)
