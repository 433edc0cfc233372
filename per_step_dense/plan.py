"""What a call would run, and why."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from . import _ops
from ._checks import (
    check_activation,
    check_are_alike,
    check_are_dense_tensors,
    check_shapes,
    is_dtensor,
)
from ._types import Activation
from .kernels import in_force


@dataclass(frozen=True)
class Plan:
    """What a call would run, by :func:`explain`; ``str()`` of it is for reading.

    What does not apply is None: ATen and the reference have no tile, the CPU has no estimate.
    """

    kernel: str
    """The family: ``"simt"``, ``"tiny"``, ``"sm80"``, ``"sm90"``, ``"aten"`` (batched products)
    or ``"reference"``; on the CPU also ``"avx2"`` and ``"batch_invariant"``; of a backward by two
    of them, ``"sm90+sm80"``."""

    tile: str | None
    """Which of the family's compiled tiles, such as ``"64x64"``; where a backward cuts the gradient
    of weight otherwise than that of x, both: ``"16x128+64x128"``; where the blocks of a cluster
    compute neighbours, so many times: ``"2x128x256"``."""

    stages: int | None
    """Of operands that a block has under way or at hand; of a backward, the gradient of x's."""

    grid: tuple[int, int, int] | None
    """Blocks of the main launch."""

    threads: int | None
    """Threads a block."""

    cluster: int | None
    """Blocks that run together and fetch for each other; 1 where each is alone."""

    smem_bytes: int | None
    """Dynamic shared memory a block."""

    splits: tuple[int, ...]
    """Between how many blocks a sum is split: the forward's, or those of the gradients of x and of
    weight."""

    launches: int
    """Kernels launched, in all; 0 on the CPU."""

    flops: int
    """Multiplications and additions of the products."""

    bytes: int
    """Every input read once and every output written once; expanded dimensions count once."""

    workspace_bytes: int
    """Memory for partial sums, and for a gradient that has to be copied first, freed after the
    call."""

    floor_us: float | None
    """The least time: flops and bytes at the rates that the GPU reaches, without the launch."""

    estimate_us: float | None
    """What the cost model expects, launches included; ranks kernels, and is no measurement."""

    architecture: str | None
    """The GPU that this holds for, such as ``"sm_90"``."""

    reason: str
    """Why this kernel, and why no other."""

    backward: Plan | None = None
    """The plan of all gradients together; None in a backward's own plan, and where the kernel that
    was asked for has no backward of these sizes."""

    parts: tuple[Plan, ...] = ()
    """Of a backward that is not one launch but one for each product: the plan of the gradient of x,
    and that of weight's and the bias's. They have the tile, the grid and the splits, this one has
    not."""

    def __str__(self) -> str:
        """A few lines."""
        lines = [self._headline(), f"  work      {self._work()}"]
        if self.stages is not None:
            clusters = f", clusters of {self.cluster}" if self.cluster != 1 else ""
            lines.append(f"  pipeline  {_count(self.stages, 'stage', 'stages')}{clusters}")
        if self.floor_us is not None and self.estimate_us is not None:
            lines.append(
                f"  time      {self.floor_us:.3g} us floor, {self.estimate_us:.3g} us estimated"
            )
        lines += textwrap.wrap(
            self.reason, width=96, initial_indent="  why       ", subsequent_indent=" " * 12
        )
        for name, part in zip(("gradient of x", "gradient of weight"), self.parts, strict=False):
            lines.append(f"{name}:\n{textwrap.indent(str(part), '  ')}")
        if self.backward is not None:
            backward = textwrap.indent(str(self.backward), "  ")
            lines.append(f"backward:\n{backward}")
        return "\n".join(lines)

    def _headline(self) -> str:
        name = self.kernel if self.tile is None else f"{self.kernel} {self.tile}"
        where = "" if self.architecture is None else f" on {self.architecture}"
        if self.grid is None:
            return f"{name}{where}: {_count(self.launches, 'launch', 'launches')}"
        return (
            f"{name}{where}: {_count(self.launches, 'launch', 'launches')}, "
            f"{_count(self.grid[0], 'block', 'blocks')} of {self.threads} threads, "
            f"{self.smem_bytes} bytes of shared memory each"
        )

    def _work(self) -> str:
        parts = [f"{self.flops / 1e9:.3g} GFLOP", f"{self.bytes / 1e6:.3g} MB"]
        if any(count > 1 for count in self.splits):
            splits = " and ".join(map(str, self.splits))
            parts.append(f"sums split by {splits}, workspace {self.workspace_bytes / 1e6:.3g} MB")
        return ", ".join(parts)


