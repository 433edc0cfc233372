"""Is a compiled module that cannot be used left alone, said to be so, and done without?

Each test imports a copy of the package, with another file in the compiled module's place.
"""

from __future__ import annotations

import contextlib
import re
import shutil
from importlib import import_module
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest
import scripts
import torch

from per_step_dense import _module_file, _ops

MAJOR, MINOR, *_ = torch.__version__.split(".")
SUFFIX = EXTENSION_SUFFIXES[0]

IMPORTED = """
import sys, warnings
# An editable installation would find its own module.
sys.meta_path = [finder for finder in sys.meta_path if "Editable" not in repr(finder)]

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import per_step_dense as psd
print([f"{warning.category.__name__}: {warning.message}" for warning in caught])

import torch, truth
from per_step_dense import _ops
from per_step_dense.__main__ import main

print(_ops.missing_reason)
assert _ops.compiled is None
arguments = [torch.randn(shape, dtype=torch.float64) for shape in ((3, 4, 5), (4, 5, 6), (4, 6))]
arguments = [tensor.requires_grad_() for tensor in arguments]
y = psd.per_step_dense(*arguments, activation="gelu")
exact = truth.per_step_dense(*arguments, activation="gelu")
torch.testing.assert_close(y, exact)
gradients = [torch.autograd.grad(result.sum(), arguments) for result in (y, exact)]
torch.testing.assert_close(*gradients)
main(["info"])
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package without a compiled module."""
    source = scripts.SOURCES / "per_step_dense"
    without = shutil.ignore_patterns("*.so", "__pycache__")
    return shutil.copytree(source, tmp_path / "per_step_dense", ignore=without)


def put(package: Path, content: bytes, suffix: str = SUFFIX) -> Path:
    module = package / f"_C{suffix}"
    module.write_bytes(content)
    return module


def reason_told(package: Path) -> str:
    """Why the module is not used: in a warning on import, and in what ``info`` prints."""
    warned, reason, *info = scripts.run(IMPORTED, package_in=package.parent).splitlines()
    text = (
        "UserWarning: per_step_dense: plain torch operations take the place of its compiled module,"
        f" which cannot be used: {reason}"
    )
    assert warned == str([text])
    assert f"missing: {reason}" in re.sub(r" +", " ", "\n".join(info))
    return reason


def built_with(version: str) -> bytes:
    """No module at all: who tries to load it learns that much and no more."""
    says = b"per_step_dense was built with torch " + version.encode() + b";"
    return b"\0" * 100_000 + says + b"\0" * 100_000


def test_of_another_torch_it_is_not_loaded(package: Path) -> None:
    version = f"{MAJOR}.{int(MINOR) + 1}.0"
    module = put(package, built_with(version))
    assert reason_told(package) == (
        f"it was built with torch {version}, and this is torch {torch.__version__}: install "
        f"per_step_dense again, or remove {module}"
    )


@pytest.mark.parametrize(
    ("version", "is_refused"),
    [
        (f"{MAJOR}.{MINOR}.0", False),
        (f"{MAJOR}.{MINOR}.9", False),
        (f"{MAJOR}.{MINOR}.0a0+git1234", False),
        (f"{MAJOR}.{int(MINOR) - 1}.0", True),
        (f"{MAJOR}.{MINOR}0.0", True),
        (f"{int(MAJOR) + 1}.{MINOR}.0", True),
    ],
)
def test_which_versions_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_refused: bool
) -> None:
    (tmp_path / f"of_some_torch{SUFFIX}").write_bytes(built_with(version))
    monkeypatch.syspath_prepend(tmp_path)
    refusal = pytest.raises(ImportError, match=re.escape(f"it was built with torch {version},"))
    with refusal if is_refused else contextlib.nullcontext():
        _module_file.check("of_some_torch")


@pytest.mark.parametrize("content", [b"", b"\x7fELF", built_with("2")[:100_030]], ids=len)
def test_what_says_nothing_is_left_to_the_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    (tmp_path / f"silent{SUFFIX}").write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)
    _module_file.check("silent")
    _module_file.check("there_is_none_of_this_name")
    with pytest.raises(ImportError, match="silent"):
        import_module("silent")


@pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")
def test_that_is_truncated(package: Path) -> None:
    """Its second half is mapped, but not read, as it is loaded."""
    whole = Path(_ops.compiled.__file__).read_bytes()
    half = len(whole) // 2
    module = put(package, whole[:half])
    assert re.fullmatch(
        rf"it has {half} of {len(whole)} bytes: install per_step_dense again, or remove {module}",
        reason_told(package),
    )


@pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")
@pytest.mark.parametrize("kept", [0.001, 0.1, 0.9, 0.999, 1])
def test_every_truncation_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: float
) -> None:
    whole = Path(_ops.compiled.__file__).read_bytes()
    (tmp_path / f"a_part{SUFFIX}").write_bytes(whole[: int(kept * len(whole))])
    monkeypatch.syspath_prepend(tmp_path)
    refusal = pytest.raises(ImportError, match=f" of {len(whole)} bytes: install")
    with refusal if kept < 1 else contextlib.nullcontext():
        _module_file.check("a_part")


def test_that_raises_as_it_is_loaded(package: Path) -> None:
    put(package, b"raise ImportError('libc10.so: cannot open shared object file')", ".py")
    assert reason_told(package) == "libc10.so: cannot open shared object file"


@pytest.mark.parametrize("suffix", [None, ".cpython-34-x86_64-linux-gnu.so"])
def test_that_is_missing_or_of_another_python_is_no_matter_for_a_warning(
    package: Path, suffix: str | None
) -> None:
    if suffix:
        put(package, built_with("1.0.0"), suffix)
    warned, reason, *_ = scripts.run(IMPORTED, package_in=package.parent).splitlines()
    assert (warned, reason) == ("[]", "No module named 'per_step_dense._C'")


@pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")
def test_the_module_at_hand_says_what_it_was_built_with() -> None:
    said = f"per_step_dense was built with torch {_ops.compiled.build_info()['torch']};"
    assert said.encode() in Path(_ops.compiled.__file__).read_bytes()
