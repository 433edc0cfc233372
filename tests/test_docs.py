"""Do the documentation's examples run as printed, and does it build without a warning?"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from examples_in_markdown import examples_of, printed_by, promised_by
from keras2 import stored

from per_step_dense import _ops

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(page for page in DOCS.rglob("*.md") if examples_of(page))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_examples_print_what_their_comments_say(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    examples = examples_of(page)
    if any("import keras" in example for example in examples):
        if importlib.util.find_spec("keras") is None:
            pytest.skip("needs pip install '.[keras]'")
        monkeypatch.setenv("KERAS_BACKEND", "torch")  # which the page sets as well
    shutil.copy(stored.QUESTION, tmp_path)  # which a page reads, to write another beside it
    monkeypatch.chdir(tmp_path)
    assert printed_by(examples, page.name) == promised_by(examples)


def test_every_surface_has_a_page_with_examples() -> None:
    found = {str(page.relative_to(DOCS).with_suffix("")) for page in PAGES}
    surfaces = ["module", "compile", "export", "autocast", "func", "graphs", "streaming", "kernels"]
    surfaces += ["distributed", "locally_connected", "ragged", "convert"]
    guides = {f"guide/{name}" for name in surfaces}
    assert found >= {"index", "install", "migration", "migration_keras", *guides}


@pytest.mark.slow
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    needed = ("sphinx", "furo", "myst_parser", "keras")
    if any(importlib.util.find_spec(name) is None for name in needed):
        pytest.skip("needs pip install '.[docs,keras]'")
    if _ops.compiled is None:
        pytest.skip("needs the compiled module")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html"]
    built = subprocess.run(
        [*command, "-d", str(tmp_path / "doctrees"), str(DOCS), str(tmp_path / "site")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    api = (tmp_path / "site" / "api.html").read_text()
    for name in ("PerStepDense.step", "per_step_dense.explain", "export.decompositions"):
        assert f'id="per_step_dense.{name.removeprefix("per_step_dense.")}"' in api