def explain(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    activation: Activation | None = None,
    arch: str | None = None,
) -> Plan:
    """Says what ``per_step_dense`` with these arguments would run, without running it.

    No GPU is needed: with ``arch`` the tensors may be anywhere, meta and fake tensors included, of
    which sizes, strides, storage offset and dtype are looked at. Autocast, ``use_kernel`` and
    ``torch.backends.cuda.matmul.fp32_precision`` count as in the call.

    Args:
        x: as for :func:`per_step_dense.per_step_dense`.
        weight: likewise.
        bias: likewise.
        activation: likewise.
        arch: a GPU architecture such as ``"sm_90"``; None takes the device of ``x``.

    Returns:
        The plan of the forward; its ``backward`` is that of all gradients.

    Raises:
        ValueError: an unknown architecture, one that the kernels cannot run on, or none given for
            meta tensors; and all that the call itself would raise.
        TypeError: as the call, or an ``arch`` that is no string.

    Example:
        >>> x, weight = torch.empty(32, 10, 4, device="meta"), torch.empty(10, 4, 8, device="meta")
        >>> explain(x, weight, arch="sm_90").launches
        1
    """
    check_activation(activation)
    check_are_dense_tensors(x, weight, bias)
    for name, tensor in (("x", x), ("weight", weight), ("bias", bias)):
        if is_dtensor(tensor):
            raise ValueError(
                f"per_step_dense: {name} must be what one process computes with, a plain tensor "
                f"({name}.to_local() is one); got a DTensor"
            )
    if arch is not None and not isinstance(arch, str):
        raise TypeError(
            f"per_step_dense: arch must be None or a str such as 'sm_90'; got {type(arch).__name__}"
        )
    if _ops.compiled is None:
        return _reference_plan(x, weight, bias, arch)
    name = "none" if activation is None else activation
    forward, backward = _ops.compiled.explain(x, weight, bias, name, arch, in_force.name)
    return replace(_plan(forward), backward=None if backward is None else _plan(backward))


def _plan(fields: dict[str, Any]) -> Plan:
    parts = tuple(_plan(part) for part in fields.pop("parts"))
    return Plan(**fields, parts=parts)


def _reference_plan(x: Tensor, weight: Tensor, bias: Tensor | None, arch: str | None) -> Plan:
    """All there is without the compiled module, which holds the chooser."""
    if arch is not None:
        raise ValueError(
            "per_step_dense: arch needs the compiled module, which is missing "
            f"({_ops.missing_reason}); got {arch!r}"
        )
    check_are_alike(x, weight, bias)
    check_shapes(x, weight, bias)
    outputs = x.numel() // max(x.size(-1), 1) * weight.size(2)
    flops = 2 * outputs * x.size(-1)
    inputs = sum(tensor.numel() for tensor in (x, weight, bias) if tensor is not None)
    return Plan(
        kernel="reference",
        tile=None,
        grid=None,
        stages=None,
        threads=None,
        cluster=None,
        smem_bytes=None,
        splits=(),
        launches=0,
        flops=flops,
        bytes=(inputs + outputs) * x.element_size(),
        workspace_bytes=0,
        floor_us=None,
        estimate_us=None,
        architecture=None,
        reason=f"torch.einsum, for the compiled module is missing ({_ops.missing_reason})",
    )


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"
