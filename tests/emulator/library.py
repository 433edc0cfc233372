"""The emulator's library and its operations on CPU tensors."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from . import structs
from .build import build_library
from .guarded import Output, new_output
from .sources import Instantiation

NO_ENCODER = -1  # bridge.h has it, too

Rows = tuple[Sequence[int], Sequence[int]]  # begin and count of each step


class EmulatorError(RuntimeError):
    """A kernel did what it must not.

    Attributes:
        kind: What it did: "deadlock", "smem-oob", "gmem-write", ... README.md has the list.
        message: Where, and what exactly.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind
        self.message = message


class Library:
    """One build of the kernels.

    Every operation takes `schedule`, an index or a name of `schedules`: which interleaving of the
    threads and engines to run. Inputs may have any strides; nothing outside them is readable.

    `outputs`, a name of guarded.LAYOUTS or sparse.LAYOUTS, says how the results lie in memory.

    forward and backward also take what a caller may wish of the chooser: `kernel`, a name of
    `families`; `tile`, an index into its tiles, -1 for any; `splits`, of the forward's or
    grad-input's sum and of grad-weight's, 0 for any; `arch`, 90 for sm_90; `sms`, the
    multiprocessors that a persistent grid fills, 0 for the architecture's. With `tf32`, products of
    float32 may round to tfloat32.

    With `rows`, the first row and the count of each step, tensors of the batch may have no steps:
    x is (B, I) and y (B, O). Rows of no step may be neither read nor written; they stay NaN.

    Attributes:
        schedules: The names of all schedules.
        families: The names of the families of kernels, and of what stands beside them.
        counters: Of the last run: launches, blocks, and what the engines did.
        kernels: The mangled names of the first kernels that the last run launched.
        choice: Of the last forward or backward: family, tile, splits.
        plan: What that came to: blocks, threads, smem_bytes, cluster, launches, workspace_bytes. A
            run that does anything else is an EmulatorError of the kind "plan".
        instantiations: Those that forward and backward have run so far.
    """

    def __init__(self, path: Path) -> None:
        self._library = ctypes.CDLL(str(path))
        self._library.emulator_schedule_name.restype = ctypes.c_char_p
        self._library.emulator_activation_name.restype = ctypes.c_char_p
        self._library.emulator_behaviour_name.restype = ctypes.c_char_p
        self._library.emulator_family_name.restype = ctypes.c_char_p
        self._library.emulator_tile_facts.restype = ctypes.c_bool
        self._library.emulator_share_a_plan.restype = ctypes.c_bool
        self._library.emulator_bytes_of.restype = ctypes.c_double
        self._library.emulator_struct_bytes.restype = ctypes.c_size_t
        self._library.emulator_schedule_count.restype = ctypes.c_size_t
        self._check_structs()
        self.schedules = tuple(
            self._library.emulator_schedule_name(ctypes.c_size_t(index)).decode()
            for index in range(self._library.emulator_schedule_count())
        )
        self.activations = tuple(_names(self._library.emulator_activation_name))
        self.behaviours = tuple(_names(self._library.emulator_behaviour_name))
        self.families = tuple(_names(self._library.emulator_family_name))
        self.counters = structs.Counters()
        self.kernels: tuple[str, ...] = ()
        self.choice = structs.Choice()
        self.plan = structs.LaunchPlan()
        self.instantiations: set[Instantiation] = set()

    def tiles(
        self, family: str, dtype: torch.dtype, *, tf32: bool = False
    ) -> tuple[structs.TileFacts, ...]:
        """The tiles that a family is compiled with for a dtype, by their index."""
        return tuple(self._tiles(self.families.index(family), structs.dtype_index(dtype, tf32)))

    def _tiles(self, family: int, dtype: int) -> Iterator[structs.TileFacts]:
        for index in itertools.count():
            facts = structs.TileFacts()
            if not self._library.emulator_tile_facts(family, dtype, index, ctypes.byref(facts)):
                return
            yield facts

    def forward(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None = None,
        activation: str = "none",
        *,
        want_z: bool = False,
        rows: Rows | None = None,
        tf32: bool = False,
        outputs: str = "contiguous",
        outputs_of_z: str | None = None,
        schedule: int | str = 0,
        **wishes: Any,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """y and, if wanted, the value z before the activation, which may lie otherwise than y."""
        t, i, o = weight.shape
        y = new_output((*x.shape[:-1], o), x.dtype, outputs)
        z = new_output(y.tensor.shape, x.dtype, outputs_of_z or outputs) if want_z else None
        ranges = _ranges(rows)
        problem = structs.ForwardProblem(
            *(x.shape[0], t, i, o),
            structs.dtype_index(x.dtype, tf32),
            self.activations.index(activation),
            structs.row_ranges(*ranges),
            structs.view3(_with_steps(x)),
            structs.view3(weight),
            structs.view2(bias),
            structs.view3(_with_steps(y.tensor)),
            structs.view3(_with_steps(_tensor(z))),
        )
        self._run_chosen("emulator_forward", problem, wishes, schedule=schedule, outputs=(y, z))
        return y.tensor, _tensor(z)

    def backward(
        self,
        dz: torch.Tensor,
        x: torch.Tensor,
        weight: torch.Tensor,
        mask: tuple[bool, bool, bool] = (True, True, True),
        *,
        rows: Rows | None = None,
        tf32: bool = False,
        outputs: str = "contiguous",
        added_to: tuple[torch.Tensor, torch.Tensor] | None = None,
        schedule: int | str = 0,
        **wishes: Any,
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """dx, dweight, dbias; None where the mask says that it is not wanted.

        With `added_to`, dweight and dbias are added to copies of these two, of the dtype of dz or
        of float32.
        """
        t, i, o = weight.shape
        dtype = dz.dtype if added_to is None else added_to[0].dtype
        results = [
            new_output(shape, own_dtype, outputs) if wanted else None
            for shape, own_dtype, wanted in zip(
                (x.shape, (t, i, o), (t, o)), (dz.dtype, dtype, dtype), mask, strict=True
            )
        ]
        dx, dweight, dbias = (_tensor(result) for result in results)
        for gradient, old in zip((dweight, dbias), added_to or (), strict=False):
            if gradient is not None:
                gradient.copy_(old)
        ranges = _ranges(rows)
        problem = structs.BackwardProblem(
            *(x.shape[0], t, i, o),
            structs.dtype_index(dz.dtype, tf32),
            structs.accumulation(dz.dtype, None if added_to is None else dtype),
            structs.row_ranges(*ranges),
            *map(structs.view3, (_with_steps(dz), _with_steps(x), weight)),
            *map(structs.view3, (_with_steps(dx), dweight)),
            structs.view2(dbias),
        )
        self._run_chosen("emulator_backward", problem, wishes, schedule=schedule, outputs=results)
        return dx, dweight, dbias

    def share_a_plan(self, one: structs.BackwardProblem, other: structs.BackwardProblem) -> bool:
        """Whether the plan cache takes one for the other."""
        return bool(self._library.emulator_share_a_plan(ctypes.byref(one), ctypes.byref(other)))

    def bytes_of(self, problem: structs.BackwardProblem) -> float:
        """What the cost model counts as read and written."""
        return float(self._library.emulator_bytes_of(ctypes.byref(problem)))

    def activation_backward(
        self,
        dy: torch.Tensor,
        saved: torch.Tensor,
        activation: str,
        *,
        outputs: str = "contiguous",
        schedule: int | str = 0,
    ) -> torch.Tensor:
        """dz = dy * activation'(saved)."""
        dz = new_output(dy.shape, dy.dtype, outputs)
        problem = structs.ActivationBackwardProblem(
            *dy.shape,
            *(structs.DTYPES[dy.dtype], self.activations.index(activation)),
            *(structs.view3(dy), structs.view3(saved), structs.view3(dz.tensor)),
        )
        self._run("emulator_activation_backward", problem, schedule=schedule, outputs=(dz,))
        return dz.tensor

    def example_gemm(
        self,
        kernel: str,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        *,
        schedule: int | str = 0,
    ) -> torch.Tensor:
        """x @ weight + bias in bfloat16 by "mma_sync" or "wgmma_<columns>x<consumers>"."""
        b, t, i = x.shape
        o = weight.shape[2]
        y = new_output((b, t, o), x.dtype)
        bias_pointer = None if bias is None else bias.data_ptr()
        problem = structs.ExampleGemm(
            *(b, t, i, o), x.data_ptr(), weight.data_ptr(), bias_pointer, y.tensor.data_ptr()
        )
        if kernel == "mma_sync":
            self._run("emulator_mma_sync_gemm", problem, schedule=schedule, outputs=(y,))
        else:
            tile = (int(size) for size in kernel.removeprefix("wgmma_").split("x"))
            self._run("emulator_wgmma_gemm", problem, *tile, schedule=schedule, outputs=(y,))
        return y.tensor

    def behaviour(self, name: str, *, schedule: int | str = 0) -> None:
        """A small kernel that shows one behaviour of the emulator."""
        self._run("emulator_behaviour", name.encode(), schedule=schedule, outputs=())

    @contextlib.contextmanager
    def driver(self, state: int) -> Iterator[None]:
        """Meanwhile, CUDA's driver has NO_ENCODER of tensor maps, or all that its encoder says is a
        CUresult."""
        self._library.emulator_set_driver(state)
        try:
            yield
        finally:
            self._library.emulator_set_driver(0)

    @contextlib.contextmanager
    def failing_launch(self, launch: int, error: int) -> Iterator[None]:
        """Meanwhile, the launch of this number of every call, counted from 0, is a cudaError."""
        self._library.emulator_fail_launch(launch, error)
        try:
            yield
        finally:
            self._library.emulator_fail_launch(-1, 0)

    @contextlib.contextmanager
    def blocks(self, *blocks: int) -> Iterator[None]:
        """Meanwhile, of every grid these blocks alone run, and outputs may stay unwritten."""
        run = self._library.emulator_run_blocks
        run((ctypes.c_uint32 * len(blocks))(*blocks), ctypes.c_size_t(len(blocks)))
        try:
            yield
        finally:
            run(None, ctypes.c_size_t(0))

    def encode(self, request: structs.EncodeRequest) -> int:
        """The CUresult that encoding a tensor map comes to, or NO_ENCODER."""
        return int(self._library.emulator_encode(ctypes.byref(request)))

    def convert(self, function: str, values: torch.Tensor, results: torch.Tensor) -> None:
        """Elements from one type to another, as the shadow headers do: "widen_float16", ..."""
        convert = getattr(self._library, f"emulator_{function}")
        pointers = (ctypes.c_void_p(tensor.data_ptr()) for tensor in (values, results))
        convert(*pointers, ctypes.c_size_t(values.numel()))

    def release_stacks(self) -> None:
        """Gives back what the emulated threads ran on, until the next run: a process with hundreds
        of libraries would come to the system's limit of mappings."""
        self._library.emulator_release_stacks()

    def _run_chosen(
        self,
        function: str,
        problem: ctypes.Structure,
        wishes: dict[str, Any],
        *,
        schedule: int | str,
        outputs: Sequence[Output | None],
    ) -> None:
        decision = structs.KernelDecision()
        request = self._request(**wishes)
        try:
            self._run(
                function,
                problem,
                ctypes.byref(request),
                after=(ctypes.byref(decision),),
                schedule=schedule,
                outputs=outputs,
            )
        finally:
            self.choice, self.plan = decision.choice, decision.plan
        family, dtype = self.families[self.choice.family], structs.TYPES[problem.dtype]
        self.instantiations.add(Instantiation(family, dtype, self.choice.tile))

    def _request(
        self,
        kernel: str = "auto",
        tile: int = -1,
        splits: tuple[int, int] = (0, 0),
        arch: int = 90,
        sms: int = 0,
    ) -> structs.KernelRequest:
        return structs.KernelRequest(self.families.index(kernel), tile, splits, arch, sms)

    def _run(
        self,
        function: str,
        problem: ctypes.Structure | bytes,
        *arguments: Any,
        after: Sequence[Any] = (),
        schedule: int | str,
        outputs: Sequence[Output | None],
    ) -> None:
        index = self.schedules.index(schedule) if isinstance(schedule, str) else schedule
        if not 0 <= index < len(self.schedules):
            raise ValueError(f"there are {len(self.schedules)} schedules; got {schedule}")
        report = structs.Report()
        pointer = problem if isinstance(problem, bytes) else ctypes.byref(problem)
        run = getattr(self._library, function)
        run.restype = None
        run(pointer, *arguments, ctypes.c_size_t(index), *after, ctypes.byref(report))
        self.counters = report.counters
        names = (bytes(name).split(b"\0", 1)[0].decode() for name in report.kernel)
        self.kernels = tuple(name for name in names if name)
        if not report.ok:
            raise EmulatorError(report.kind.decode(), report.message.decode())
        if not all(output.has_intact_guards() for output in outputs if output is not None):
            raise EmulatorError("guard", "something wrote beside an output")

    def _check_structs(self) -> None:
        for name in (
            "ForwardProblem",
            "BackwardProblem",
            "ActivationBackwardProblem",
            "ExampleGemm",
            "KernelRequest",
            "KernelDecision",
            "TileFacts",
            "EncodeRequest",
            "Report",
        ):
            theirs = self._library.emulator_struct_bytes(name.encode())
            ours = ctypes.sizeof(getattr(structs, name))
            if theirs != ours:
                raise TypeError(f"structs.{name} has {ours} bytes, the C++ struct has {theirs}")


@functools.cache
def default_library() -> Library:
    """The build of this checkout's kernels."""
    return Library(build_library())


def schedules() -> tuple[str, ...]:
    """The names of all schedules."""
    return default_library().schedules


def _tensor(output: Output | None) -> torch.Tensor | None:
    return None if output is None else output.tensor


def _ranges(rows: Rows | None) -> tuple[torch.Tensor | None, torch.Tensor | None]:
    if rows is None:
        return None, None
    begin, count = (torch.tensor(values, dtype=torch.int64) for values in rows)
    return begin, count


def _with_steps(tensor: torch.Tensor | None) -> torch.Tensor | None:
    """Rows that belong to steps by ranges alone lie at the same place at every step."""
    if tensor is None or tensor.dim() == 3:
        return tensor
    return tensor.as_strided(
        (len(tensor), 1, tensor.size(1)), (tensor.stride(0), 0, tensor.stride(1))
    )


def _names(name_at: Any) -> Iterator[str]:
    index = 0
    while (name := name_at(index)) is not None:
        yield name.decode()
        index += 1
