"""Does setup.py find the CUDA toolkit that is there, and say why it cannot use one?"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType

import pytest

NVCC = """#!/bin/sh
case "$1" in
--version) echo "nvcc: NVIDIA (R) Cuda compiler driver"
           echo "Cuda compilation tools, release {version}, V{version}.48" ;;
--dryrun)  echo "#$ _SPACE_= " >&2
           echo "#$ TOP={home}" >&2
           echo "#$ NVVMIR_LIBRARY_DIR={home}/nvvm/libdevice" >&2 ;;
esac
"""


def load_toolkit() -> ModuleType:
    """build_support/toolkit.py, which is no part of the installed package."""
    path = Path(__file__).parents[1] / "build_support" / "toolkit.py"
    spec = importlib.util.spec_from_file_location("toolkit_of_setup", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


toolkit = load_toolkit()


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without a toolkit, whatever this one has."""
    for name in ("CUDA_HOME", "CUDA_PATH", "PER_STEP_DENSE_CUDA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path / name))


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def install(home: Path, version: str = "13.0") -> Path:
    script(home / "bin" / "nvcc", NVCC.format(version=version, home=home))
    return home


def put_on_path(tmp_path: Path, nvcc: Path) -> None:
    (tmp_path / "path").mkdir(exist_ok=True)
    (tmp_path / "path" / "nvcc").symlink_to(nvcc)


# Where the toolkit is


def test_nothing_there_builds_without_kernels() -> None:
    assert toolkit.choose_toolkit("13.0") is None


@pytest.mark.parametrize("variable", ["CUDA_HOME", "CUDA_PATH"])
def test_named_by_a_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    home = install(tmp_path / "cuda", "13.1")
    monkeypatch.setenv(variable, str(home))
    assert toolkit.choose_toolkit("13.0") == toolkit.Toolkit(home, "13.1")


def test_variable_that_names_no_toolkit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    put_on_path(tmp_path, install(tmp_path / "other") / "bin" / "nvcc")
    with pytest.raises(toolkit.ToolkitError) as error:
        toolkit.choose_toolkit("13.0")
    assert str(error.value) == f"CUDA_HOME is {tmp_path}, but there is no bin/nvcc in it."


def test_variable_comes_before_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    put_on_path(tmp_path, install(tmp_path / "other", "13.9") / "bin" / "nvcc")
    home = install(tmp_path / "cuda", "13.0")
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert toolkit.choose_toolkit("13.0").home == home


def test_link_on_the_path(tmp_path: Path) -> None:
    home = install(tmp_path / "cuda")
    put_on_path(tmp_path, home / "bin" / "nvcc")
    assert toolkit.choose_toolkit("13.0") == toolkit.Toolkit(home, "13.0")


def test_script_on_the_path(tmp_path: Path) -> None:
    home = install(tmp_path / "far" / "cuda")
    script(tmp_path / "path" / "nvcc", f'#!/bin/sh\nexec {home}/bin/nvcc "$@"\n')
    assert toolkit.choose_toolkit("13.0") == toolkit.Toolkit(home, "13.0")


def test_relative_top_is_resolved(tmp_path: Path) -> None:
    home = install(tmp_path / "cuda")
    top = home / "bin" / ".."
    wrapper = f'#!/bin/sh\necho "#$ TOP={top}" >&2\n'
    script(tmp_path / "path" / "nvcc", wrapper)
    assert toolkit.choose_toolkit("13.0").home == home


def test_nvcc_that_does_not_say_where_it_is(tmp_path: Path) -> None:
    nvcc = script(tmp_path / "path" / "nvcc", "#!/bin/sh\nexit 1\n")
    with pytest.raises(toolkit.ToolkitError) as error:
        toolkit.choose_toolkit("13.0")
    assert str(error.value) == f"{nvcc} does not say where its toolkit is; set CUDA_HOME."


def test_pypi_layout(tmp_path: Path) -> None:
    home = install(tmp_path / "purelib" / "nvidia" / "cu13")
    assert toolkit.choose_toolkit("13.0") == toolkit.Toolkit(home, "13.0")


def test_path_comes_before_pypi(tmp_path: Path) -> None:
    install(tmp_path / "purelib" / "nvidia" / "cu13")
    home = install(tmp_path / "cuda", "13.2")
    put_on_path(tmp_path, home / "bin" / "nvcc")
    assert toolkit.choose_toolkit("13.0") == toolkit.Toolkit(home, "13.2")


# What PER_STEP_DENSE_CUDA and torch say


def test_switched_off(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PER_STEP_DENSE_CUDA", "0")
    monkeypatch.setenv("CUDA_HOME", str(install(tmp_path / "cuda", "11.8")))
    assert toolkit.choose_toolkit("13.0") is None


def test_switched_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PER_STEP_DENSE_CUDA", "1")
    home = install(tmp_path / "cuda")
    monkeypatch.setenv("CUDA_HOME", str(home))
    assert toolkit.choose_toolkit("13.0") == toolkit.Toolkit(home, "13.0")


def test_switched_on_without_nvcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PER_STEP_DENSE_CUDA", "1")
    with pytest.raises(toolkit.ToolkitError) as error:
        toolkit.choose_toolkit("13.0")
    assert str(error.value) == (
        "PER_STEP_DENSE_CUDA=1 asks for CUDA kernels, but no nvcc was found. Put nvcc on the PATH, "
        'set CUDA_HOME, or install PyPI\'s toolkit (README, "Install").'
    )


@pytest.mark.parametrize("value", ["yes", "2", "on", " 1"])
def test_switch_of_another_value(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PER_STEP_DENSE_CUDA", value)
    with pytest.raises(toolkit.ToolkitError) as error:
        toolkit.choose_toolkit("13.0")
    assert str(error.value) == f"PER_STEP_DENSE_CUDA must be 0, 1 or unset; got {value!r}"


def test_cpu_only_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CUDA_HOME", str(install(tmp_path / "cuda")))
    assert toolkit.choose_toolkit(None) is None
    monkeypatch.setenv("PER_STEP_DENSE_CUDA", "1")
    with pytest.raises(toolkit.ToolkitError) as error:
        toolkit.choose_toolkit(None)
    assert str(error.value) == (
        "PER_STEP_DENSE_CUDA=1 asks for CUDA kernels, but the torch installed here is a CPU-only "
        "build. Install a CUDA build of torch first."
    )


@pytest.mark.parametrize("switch", [None, "1"])
def test_another_major_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, switch: str | None
) -> None:
    home = install(tmp_path / "cuda", "12.8")
    monkeypatch.setenv("CUDA_HOME", str(home))
    if switch:
        monkeypatch.setenv("PER_STEP_DENSE_CUDA", switch)
    with pytest.raises(toolkit.ToolkitError) as error:
        toolkit.choose_toolkit("13.0")
    assert str(error.value) == (
        f"the CUDA toolkit in {home} is version 12.8, but torch was built with CUDA 13.0: their "
        "major versions must agree. Point CUDA_HOME to a CUDA 13 toolkit, or build without kernels "
        "by PER_STEP_DENSE_CUDA=0."
    )


def test_nvcc_without_a_version(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script(tmp_path / "cuda" / "bin" / "nvcc", "#!/bin/sh\necho hello\n")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path / "cuda"))
    with pytest.raises(toolkit.ToolkitError) as error:
        toolkit.choose_toolkit("13.0")
    assert str(error.value) == f"the nvcc in {tmp_path / 'cuda'} does not say its version."


# The runtime library


def with_files(home: Path, *names: str) -> toolkit.Toolkit:
    for name in names:
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).touch()
    return toolkit.Toolkit(home, "13.0")


