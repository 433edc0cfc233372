"""How one layer is sharded: what ``torch.distributed.tensor.parallel.parallelize_module`` takes."""

from __future__ import annotations

from abc import abstractmethod
from functools import partial
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import (
    DTensor,
    Placement,
    Replicate,
    Shard,
    distribute_module,
    distribute_tensor,
)
from torch.distributed.tensor.parallel import ParallelStyle

from ..module import PerStepDense


class Layout(NamedTuple):
    """Where a style puts a layer's tensors."""

    size: int  # what the mesh has to divide
    weight: Placement  # (*steps, I, O)
    bias: Placement  # (*steps, O)
    input: Placement  # (*, *steps, I)
    output: Placement  # (*, *steps, O)


class _LayerParallel(ParallelStyle):
    """A style of :class:`per_step_dense.PerStepDense`."""

    sharded: ClassVar[str]
    """The name of what is sharded, as the layer's arguments have it."""

    def __init__(
        self,
        *,
        input_layouts: Placement | None = None,
        output_layouts: Placement | None = None,
        use_local_output: bool = True,
    ) -> None:
        super().__init__()
        for name, layout in (("input_layouts", input_layouts), ("output_layouts", output_layouts)):
            if layout is not None and not isinstance(layout, Placement):
                raise TypeError(
                    f"per_step_dense: {name} must be None or a Placement such as Shard(0); "
                    f"got {type(layout).__name__}"
                )
        self.input_layouts = input_layouts
        self.output_layouts = output_layouts
        self.use_local_output = use_local_output

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(input_layouts={self.input_layouts!r}, "
            f"output_layouts={self.output_layouts!r}, use_local_output={self.use_local_output})"
        )

    @staticmethod
    @abstractmethod
    def layout(layer: PerStepDense) -> Layout:
        """What the style makes of this layer."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        layer = _checked_layer(module)
        _check_mesh(device_mesh)
        layout, parts = self.layout(layer), device_mesh.size()
        if layout.size % parts:
            raise ValueError(
                f"per_step_dense: the mesh must divide {self.sharded} = {layout.size} into equal "
                f"parts; got a mesh of {parts}"
            )
        self._partition(layout, layer, device_mesh)
        return distribute_module(
            layer,
            device_mesh,
            input_fn=partial(self._prepare_input, layout),  # type: ignore[arg-type]  # it is used
            output_fn=partial(self._prepare_output, layout),  # type: ignore[arg-type]  # likewise
        )

    def _partition(self, layout: Layout, layer: PerStepDense, mesh: DeviceMesh) -> None:
        for name, placement in (("weight", layout.weight), ("bias", layout.bias)):
            parameter: nn.Parameter | None = getattr(layer, name)
            if parameter is not None:
                sharded = distribute_tensor(
                    parameter.detach(), mesh, [placement], src_data_rank=self.src_data_rank
                )
                setattr(layer, name, nn.Parameter(sharded, parameter.requires_grad))

    def _prepare_input(
        self, layout: Layout, _: nn.Module, inputs: tuple[Any, ...], mesh: DeviceMesh
    ) -> tuple[Any, ...]:
        if len(inputs) != 1:
            raise ValueError(
                "per_step_dense: a parallelized layer must be called with its input alone, by "
                f"position; got {len(inputs)} positional arguments"
            )
        (x,) = inputs
        if not isinstance(x, Tensor):
            return inputs  # the layer refuses it
        wanted = _of_rank(layout.input, x)
        given = wanted if self.input_layouts is None else _of_rank(self.input_layouts, x)
        if not isinstance(x, DTensor):
            x = DTensor.from_local(x, mesh, [given], run_check=False)
        elif x.device_mesh != mesh:
            raise ValueError(
                f"per_step_dense: input must be on the layer's mesh, {mesh}; got {x.device_mesh}"
            )
        elif x.placements[0] not in (wanted, given, Replicate()):
            expected = " or ".join(dict.fromkeys(map(str, (wanted, Replicate()))))
            raise ValueError(
                f"per_step_dense: input must be {expected} for a layer sharded over "
                f"{self.sharded}, for nothing is gathered silently: redistribute it first, or name "
                f"its placement in input_layouts; got {x.placements[0]}"
            )
        return (x if x.placements[0] == wanted else x.redistribute(placements=[wanted]),)

    def _prepare_output(
        self, layout: Layout, _: nn.Module, output: DTensor, mesh: DeviceMesh
    ) -> Tensor:
        wanted = _of_rank(self.output_layouts or layout.output, output)
        if output.placements[0] != wanted:
            output = output.redistribute(placements=[wanted])
        return output.to_local() if self.use_local_output else output


class StepsParallel(_LayerParallel):
    """Every process has some of the steps, and works on those of the input.

    Nothing is communicated, forward or backward, as long as input and output are sharded over the
    steps, which is what is assumed: ``Shard(-2)``. Of a grid with n extents the first is sharded,
    ``Shard(-n - 1)``.

    Args:
        input_layouts: how plain tensors that the layer is called with are spread over the mesh;
            None is ``Shard(-2)``. ``Replicate()``, all steps on every process, is cut at no cost
            (and the input's gradient gathered).
        output_layouts: how the result is to be; None is ``Shard(-2)``.
        use_local_output: whether the result is a plain tensor, this process's part of it, or else
            a DTensor.

    Raises:
        ValueError: the module is no :class:`per_step_dense.PerStepDense` with parameters of its
            own, unsharded; a mesh of several dimensions, or one that does not divide the number of
            steps; when called, an input placed otherwise than in ``input_layouts``.
        TypeError: a layout that is no ``Placement``.

    Example:
        >>> from torch.distributed.tensor.parallel import parallelize_module
        >>> model = parallelize_module(model, mesh, {"head": StepsParallel()})
    """

    sharded = "steps"

    @staticmethod
    def layout(layer: PerStepDense) -> Layout:
        steps = Shard(1 - layer.weight.ndim)
        return Layout(layer.weight.size(0), Shard(0), Shard(0), steps, steps)


class OutParallel(_LayerParallel):
    """Every process has some of the outputs of every step: ``ColwiseParallel`` of ``nn.Linear``.

    The forward communicates nothing. In the backward the gradients of the input, of which every
    process has a part, are added up by an all-reduce, where the input needs one.

    Args:
        input_layouts: as in :class:`StepsParallel`; None is ``Replicate()``.
        output_layouts: likewise; None is ``Shard(-1)``.
        use_local_output: likewise.

    Raises:
        ValueError, TypeError: as there, of ``out_features``.
    """

    sharded = "out_features"

    @staticmethod
    def layout(layer: PerStepDense) -> Layout:
        return Layout(
            layer.out_features,
            Shard(layer.weight.ndim - 1),
            Shard(layer.weight.ndim - 2),
            Replicate(),
            Shard(-1),
        )


class InParallel(_LayerParallel):
    """Every process has some of the inputs of every step: ``RowwiseParallel`` of ``nn.Linear``.

    Every process has a part of each sum, and those are added up, by an all-reduce, before the
    activation. Without an activation an output in ``Shard`` takes a reduce-scatter instead.
    The backward communicates nothing.

    Args:
        input_layouts: as in :class:`StepsParallel`; None is ``Shard(-1)``.
        output_layouts: likewise; None is ``Replicate()``.
        use_local_output: likewise.

    Raises:
        ValueError, TypeError: as there, of ``in_features``.
    """

    sharded = "in_features"

    @staticmethod
    def layout(layer: PerStepDense) -> Layout:
        return Layout(
            layer.in_features,
            Shard(layer.weight.ndim - 2),
            Replicate(),
            Shard(-1),
            Replicate(),
        )


def _of_rank(placement: Placement, tensor: Tensor) -> Placement:
    """With a dimension that counts from the front, for a tensor of that rank."""
    if isinstance(placement, Shard) and placement.dim < 0:
        return Shard(placement.dim + tensor.ndim)
    return placement


def _checked_layer(module: nn.Module) -> PerStepDense:
    if not isinstance(module, PerStepDense):
        raise ValueError(
            f"per_step_dense: module must be a PerStepDense; got {type(module).__name__}"
        )
    weight = module._parameters.get("weight")
    if weight is None:
        raise ValueError(
            "per_step_dense: module must have its weight as a parameter of its own (parallelize "
            f"before parametrizing); got {', '.join(dict(module.named_parameters()))}"
        )
    if isinstance(weight, DTensor):
        raise ValueError(
            f"per_step_dense: module must not be sharded yet; got weight {weight.placements}"
        )
    return module


def _check_mesh(mesh: object) -> None:
    if not isinstance(mesh, DeviceMesh):
        raise TypeError(f"per_step_dense: mesh must be a DeviceMesh; got {type(mesh).__name__}")
    if mesh.ndim != 1:
        names = mesh.mesh_dim_names or ()
        one = f" (take one of several by its name, such as mesh[{names[0]!r}])" if names else ""
        named = f", named {', '.join(names)}" if names else ""
        raise ValueError(
            f"per_step_dense: mesh must have one dimension{one}; got {mesh.ndim}{named}"
        )
