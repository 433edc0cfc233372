"""What a module of another library computes, found by running it on random numbers.

Its class's name is a guess, and what one version of a library computes another need not. So nothing
is taken for a dense layer per step that has not been seen to be one.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

_MODULES_OWN: Final = frozenset(vars(nn.Module()))
_PLAIN: Final = (bool, int, float, str, type(None), torch.dtype)
_MOST_NUMBERS: Final = 2**22
"""In an input: where it took more, no batch as large as the steps are many is tried."""


@dataclass(frozen=True)
class Reading:
    """How a module with one matrix a step takes its input, as far as that has been seen."""

    members_first: bool
    """The input is (E, B, I), or (B, I) for all members; otherwise it is (*, *steps, I)."""
    dims: tuple[int, ...]
    """The input's numbers of dimensions."""
    promotes: bool
    """The bias is added after the product, so that under autocast the result has its dtype."""
    watched: tuple[tuple[str, object], ...]
    """Attributes that its forward read, and their values then."""


@dataclass(frozen=True)
class _Case:
    members_first: bool
    x: Tensor
    y: Tensor


def read(module: nn.Module, names_of_parameters: tuple[str, ...]) -> Reading | str:
    """How the module takes its input, or else why it is none that this package can stand in for.

    The module is neither changed nor called: its class's forward is applied to a stand-in with its
    attributes and with random parameters in float64 on the CPU. Hooks do not run, and torch's
    random state stays.

    Args:
        module: has a weight of shape (*steps, I, O).
        names_of_parameters: weight, and bias where there is one.
    """
    generator = torch.Generator("cpu").manual_seed(0)
    parameters = {
        name: _random(generator, *module.get_parameter(name).shape) for name in names_of_parameters
    }
    seen: set[str] = set()
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        right: dict[tuple[bool, int], Tensor] = {}
        wrong: set[tuple[bool, int]] = set()
        for case in _cases(generator, parameters["weight"], parameters.get("bias")):
            form = (case.members_first, case.x.dim())
            if form in wrong:
                continue
            right[form] = case.x
            for is_training in (True, False):  # of one x: what writes to it is found out as well
                if not _is_same(_run(module, parameters, is_training, seen, case.x), case.y):
                    wrong.add(form)
        forms = right.keys() - wrong
        if not forms:
            return "on random numbers it computes something else"
        members_first = sum(members_first for members_first, _ in forms) * 2 > len(forms)
        dims = sorted(dim for is_members, dim in forms if is_members == members_first)
        watched = _watched(module, seen, names_of_parameters)
        if isinstance(watched, str):
            return watched
        in_float32 = {name: value.float() for name, value in parameters.items()}
        x = right[members_first, dims[0]].float()
        with torch.autocast("cpu", torch.bfloat16):
            y = _run(module, in_float32, module.training, seen, x)
        if y is None or y.dtype not in (torch.float32, torch.bfloat16):
            return "it fails under autocast"
    return Reading(members_first, tuple(dims), y.dtype == torch.float32, watched)


def _run(
    module: nn.Module,
    parameters: dict[str, Tensor],
    is_training: bool,
    seen: set[str],
    x: Tensor,
) -> Tensor | None:
    """What the class's forward gives on the module's attributes but these parameters, if anything.

    The names of the attributes that it reads are added to ``seen``.
    """

    def noting(self: object, name: str) -> Any:
        seen.add(name)
        return object.__getattribute__(self, name)

    original = type(module)
    try:
        stand_in: nn.Module = object.__new__(type("_", (original,), {"__getattribute__": noting}))
        vars(stand_in).update(vars(module))
        vars(stand_in).update(
            _parameters=module._parameters
            | {name: nn.Parameter(value, False) for name, value in parameters.items()},
            _buffers={name: each.clone() for name, each in module.named_buffers(recurse=False)},
            training=is_training,
        )
        y = original.forward(stand_in, x)
    except Exception:  # whatever it raises, it does not take this input
        return None
    return y if isinstance(y, Tensor) else None


def _cases(generator: torch.Generator, weight: Tensor, bias: Tensor | None) -> Iterator[_Case]:
    """Inputs of every form, and what they give; also batches as large as the steps are many."""
    *steps, in_features, out_features = weight.shape
    several = 3 if steps[0] != 3 else 4
    batches = [1, several]
    if steps[0] * weight[..., 0, 0].numel() * max(in_features, out_features) <= _MOST_NUMBERS:
        batches.append(steps[0])
    by_step = None if bias is None else bias.reshape(*steps, out_features)
    for leading in [(), (2, several), *((batch,) for batch in batches)]:
        x = _random(generator, *leading, *steps, in_features)
        y = torch.einsum(
            "bti,tio->bto",
            x.reshape(-1, weight[..., 0, 0].numel(), in_features),
            weight.reshape(-1, in_features, out_features),
        ).reshape(*leading, *steps, out_features)
        yield _Case(False, x, y if by_step is None else y + by_step)
    if len(steps) > 1:
        return
    for batch in batches:
        for leading in [(), (steps[0],)]:
            x = _random(generator, *leading, batch, in_features)
            y = x @ weight  # (E, B, O)
            yield _Case(True, x, y if by_step is None else y + by_step.unsqueeze(1))


def _watched(
    module: nn.Module, seen: set[str], known: tuple[str, ...]
) -> tuple[tuple[str, object], ...] | str:
    """The attributes that decide what forward computes; or the one that cannot be compared."""
    tensors = {*module._parameters, *module._buffers, *module._modules}
    for name in sorted(seen & tensors):
        if name not in known and getattr(module, name) is not None:
            return f"its forward also reads {name}"
    own = sorted((seen & set(vars(module))) - _MODULES_OWN)
    for name in own:
        if not isinstance(vars(module)[name], _PLAIN):
            return f"its forward also reads {name}"
    return tuple((name, vars(module)[name]) for name in own)


def _is_same(y: Tensor | None, expected: Tensor) -> bool:
    return (
        y is not None
        and y.shape == expected.shape
        and y.dtype == expected.dtype
        and torch.allclose(y, expected, rtol=1e-9, atol=1e-9)
    )


def _random(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")
