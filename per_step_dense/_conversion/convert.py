"""A model's layers, converted where they stand."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from .equivalents import equivalent_of, equivalent_of_linears
from .in_place import InPlace


@dataclass(frozen=True)
class Converted:
    """A module that :func:`convert` has converted.

    Attributes:
        name: its qualified name; ``""`` is the module itself that was given.
        original: the class that it had, and of which its class is a subclass now.
        steps: how many it has, or the extents of a grid of them.
        in_features, out_features: a step's.
    """

    name: str
    original: type[nn.Module]
    steps: int | tuple[int, ...]
    in_features: int
    out_features: int

    def __str__(self) -> str:
        return (
            f"{_named(self.name)}: {_full_name(self.original)}, steps={self.steps}, "
            f"in_features={self.in_features}, out_features={self.out_features}"
        )


def convert(
    module: nn.Module, *, linears: Iterable[str] = (), verbose: bool = True
) -> list[Converted]:
    """Has a model's dense layers per step computed by this package, whatever library they are of.

    Converted are, in place and by class: ``NLinear`` (of delu and rtdl_num_embeddings),
    ``LinearEnsemble`` (of tabm), ``EnsembleLinearLayer`` (of mbrl) and ``EnsembleLinear``, wherever
    they are defined, if they compute on random numbers what this package does; any
    :class:`torch.nn.Conv1d` with several groups, kernel 1, stride 1 and no padding; and the
    ModuleLists named in ``linears``. A module keeps its parameters, the same objects, and so its
    state_dict and its optimizer; its hooks, attributes and methods; its class becomes a subclass of
    the one it had. Calls that this package does not cover still run the forward that it had; on the
    CPU so do all of ensembles with inputs of shape (E, B, I), which gain nothing there.

    Args:
        module: the model; it may also be such a layer itself.
        linears: the qualified names of ModuleLists that hold one :class:`torch.nn.Linear` a step,
            alike in sizes, bias, dtype and device. Such a list can be called from then on, with an
            input of shape (*, T, I) for a result of (*, T, O).
        verbose: whether to print what was converted, and what was not though it looks alike.

    Returns:
        What was converted, in the order of ``module.named_modules()``; if nothing was, [].

    Raises:
        ValueError: there is no module of a name in ``linears``; the Linears of such a list differ
            (the text names the first that does), are none, or have hooks, a parametrization or a
            forward of their own. Nothing is converted then.
        TypeError: an argument of another type; a name that is of no ModuleList, or of one with
            something else in it than an initialised nn.Linear; Linears of different or unsupported
            dtypes. Nothing is converted then.

    Example:
        >>> model = nn.Sequential(nn.Conv1d(10 * 4, 10 * 8, 1, groups=10), nn.ReLU())
        >>> for each in convert(model, verbose=False):
        ...     print(each)
        0: torch.nn.modules.conv.Conv1d, steps=10, in_features=4, out_features=8
    """
    if not isinstance(module, nn.Module):
        raise TypeError(
            f"per_step_dense: module must be a torch.nn.Module; got {type(module).__name__}"
        )
    declared = _declared(module, linears)
    found: list[tuple[str, nn.Module, type[InPlace]]] = []
    left_alone: list[str] = []
    for name, each in module.named_modules():
        if id(each) in declared:
            equivalent: type[InPlace] | str | None = equivalent_of_linears(each, declared[id(each)])
        else:
            equivalent = equivalent_of(each)
        if isinstance(equivalent, str):
            left_alone.append(f"{_named(name)}: {_full_name(type(each))}, for {equivalent}")
        elif equivalent is not None:
            found.append((name, each, equivalent))

    converted = []
    for name, each, equivalent in found:
        original = type(each)
        each.__class__ = equivalent
        converted.append(_said_of(name, original, each))
    if verbose:
        _print(module, converted, left_alone)
    return converted


def _declared(module: nn.Module, names: Iterable[str]) -> dict[int, str]:
    """The modules' ids, and their names for errors."""
    expected = "per_step_dense: linears must be an iterable of names of modules"
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise TypeError(f"{expected}; got {type(names).__name__}")
    declared: dict[int, str] = {}
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"{expected}; got one of type {type(name).__name__}")
        try:
            named = module.get_submodule(name)
        except AttributeError:
            raise ValueError(
                f"per_step_dense: linears must name modules of {type(module).__name__}; "
                f"it has none that is named {name!r}"
            ) from None
        declared[id(named)] = name or "linears"
    return declared


def _said_of(name: str, original: type[nn.Module], module: nn.Module) -> Converted:
    assert isinstance(module, InPlace)
    steps, in_features, out_features = module._psd_sizes()
    extents = steps[0] if len(steps) == 1 else steps
    return Converted(name, original, extents, in_features, out_features)


def _print(module: nn.Module, converted: list[Converted], left_alone: list[str]) -> None:
    kind = type(module).__name__
    if converted:
        plural = "" if len(converted) == 1 else "s"
        print(f"per_step_dense: converted {len(converted)} module{plural} of {kind}")
        for each in converted:
            print(f"  {each}")
    else:
        print(f"per_step_dense: nothing to convert in {kind}")
    if left_alone:
        print("per_step_dense: left alone")
        for line in left_alone:
            print(f"  {line}")


def _named(name: str) -> str:
    return name or "(the module itself)"


def _full_name(kind: type[nn.Module]) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
