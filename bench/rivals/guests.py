"""Rivals of other frameworks, each in a process of its own (``bench.guests``)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from functools import cache
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final

import torch
from torch import Tensor

from ..contestant import Contestant, Results
from ..guests.process import GuestError, GuestProcess
from ..guests.protocol import Computed, Work
from ..record import Clock, Layout, Memory, Pass
from ..timing import NoTimingError, Stopwatch
from ..workload import Inputs, Workload
from .base import Rival

PYTHON_VARIABLE: Final = "PER_STEP_DENSE_GUEST_PYTHON"
"""Names the interpreter of all guests, for TensorFlow and torch often cannot share one; this
process's own where it is not set."""


class GuestRival(Rival):
    """One whose module in ``bench.guests`` imports another framework than torch."""

    module: ClassVar[str]
    """What ``python -m bench.guests`` serves."""
    packages: ClassVar[str]
    """What an interpreter without torch has to install."""
    seconds: float = 300.0
    """How long an answer may take; the longest is to trace a graph of a slice a step."""

    def __init__(self, python: str | None = None) -> None:
        self._python = python

    @property
    def python(self) -> str:
        """The guest's interpreter, which is started in another directory than this one."""
        named = self._python or os.environ.get(PYTHON_VARIABLE) or sys.executable
        found = shutil.which(named)
        return named if found is None else os.path.abspath(found)

    def why_not_installed(self) -> str | None:
        if self.python == sys.executable:
            why = super().why_not_installed()
            return why and f"{why}, or name a Python that has them in {PYTHON_VARIABLE}"
        try:
            missing = _missing(self.python, self.needs)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            return f"{self.python} does not run as the guests' Python: {error}"
        if not missing:
            return None
        return (
            f"needs {' and '.join(missing)} in {self.python}: "
            f"{self.python} -m pip install {self.packages}"
        )

    def why_not(self, workload: Workload) -> str | None:
        if workload.device.type != "cpu":
            return "is measured on CPUs only, where the wall clock is the clock of all rivals"
        if workload.case.dtype is not torch.float32:
            return "is measured in float32 only, which all cases of the CPU are in"
        return None

    def enter(
        self,
        workload: Workload,
        sets: Sequence[Inputs],
        stopwatches: Mapping[Clock, Stopwatch],
    ) -> GuestContestant:
        process = GuestProcess(self.python, self.module, self.seconds)
        return GuestContestant(process, workload, sets[0])


class LocallyConnected1D(GuestRival):
    """tf_keras.layers.LocallyConnected1D(O, k, s) in a tf.function; without windows (O, 1)."""

    name = "LocallyConnected1D"
    module = "bench.guests.keras2"
    needs = ("tensorflow", "tf_keras")
    install = "pip install '.[bench-keras]'"
    packages = "tensorflow tf-keras"


class EinsumDense(GuestRival):
    """keras.layers.EinsumDense("bti,tio->bto", (T, O), bias_axes="to") in a tf.function."""

    name = "EinsumDense"
    module = "bench.guests.keras3"
    needs = ("tensorflow", "keras")
    install = "pip install '.[bench-keras]'"
    packages = "tensorflow 'keras>=3'"


class JaxEinsum(GuestRival):
    """jax.jit of activation(jnp.einsum("bti,tio->bto", x, weight) + bias)."""

    name = "jax.jit(einsum)"
    module = "bench.guests.jax_einsum"
    needs = ("jax",)
    install = "pip install '.[bench-jax]'"
    packages = "jax"


class GuestContestant(Contestant):
    """Calls in a guest, timed by the guest, on as many threads as torch has when it is made."""

    def __init__(self, process: GuestProcess, workload: Workload, inputs: Inputs) -> None:
        self._process = process
        self._device = workload.device
        self._folder = TemporaryDirectory(prefix="per_step_dense_guest_")
        try:
            given = {"x": inputs.x, "weight": inputs.weight, "dy": inputs.dy}
            if inputs.bias is not None:
                given["bias"] = inputs.bias
            work = Work(
                folder=self._folder.name,
                shapes={name: list(tensor.shape) for name, tensor in given.items()},
                dtype=str(workload.case.dtype).removeprefix("torch."),
                computed=_COMPUTED[workload.computed],
                activation=workload.activation,
                threads=torch.get_num_threads(),
                kernel_size=workload.case.kernel_size,
                stride=workload.case.stride,
            )
            for name, tensor in given.items():
                _write(work.file(name), tensor)
            process.ask("prepare", work=work.as_json())
        except BaseException:
            self.close()
            raise

    @property
    def is_contiguous(self) -> bool:
        """All of them leave (B, T, O), whatever order their products are in."""
        return True

    def results(self) -> Results:
        described = self._process.ask("results")
        try:
            return Results(
                **{
                    name: _read(Path(self._folder.name, name), **described_as).to(self._device)
                    for name, described_as in described.items()
                }
            )
        except (TypeError, AttributeError) as error:
            raise GuestError(f"not the results of a guest: {described}") from error

    def turn(self, clock: Clock, layout: Layout, calls: int) -> float:
        if clock is not Clock.WALL:
            raise NoTimingError("times itself by the wall clock only")
        time.sleep(_SETTLE_SECONDS)
        return float(self._process.ask("turn", calls=calls))

    def memory(self) -> Memory | None:
        """Allocated by the framework's own allocator, out of sight."""
        return None

    def close(self) -> None:
        self._process.close()
        self._folder.cleanup()


_COMPUTED: Final[Mapping[Pass, Computed]] = {
    Pass.FORWARD: "forward",
    Pass.RECORDED: "recorded",
    Pass.BACKWARD: "backward",
    Pass.BOTH: "both",
}

# Idle threads of OpenMP, which torch computes with, spin before they sleep: for 5 to 9 ms of CPU
# time, as measured on 2 cores, which the guest would go without. Those of TensorFlow and XLA spin
# for a fraction of 1 ms.
_SETTLE_SECONDS = 0.01


def _write(path: Path, tensor: Tensor) -> None:
    """The elements in C order, by way of a map of the file: without numpy."""
    file = torch.from_file(str(path), shared=True, size=tensor.numel(), dtype=tensor.dtype)
    file.view(tensor.shape).copy_(tensor)


def _read(path: Path, dtype: str, shape: list[int]) -> Tensor:
    """What was written so, or by numpy's ``tofile``."""
    file = torch.from_file(str(path), shared=False, size=prod(shape), dtype=getattr(torch, dtype))
    return file.view(shape).clone()


@cache
def _missing(python: str, modules: tuple[str, ...]) -> tuple[str, ...]:
    """Those that another interpreter has not. It looks for them, but imports none."""
    script = (
        "import importlib.util, json, sys;"
        "print(json.dumps([m for m in sys.argv[1:] if importlib.util.find_spec(m) is None]))"
    )
    answer = subprocess.run(
        [python, "-c", script, *modules], capture_output=True, text=True, check=True, timeout=60
    )
    return tuple(json.loads(answer.stdout))
