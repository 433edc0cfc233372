"""Do show_config and ``python -m per_step_dense info`` tell the truth?"""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest
import torch

import per_step_dense as psd
from per_step_dense import _ops
from per_step_dense.__main__ import main
from per_step_dense.config import kernel_name


def facts(text: str) -> dict[str, str]:
    pairs = [line.split("  ", 1) for line in text.splitlines()]
    assert len({name for name, _ in pairs}) == len(pairs)
    return {name: fact.strip() for name, fact in pairs}


def test_versions() -> None:
    told = facts(psd.show_config())
    assert told["per_step_dense"] == psd.__version__
    assert told["python"] == platform.python_version()
    cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
    assert told["torch"] == f"{torch.__version__}, {cuda}"


def test_installed_as(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", {"per_step_dense": "0.1.0+torch2.11.cu130"}.get)
    assert facts(psd.show_config())["installed as"] == "0.1.0+torch2.11.cu130"


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", missing)
    assert facts(psd.show_config())["installed as"] == "nothing: imported from a folder"


@pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")
def test_compiled_module() -> None:
    told = facts(psd.show_config())
    info = _ops.compiled.build_info()
    assert told["compiled module"].startswith(f"built with torch {info['torch']} and compiler ")
    # An extension runs only with the torch it was built for.
    assert torch.__version__.startswith(info["torch"])
    if info["cuda"] is None:
        assert told["CUDA kernels"] == "none (built without CUDA)"
        assert told["float32 on CUDA"] == "aten (batched products of ATen)"
        assert told["tf32 and other dtypes on CUDA"] == "aten (batched products of ATen)"
    else:
        assert told["CUDA kernels"].startswith(f"CUDA {info['cuda']}, architectures ")
        assert info["cuda"].split(".")[0] == torch.version.cuda.split(".")[0]
        assert told["float32 on CUDA"] == "simt, tiny or aten, by the chooser's estimate"
        assert told["tf32 and other dtypes on CUDA"] == (
            "simt, tiny, sm80, sm90 or aten, by the chooser's estimate"
        )
    assert told["on the CPU"] == (
        "avx2 for float32, else aten (batched products of ATen)"
        if torch.backends.cpu.get_cpu_capability() == "AVX2"
        else "aten (batched products of ATen)"
    )


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert facts(psd.show_config())["GPUs"] == "none visible"


def test_every_visible_gpu_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [
        SimpleNamespace(name="NVIDIA A100", major=8, minor=0),
        SimpleNamespace(name="NVIDIA H200", major=9, minor=0),
    ]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(gpus))
    monkeypatch.setattr(torch.cuda, "get_device_properties", gpus.__getitem__)
    assert facts(psd.show_config())["GPUs"] == "NVIDIA A100 (sm_80), NVIDIA H200 (sm_90)"


def test_real_gpus(gpu: torch.device) -> None:
    told = facts(psd.show_config())["GPUs"]
    major, minor = torch.cuda.get_device_capability(gpu)
    assert f"{torch.cuda.get_device_name(gpu)} (sm_{major}{minor})" in told


def test_another_default_device_changes_nothing() -> None:
    expected = psd.show_config()
    with torch.device("meta"):
        assert psd.show_config() == expected


def test_columns_are_aligned() -> None:
    lines = psd.show_config().splitlines()
    width = max(len(name) for name in facts(psd.show_config()))
    assert {line[width : width + 2] for line in lines} == {"  "}
    assert not any(line[width + 2].isspace() for line in lines)


@pytest.mark.skipif(_ops.compiled is None, reason="needs the compiled module")
def test_kernel_name_agrees(device: torch.device) -> None:
    told = facts(psd.show_config())
    where = "float32 on CUDA" if device.type == "cuda" else "on the CPU"
    x, weight = torch.randn(2, 3, 4, device=device), torch.randn(3, 4, 5, device=device)
    family, kind = kernel_name(x, weight).split()
    assert family in told[where].replace(",", "").split()
    assert kind == f"({device.type})"


def test_kernel_in_force() -> None:
    assert facts(psd.show_config())["kernel in force"] == "auto"
    with psd.use_kernel("reference"):
        assert facts(psd.show_config())["kernel in force"] == "reference"
        x, weight = torch.randn(2, 3, 4), torch.randn(3, 4, 5)
        assert kernel_name(x, weight) == "reference (cpu)"


@pytest.mark.skipif(not _ops.has_cuda_kernels, reason="needs a family that refuses the CPU")
def test_a_kernel_in_force_that_refuses_the_cpu() -> None:
    expected = facts(psd.show_config())
    with psd.use_kernel("simt"):
        told = facts(psd.show_config())
    assert told == {**expected, "kernel in force": "simt"}


def test_info_command_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info"]) == 0
    assert capsys.readouterr().out.rstrip("\n") == psd.show_config()


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["info", "--loud"]], ids=str)
def test_wrong_command_exits_with_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    with pytest.raises(SystemExit) as exited:
        main(arguments)
    assert exited.value.code == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "usage: python -m per_step_dense" in output.err


def test_run_as_a_module() -> None:
    command = [sys.executable, "-m", "per_step_dense"]
    info = subprocess.run([*command, "info"], capture_output=True, text=True, check=True)
    assert info.stdout.rstrip("\n") == psd.show_config()
    assert info.stderr == ""
    wrong = subprocess.run([*command, "nonsense"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