@pytest.mark.parametrize("folder", ["lib64", "lib"])
def test_library_that_the_linker_finds(tmp_path: Path, folder: str) -> None:
    found = with_files(tmp_path, f"{folder}/libcudart.so", f"{folder}/libcudart.so.13")
    assert found.runtime_library() is None


@pytest.mark.parametrize("folder", ["lib64", "lib"])
def test_library_with_a_version_only(tmp_path: Path, folder: str) -> None:
    found = with_files(tmp_path, f"{folder}/libcudart.so.13.0.48", f"{folder}/libcudart.so.13")
    assert found.runtime_library() == tmp_path / folder / "libcudart.so.13"


def test_no_library(tmp_path: Path) -> None:
    with pytest.raises(toolkit.ToolkitError) as error:
        with_files(tmp_path, "lib/libcublas.so.13").runtime_library()
    assert str(error.value) == f"there is no libcudart in the CUDA toolkit {tmp_path}"


def test_setup_without_torch_says_how_to_install() -> None:
    without_torch = "import runpy, sys; sys.modules['torch'] = None; runpy.run_path('setup.py')"
    result = subprocess.run(
        [sys.executable, "-c", without_torch],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.startswith("per_step_dense: the build needs the torch")
    assert "pip install --no-build-isolation ." in result.stderr
