"""Options and fixtures of all tests."""

from __future__ import annotations

import gc
import os
import zlib
from collections.abc import Generator, Iterator
from typing import NamedTuple

import pytest

# Several test processes share the cores: a thread that waits for another must not keep one busy.
# OpenMP reads it when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# What cuBLAS wants before torch.use_deterministic_algorithms lets it run.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch
from fuzz import profiles
from worlds import World

profiles.register()

# Where coverage is measured, it is not for these, nor for what takes turns: the others run every
# line of the package, whatever the day. torch's compilers and tests that start Python take two to
# three times as long to measure.
NOT_MEASURED = (
    *("test_bench_g", "test_bench_p", "test_bench_r", "test_bench_s", "test_compile"),
    *("test_emulat", "test_fuzz_", "test_gpu_check", "test_interrupted"),
    *("test_onnx", "test_registration", "test_use_kernel_compiled"),
)

# Of a minute a test: these begin first, or in the end a core waits for one of them on another.
LONGEST = ("test_bench_command", "test_cuda_build", "test_examples", "test_keras_backends")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--require-gpu",
        action="store_true",
        help="fail the tests that need a GPU, rather than skip them, where there is none",
    )
    parser.addoption("--only-gpu", action="store_true", help="run no other tests than those")
    parser.addoption(
        "--turn",
        type=Turn.parsed,
        metavar="K/N",
        help="of the tests that are marked so, run one in N; K from 0 on says which",
    )
    parser.addoption("--all-in-turn", action="store_true", help="as if all tests were marked so")


class Turn(NamedTuple):
    """Of tests of which not all are run each time, those that are."""

    number: int
    of: int

    @classmethod
    def parsed(cls, text: str) -> Turn:
        turn = cls(*map(int, text.split("/")))
        if not 0 <= turn.number < turn.of:
            raise ValueError(text)
        return turn

    def is_of(self, name: str) -> bool:
        return zlib.crc32(name.encode()) % self.of == self.number


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays, and there is much of it for Python to look through in vain."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    turn = config.getoption("--turn")

    def is_run(item: pytest.Item) -> bool:
        if config.getoption("--only-gpu") and not needs_gpu(item):
            return False
        in_turn = config.getoption("--all-in-turn") or item.get_closest_marker("in_turn")
        return not (turn and in_turn) or turn.is_of(item.nodeid)

    config.hook.pytest_deselected(items=[item for item in items if not is_run(item)])
    items[:] = [item for item in items if is_run(item)]
    items.sort(key=lambda item: item.path.stem not in LONGEST)


def is_measured(item: pytest.Item) -> bool:
    return not (item.path.name.startswith(NOT_MEASURED) or item.get_closest_marker("in_turn"))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> None:
    """Measures coverage or not, through tests that follow one another: pytest-cov's "no_cover"
    is of a test's call alone, and pytest takes as long around it.
    """
    measuring = getattr(item.config.pluginmanager.getplugin("_cov"), "cov_controller", None)
    if measuring and measuring.started != is_measured(item):
        (measuring.pause if measuring.started else measuring.resume)()


def needs_gpu(item: pytest.Item) -> bool:
    """Whether it asks for one of the fixtures below, or is the CUDA one of both devices'."""
    if not isinstance(item, pytest.Function):
        return False
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    return "gpu" in item.fixturenames or parameters.get("device") == "cuda"


def pytest_report_header() -> str:
    if torch.cuda.is_available():
        return f"GPU: {torch.cuda.get_device_name()}"
    return "GPU: none; the tests that need one are skipped"


@pytest.fixture(params=["cpu", "cuda"])
def device(request: pytest.FixtureRequest) -> torch.device:
    """Both kinds of device, one test each."""
    if request.param == "cuda":
        request.getfixturevalue("gpu")
    return torch.device(request.param)


@pytest.fixture
def gpu(request: pytest.FixtureRequest) -> torch.device:
    """A CUDA device; without one the test is skipped, or fails under --require-gpu."""
    if not torch.cuda.is_available():
        if request.config.getoption("--require-gpu"):
            pytest.fail("needs a GPU, and --require-gpu is given", pytrace=False)
        pytest.skip("needs a GPU")
    return torch.device("cuda", torch.cuda.current_device())


@pytest.fixture
def hopper(gpu: torch.device) -> torch.device:
    """A GPU that sm90 runs on; another one skips the test."""
    if torch.cuda.get_device_capability(gpu) != (9, 0):
        pytest.skip("sm90 needs compute capability 9.0")
    return gpu


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many for torch to compute on."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def measured_or_not(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the test, so for the processes that it starts."""
    if not is_measured(request.node):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def same_random_numbers() -> None:
    """Every test draws from the same seed, whichever tests ran before it."""
    torch.manual_seed(20)


@pytest.fixture(scope="session")
def two() -> Iterator[World]:
    """Two processes with gloo between them."""
    yield from world_of(2)


@pytest.fixture(scope="session")
def four() -> Iterator[World]:
    """Four such processes."""
    yield from world_of(4)


@pytest.fixture(params=["two", "four"])
def world(request: pytest.FixtureRequest) -> World:
    """Each of these, one test each."""
    world: World = request.getfixturevalue(request.param)
    return world


def world_of(size: int) -> Iterator[World]:
    if not (torch.distributed.is_available() and torch.distributed.is_gloo_available()):
        pytest.skip("needs torch.distributed with gloo")
    world = World(size)
    yield world
    world.stop()
