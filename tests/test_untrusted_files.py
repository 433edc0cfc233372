"""Is nothing unpickled that somebody else may have written?

Ruff's S rules hold pickle's own functions off; here are those that unpickle only if told to.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ["per_step_dense", "build_support", "tools", "bench", "examples", "tests"]
FILES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))

UNPICKLE = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}

# Whether a whole model survives is their question: they read what they have just written.
OF_THEIR_OWN = {
    f"tests/{name}.py"
    for name in ("test_convert", "test_convert_packages", "test_module", "test_untrusted_files")
}


def unpickled(source: str) -> Iterator[str]:
    """What in it could unpickle a file, in the source's own words."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = {(module or each.name).split(".")[0] for each in node.names}
            if names & UNPICKLE:
                yield ast.unparse(node)
        elif isinstance(node, ast.Call):
            said = {each.arg: ast.unparse(each.value) for each in node.keywords}
            of_torch = ast.unparse(node.func) == "torch.load" and said.get("weights_only") != "True"
            of_numpy = said.get("allow_pickle", "False") != "False"
            of_keras = said.get("safe_mode", "True") != "True"
            if of_torch or of_numpy or of_keras:
                yield ast.unparse(node)


def test_no_file_is_unpickled() -> None:
    assert len(FILES) > 100
    found = {
        f"{path.relative_to(ROOT)}: {words}"
        for path in FILES
        if str(path.relative_to(ROOT)) not in OF_THEIR_OWN
        for words in unpickled(path.read_text())
    }
    assert not found


@pytest.mark.parametrize(
    "words",
    [
        "import pickle",
        "import os, joblib",
        "from marshal import loads",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "torch.load(path, weights_only=trusted)",
        "np.load(path, allow_pickle=True)",
        "keras.models.load_model(path, safe_mode=False)",
    ],
)
def test_it_would_be_noticed(words: str) -> None:
    assert list(unpickled(words))


@pytest.mark.parametrize(
    "words",
    [
        "import pickleball",
        "torch.load(path, map_location='cpu', weights_only=True)",
        "np.load(path)",
        "keras.models.load_model(path)",
        "json.load(file)",
    ],
)
def test_what_reads_data_alone_is_let_through(words: str) -> None:
    assert not list(unpickled(words))
