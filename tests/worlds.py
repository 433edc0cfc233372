"""Worlds of processes with gloo between them, kept alive from test to test.

A test hands a function of a module to every process of a world and gets its results, in the order
of the ranks. What fails in any of them fails the test, with that process's traceback. A world that
failed, or does not answer in time, is replaced by a new one.
"""

from __future__ import annotations

import multiprocessing
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Final

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

TIMEOUT_S: Final = 120
TIMEOUT_AFTER_A_FAILURE_S: Final = 2  # the others may wait for the one that failed

# One process that has imported all that takes long, and forks the others.
_server: Final = multiprocessing.get_context("forkserver")


class World:
    """So many processes, ranks of one process group."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._processes: list[Any] = []
        self._connections: list[Connection] = []
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """What ``function(*args)`` returns on every rank."""
        if not self._processes:
            self._start()
        answers: dict[int, Any] = {}
        failures: dict[int, str] = {}
        try:
            for connection in self._connections:
                connection.send((function, args))
            self._collect(answers, failures)
        finally:
            if len(answers) < self.size:
                self.stop()
        if failures:
            raise AssertionError("\n".join(f"rank {r}: {text}" for r, text in failures.items()))
        return [answers[rank] for rank in range(self.size)]

    def stop(self) -> None:
        for connection in self._connections:
            connection.close()  # who waits for work ends of itself, and leaves what it measured
        for process in self._processes:
            process.join(TIMEOUT_AFTER_A_FAILURE_S)
            process.kill()
            process.join()
        self._processes, self._connections = [], []
        if self._folder is not None:
            self._folder.cleanup()

    def _start(self) -> None:
        _server.set_forkserver_preload(["torch.distributed.tensor.parallel", "per_step_dense"])
        self._folder = tempfile.TemporaryDirectory(prefix="world")
        store = Path(self._folder.name) / "store"
        for rank in range(self.size):
            ours, theirs = _server.Pipe()
            process = _server.Process(
                target=_serve, args=(rank, self.size, store, theirs), daemon=True
            )
            process.start()
            theirs.close()
            self._processes.append(process)
            self._connections.append(ours)

    def _collect(self, answers: dict[int, Any], failures: dict[int, str]) -> None:
        waiting: dict[Any, int] = {each: rank for rank, each in enumerate(self._connections)}
        until = time.monotonic() + TIMEOUT_S
        while waiting:
            ready = wait(list(waiting), max(until - time.monotonic(), 0))
            if not ready:
                failures.update({rank: "no answer in time" for rank in waiting.values()})
                return
            for connection in ready:
                rank = waiting.pop(connection)
                try:
                    is_fine, answer = connection.recv()
                except EOFError:
                    is_fine, answer = False, "has ended"
                if is_fine:
                    answers[rank] = answer
                else:
                    failures[rank] = answer
                    until = time.monotonic() + TIMEOUT_AFTER_A_FAILURE_S


def mesh_of(*sizes: int, names: tuple[str, ...] | None = None) -> DeviceMesh:
    """Of the world's first processes; its dimensions are named d0, d1 unless otherwise."""
    return init_device_mesh(
        "cpu", sizes, mesh_dim_names=names or tuple(f"d{k}" for k in range(len(sizes)))
    )


def _serve(rank: int, size: int, store: Path, connection: Connection) -> None:
    warnings.simplefilter("error")
    # torch.distributed.checkpoint's own, in torch 2.10.
    warnings.filterwarnings("ignore", "TypedStorage is deprecated")
    # Of a sharded layer's output, DTensor.to_local() is a view, as of torch's own styles.
    warnings.filterwarnings("ignore", r"FSDP2-wrapped module .* returned a view tensor")
    # torch.compile's own doings.
    warnings.filterwarnings("ignore", r"The \.grad attribute of a Tensor that is not a leaf")
    warnings.filterwarnings("ignore", r".* should not be instantiated", DeprecationWarning)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    while True:
        try:
            function, args = connection.recv()
        except EOFError:
            return
        torch.manual_seed(20)
        try:
            connection.send((True, function(*args)))
        except BaseException:
            connection.send((False, traceback.format_exc()))
