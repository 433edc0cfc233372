"""What a run consists of: jobs, each of which makes one row of the record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Final, Literal

import torch

from per_step_dense._types import Activation

from .cases import Case
from .overhead import CLOCKS, one_thread, overhead_rivals, overhead_workloads
from .record import Pass, Record, Row, TrainingRow
from .rivals import Rival
from .row import Say, measure_row
from .timing import FULL, QUICK, Budget
from .training import LAYERS, MODELS, measure_model
from .workload import Workload

Section = Literal["rows", "overhead", "training", "windows", "ragged"]
SECTIONS: Final[tuple[Section, ...]] = ("rows", "overhead", "training", "windows", "ragged")

ARITHMETICS: Final = ("float32", "tf32", "float64", "float16", "bfloat16")


@dataclass(frozen=True)
class Job:
    """One row that is still to be measured."""

    section: Section
    key: tuple[object, ...]
    text: str
    run: Callable[[Say], Row | TrainingRow]

    def add_to(self, record: Record, row: Row | TrainingRow) -> Record:
        """The record with the row in its section."""
        return record.model_copy(update={self.section: (*getattr(record, self.section), row)})


@dataclass(frozen=True)
class Selection:
    """What of everything is to be measured."""

    device: torch.device
    cases: tuple[Case, ...]
    passes: tuple[Pass, ...]
    epilogues: tuple[tuple[bool, Activation | None], ...]
    """Whether there is a bias, and which activation."""
    rivals: tuple[Rival, ...]
    window_cases: tuple[Case, ...]
    window_rivals: tuple[Rival, ...]
    ragged_cases: tuple[Case, ...]
    ragged_rivals: tuple[Rival, ...]
    sections: tuple[Section, ...] = SECTIONS
    is_quick: bool = False
    row_seconds: float = 60.0

    @property
    def budget(self) -> Budget:
        """Of each rival and clock."""
        return QUICK if self.is_quick else FULL

    def jobs(self) -> Iterator[Job]:
        """In the order in which they are worth having: a run may be cut."""
        if "overhead" in self.sections:
            yield from self._overhead()
        if "rows" in self.sections:
            yield from self._rows(has_bias=True)
        if "training" in self.sections:
            yield from self._training()
        if "windows" in self.sections:
            yield from self._apart("windows", self.window_cases, self.window_rivals)
        if "ragged" in self.sections:
            yield from self._apart("ragged", self.ragged_cases, self.ragged_rivals)
        if "rows" in self.sections:
            yield from self._rows(has_bias=False)

    def arithmetics(self) -> set[str]:
        """Of all rows."""
        cases = (*self.cases, *self.window_cases, *self.ragged_cases)
        return {case.arithmetic for case in cases} | {"float32"}

    def _rows(self, *, has_bias: bool) -> Iterator[Job]:
        activations = [activation for bias, activation in self.epilogues if bias == has_bias]
        for activation, case, computed in product(activations, self.cases, self.passes):
            workload = Workload(case, self.device, computed, has_bias, activation)
            yield self._row("rows", workload, self.rivals)

    def _apart(
        self, section: Section, cases: Sequence[Case], rivals: Sequence[Rival]
    ) -> Iterator[Job]:
        """With the first epilogue alone: what follows the sums is nothing of the section's own."""
        for case, computed in product(cases, self.passes):
            workload = Workload(case, self.device, computed, *self.epilogues[0])
            yield self._row(section, workload, rivals)

    def _row(self, section: Section, workload: Workload, rivals: Sequence[Rival]) -> Job:
        run = partial(measure_row, workload, rivals, self.budget, self.row_seconds)
        return Job(section, workload.key, str(workload), run)

    def _overhead(self) -> Iterator[Job]:
        rivals = overhead_rivals(self.rivals)
        for workload in overhead_workloads(self.device):
            yield Job(
                "overhead",
                workload.key,
                str(workload),
                partial(self._measure_overhead, workload, rivals),
            )

    def _measure_overhead(self, workload: Workload, rivals: Sequence[Rival], say: Say) -> Row:
        with one_thread():
            return measure_row(workload, rivals, self.budget, self.row_seconds, say, CLOCKS)

    def _training(self) -> Iterator[Job]:
        for model in MODELS:
            run = partial(measure_model, model, LAYERS, self.device, self.budget)
            yield Job("training", (model.name,), model.name, run)


def in_arithmetic(case: Case, arithmetic: str) -> Case:
    """The same layer in another dtype, or with TF32."""
    is_tf32 = arithmetic == "tf32"
    dtype = torch.float32 if is_tf32 else getattr(torch, arithmetic)
    return replace(case, dtype=dtype, allows_tf32=is_tf32)
