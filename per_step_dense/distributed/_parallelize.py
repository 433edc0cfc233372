"""The short way to shard one layer."""

from __future__ import annotations

from typing import Final, Literal

from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import Placement
from torch.distributed.tensor.parallel import parallelize_module

from ..module import PerStepDense
from ._styles import InParallel, OutParallel, StepsParallel

_STYLES: Final[dict[str, type[StepsParallel | OutParallel | InParallel]]] = {
    "steps": StepsParallel,
    "out": OutParallel,
    "in": InParallel,
}


def parallelize(
    module: nn.Module,
    mesh: DeviceMesh,
    dim: Literal["steps", "out", "in"] = "steps",
    *,
    input_layouts: Placement | None = None,
    output_layouts: Placement | None = None,
    use_local_output: bool = True,
) -> PerStepDense:
    """Shards a layer over a mesh, in place: every process keeps its part of the parameters.

    As with ``parallelize_module``, the first process's parameters are those that are sharded, and
    an optimizer is made after this.

    Args:
        module: a :class:`per_step_dense.PerStepDense`; a layer on the meta device gets parameters
            there, for ``to_empty``.
        mesh: a mesh of one dimension, such as ``init_device_mesh("cuda", (8,))``, or one of a
            larger mesh's, ``mesh["steps"]``.
        dim: what is sharded: ``"steps"`` (:class:`StepsParallel`: no communication), ``"out"``
            (:class:`OutParallel`) or ``"in"`` (:class:`InParallel`).
        input_layouts: as in that class.
        output_layouts: likewise.
        use_local_output: likewise.

    Returns:
        The module.

    Raises:
        ValueError: an unknown ``dim``; a module, mesh or size that does not fit, as in that class.
        TypeError: a mesh or a layout of another type.

    Example:
        >>> mesh = init_device_mesh("cuda", (8,))
        >>> layer = parallelize(PerStepDense(1024, 336, 720), mesh)  # 128 steps each
        >>> y = layer(x)  # x (B, 128, 336), y (B, 128, 720)
    """
    if dim not in _STYLES:
        raise ValueError(
            f"per_step_dense: dim must be one of {', '.join(map(repr, _STYLES))}; got {dim!r}"
        )
    style = _STYLES[dim](
        input_layouts=input_layouts,
        output_layouts=output_layouts,
        use_local_output=use_local_output,
    )
    sharded = parallelize_module(module, mesh, style)
    assert isinstance(sharded, PerStepDense)
    return sharded
