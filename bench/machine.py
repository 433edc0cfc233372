"""What a record is measured on."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

import torch

import per_step_dense as psd

from .record import Machine

_ROOT = Path(__file__).resolve().parents[1]


def describe_machine(device: torch.device) -> Machine:
    """The machine as it is now, and the state of the checkout."""
    on_cuda = device.type == "cuda"
    status = _output(["git", "status", "--porcelain"])
    return Machine(
        device="cuda" if on_cuda else "cpu",
        device_name=torch.cuda.get_device_name(device) if on_cuda else _cpu_name(),
        cpu=_cpu_name(),
        threads=torch.get_num_threads(),
        vectors=torch.backends.cpu.get_cpu_capability(),
        driver=_driver(device) if on_cuda else None,
        cuda=torch.version.cuda,
        torch=torch.__version__,
        python=platform.python_version(),
        per_step_dense=psd.__version__,
        commit=_output(["git", "rev-parse", "HEAD"]),
        is_dirty=None if status is None else bool(status),
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def differences(machine: Machine, other: Machine) -> list[str]:
    """In what two machines differ, the date left aside; a line for each."""
    fields = Machine.model_fields.keys() - {"date"}
    pairs = ((name, getattr(machine, name), getattr(other, name)) for name in sorted(fields))
    return [f"{name}: {mine} and {its}" for name, mine, its in pairs if mine != its]


def _driver(device: torch.device) -> str | None:
    index = str(device.index or 0)
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", index]
    return _output(query)


def _output(command: Sequence[str]) -> str | None:
    """What a program prints; None where it is missing or fails."""
    try:
        done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
