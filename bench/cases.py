"""The sizes that the package is measured and explained on: other people's uses of such layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import torch

from . import lengths
from .lengths import DISTRIBUTIONS, Distribution
from .record import Sizes


@dataclass(frozen=True)
class Case:
    """One layer: x (B, T, I), weight (T, I, O), bias (T, O).

    Where a step sees a window of k steps, s steps on from the last one's, x has (T - 1) s + k steps
    and weight is (T, k I, O). Where samples differ in length, rows past them are padding.
    """

    name: str
    batch: int
    steps: int
    in_features: int
    out_features: int
    dtype: torch.dtype
    source: str
    """Who computes such a layer."""
    allows_tf32: bool = False
    """Whether float32's users ask for TF32."""
    kernel_size: int = 1
    stride: int = 1
    distribution: Distribution | None = None
    """Of the samples' lengths; None: all have T steps."""

    @property
    def is_ragged(self) -> bool:
        """Whether samples differ in length."""
        return self.distribution is not None

    @property
    def lengths(self) -> torch.Tensor:
        """The samples', the longest first: (B,), on the CPU."""
        if self.distribution is None:
            return torch.full((self.batch,), self.steps)
        return lengths.draw(self.distribution, self.batch, self.steps)

    @property
    def has_windows(self) -> bool:
        """Whether a step sees anything else than itself."""
        return (self.kernel_size, self.stride) != (1, 1)

    @property
    def sizes(self) -> Sizes:
        """As a record has them."""
        return Sizes(
            batch=self.batch,
            steps=self.steps,
            in_features=self.in_features,
            out_features=self.out_features,
            kernel_size=self.kernel_size,
            stride=self.stride,
            rows=int(self.lengths.sum()) if self.is_ragged else None,
        )

    @property
    def in_steps(self) -> int:
        """Of x: as many as the windows reach."""
        return self.sizes.in_steps

    @property
    def window_size(self) -> int:
        """The terms of a sum."""
        return self.sizes.window_size

    @property
    def arithmetic(self) -> str:
        """The dtype, or "tf32" where float32's products may be rounded to that."""
        return "tf32" if self.allows_tf32 else str(self.dtype).removeprefix("torch.")

    def tensors(
        self, device: torch.device | str
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """x, weight and bias with random values, or none on the device "meta"."""
        shapes = (
            (self.batch, self.in_steps, self.in_features),
            (self.steps, self.window_size, self.out_features),
            (self.steps, self.out_features),
        )
        x, weight, bias = (torch.randn(shape, dtype=self.dtype, device=device) for shape in shapes)
        return x, weight, bias


_F32, _F64 = torch.float32, torch.float64
_F16, _BF16 = torch.float16, torch.bfloat16

GPU_CASES: Final = (
    Case("seed", 32, 10, 4, 8, _F32, "examples/question.py"),
    Case("seed, big batch", 65536, 10, 4, 8, _F32, "the same with all of the data at once"),
    Case("LTSF electricity", 16, 321, 336, 96, _F32, "LTSF-Linear --individual, a layer a channel"),
    Case("LTSF traffic", 16, 862, 336, 720, _F32, "LTSF-Linear --individual", allows_tf32=True),
    Case("rtdl NLinear", 256, 54, 96, 24, _F32, "rtdl_num_embeddings, tabular data"),
    Case("rtdl NLinear, bf16", 1024, 136, 96, 24, _BF16, "rtdl_num_embeddings, tabular data"),
    Case("TabM packed", 256, 32, 512, 512, _F32, "TabM, an ensemble of 32", allows_tf32=True),
    Case("TabM packed, bf16", 1024, 32, 512, 512, _BF16, "TabM, an ensemble of 32"),
    Case("TabM head", 256, 32, 512, 1, _BF16, "TabM, one output a member"),
    Case("PETS ensemble", 256, 7, 200, 200, _F32, "mbrl-lib's EnsembleLinearLayer"),
    Case("FBGEMM default", 2048, 25, 256, 100, _F16, "FBGEMM's permute102_baddbmm_permute102"),
    Case("ads tower", 8192, 26, 512, 256, _BF16, "a tower for each feature"),
    Case("ads per-feature", 16384, 128, 64, 64, _BF16, "a layer for each feature"),
    Case("MLA absorb, decode", 64, 128, 512, 128, _BF16, "DeepGEMM's einsum bhd,hdr->bhr"),
    Case("GEMV", 1, 256, 1024, 1024, _BF16, "a stream of weights"),
    Case("weight stream B=8", 8, 256, 1024, 1024, _BF16, "a stream of weights"),
    Case("weight stream B=64", 64, 128, 2048, 1024, _BF16, "a stream of weights"),
    Case("pytorch #187093", 640, 32, 1024, 2048, _BF16, "pytorch issue 187093"),
    Case("compute", 8192, 16, 2048, 2048, _BF16, "the most products for the bytes"),
    Case("ragged", 1000, 37, 131, 77, _BF16, "no size a multiple of 8"),
    Case("I % 8 != 0", 4097, 24, 30, 50, _BF16, "rows of x 4-byte aligned, T * I a multiple of 8"),
    Case("daily", 333, 365, 63, 33, _F32, "a layer for each day of a year"),
    Case("float64", 1024, 12, 256, 256, _F64, "scientific computing"),
    Case("SGEMM", 4096, 8, 1024, 1024, _F32, "the most float32 products for the bytes"),
)

CPU_CASES: Final = (
    GPU_CASES[0],
    Case("hours", 256, 24, 32, 32, _F32, "a layer for each hour of a day"),
    Case("quarter hours", 256, 96, 64, 64, _F32, "electricity: 96 readings a day"),
    Case(
        "long sequence",
        64,
        512,
        128,
        128,
        _F32,
        "LocallyConnected1D over many steps, keras issue 10084",
    ),
    Case("towers", 4096, 16, 64, 64, _F32, "a tower for each of 16 features"),
    Case("TabM, batch 128", 128, 32, 512, 512, _F32, "TabM, an ensemble of 32"),
)


def _windowed(name: str, case: Case, source: str, stride: int = 1) -> Case:
    return replace(case, name=name, source=source, kernel_size=3, stride=stride)


WINDOW_CASES: Final = (
    _windowed("seed, k=3", CPU_CASES[0], "examples/question.py, each step with its neighbours"),
    _windowed("seed, k=3, s=2", CPU_CASES[0], "the same on every second step", 2),
    _windowed("quarter hours, k=3", CPU_CASES[2], "electricity: 45 minutes at a time"),
    _windowed("quarter hours, k=3, s=2", CPU_CASES[2], "the same, a step each half an hour", 2),
    _windowed("long sequence, k=3", CPU_CASES[3], "LocallyConnected1D, keras issue 10084"),
    _windowed("long sequence, k=3, s=2", CPU_CASES[3], "the same on every second step", 2),
)
"""Of locally connected layers, on any device; computed by rivals of their own."""


def _ragged(*cases: Case) -> tuple[Case, ...]:
    return tuple(
        replace(case, name=f"{case.name}, {distribution}", distribution=distribution)
        for case in cases
        for distribution in DISTRIBUTIONS
    )


_RAGGED: Final = {
    "cpu": _ragged(*CPU_CASES[:4]),
    "cuda": _ragged(
        Case("clicks", 4096, 128, 64, 64, _BF16, "sessions of a shop, a layer for each click"),
        Case("documents", 512, 512, 256, 256, _BF16, "texts, a layer for each position"),
        Case("wide", 2048, 32, 1024, 1024, _BF16, "the most products for the bytes"),
        Case("days", 333, 365, 64, 32, _F32, "a layer for each day of a year so far"),
    ),
}


def ragged_cases_for(device: str) -> tuple[Case, ...]:
    """Of samples that differ in length: four layers, with each distribution of lengths."""
    return _RAGGED[device]


CASES: Final = (
    *GPU_CASES,
    *CPU_CASES[1:],
    *WINDOW_CASES,
    *ragged_cases_for("cpu"),
    *ragged_cases_for("cuda"),
)


def cases_for(device: str) -> tuple[Case, ...]:
    """Those of the GPU's 24 or the CPU's six."""
    return GPU_CASES if device == "cuda" else CPU_CASES


_QUICK_NAMES: Final = (
    "seed",
    "LTSF electricity",
    "rtdl NLinear, bf16",
    "TabM packed, bf16",
    "PETS ensemble",
    "ads per-feature",
    "weight stream B=8",
    "pytorch #187093",
)

QUICK_CASES: Final = {
    "cuda": tuple(case for case in GPU_CASES if case.name in _QUICK_NAMES),
    "cpu": CPU_CASES[:3],
}
"""A few of each kind: launch-, memory- and compute-bound."""

QUICK_WINDOW_CASES: Final = WINDOW_CASES[:2]

QUICK_RAGGED_CASES: Final = {device: cases[:2] for device, cases in _RAGGED.items()}
