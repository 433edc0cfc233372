"""Are the results of a call right? All of them from two formulas, in float64 and as torch has them.

What can be exact has to be. Everything else may be wrong by what tolerance.py says of torch's own
results; where those may have been right by luck, of few sums say, torch computes the same call of
slightly other values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
import truth
from tolerance import assert_as_close_as_torch
from torch import Tensor
from torchs_bmm import torchs_bmm

import per_step_dense as psd
from fuzz.calls import INTEGERS, PIECEWISE_LINEAR, SPECIALS, Call, Operands

CALLS_NEARBY = 64

Results = Mapping[str, Tensor | None]  # by name: y, z, dx, dweight, dbias


@dataclass(frozen=True)
class Arithmetic:
    """How it is computed."""

    product: Callable[[Tensor, Tensor], Tensor]  # (M, T, K), (T, K, N) -> (M, T, N)
    activate: Callable[[Tensor, str], Tensor]


def _torchs_product(a: Tensor, b: Tensor) -> Tensor:
    # Contiguous, as the reference has it: elsewhere torch's activations round otherwise, and of
    # infinity some are another.
    return torchs_bmm(a.transpose(0, 1), b).transpose(0, 1).contiguous()


# The formulas' own derivatives are others at relu's kink, and at infinity.
_TRUE_ACTIVATIONS = truth.ACTIVATIONS | {
    name: getattr(torch, name) for name in ("relu", "tanh", "sigmoid")
}


def _true_activation(z: Tensor, name: str) -> Tensor:
    return _TRUE_ACTIVATIONS[None if name == "none" else name](z)


def _torchs_activation(z: Tensor, name: str) -> Tensor:
    return z if name == "none" else psd.reference.activate(z, name)


TRUE = Arithmetic(truth.per_step_dense, _true_activation)
TORCHS = Arithmetic(_torchs_product, _torchs_activation)


class Task(NamedTuple):
    """What is to be computed of the operands, as (B, T, .)."""

    given: Operands
    activation: str = "none"
    # Whether dz is the gradient of y, and not yet that of z.
    through_activation: bool = False
    # Which rows there are of each step, (B, T); the others count as zeros and come out so.
    present: Tensor | None = None
    arithmetic: Arithmetic = TORCHS

    def results(self) -> Results:
        x, weight, bias, dz = self.given
        x, dz = self._of_present(x), self._of_present(dz)
        product, activate = self.arithmetic.product, self.arithmetic.activate
        z = product(x, weight)
        z = z if bias is None else z + bias
        at = z.detach().requires_grad_(self.through_activation)
        y = activate(at, self.activation)
        if self.through_activation:
            (dz,) = torch.autograd.grad(y, at, dz.contiguous())
            dz = self._of_present(dz)
        return {
            "y": self._of_present(y.detach()),
            "z": self._of_present(z),
            "dx": self._of_present(product(dz, weight.mT)),
            "dweight": product(x.permute(2, 1, 0), dz.transpose(0, 1)).transpose(0, 1),
            "dbias": dz.sum(0),
        }

    def to(self, dtype: torch.dtype) -> Task:
        return self._replace(
            given=Operands(*(t if t is None else t.detach().to(dtype) for t in self.given))
        )

    def in_fp64(self) -> Task:
        return self.to(torch.float64)._replace(arithmetic=TRUE)

    def nearby(self) -> Iterator[Task]:
        """The same with each tensor some hundredths larger or smaller, so that all is rounded
        otherwise, and what was alike in it stays so."""
        generator = torch.Generator().manual_seed(0)
        for _ in range(CALLS_NEARBY):
            factors = 1 + (torch.rand(4, generator=generator, dtype=torch.float64) - 0.5) / 16
            scaled = (
                tensor if tensor is None else (tensor.double() * factor).to(tensor.dtype)
                for tensor, factor in zip(self.given, factors.tolist(), strict=True)
            )
            yield self._replace(given=Operands(*scaled))

    def _of_present(self, tensor: Tensor) -> Tensor:
        if self.present is None:
            return tensor
        return torch.where(self.present.unsqueeze(2), tensor, torch.zeros_like(tensor))


def assert_right(
    actual: Results,
    call: Call,
    task: Task,
    *,
    torchs_task: Task | None = None,
    added_to: Results | None = None,
    specials_are_torchs: bool = False,
) -> None:
    """Each that there is, when it was added to what `added_to` has of its name.

    `torchs_task` is what torch computes where that is not the task itself, as in tfloat32. Of NaN
    and infinities activations make what their formulas do, or what torch's own do.
    """
    torchs_task, old = torchs_task or task, added_to or {}
    exact, torchs = task.in_fp64().results(), torchs_task.results()
    for name, own in actual.items():
        if own is None:
            continue

        def whole(results: Results, name: str = name) -> Tensor:
            return results[name] + old[name].to(results[name]) if name in old else results[name]

        true, finite = whole(exact), slice(None)
        if call.values == SPECIALS:
            expected = whole(torchs) if specials_are_torchs else true
            finite = assert_specials_are_those_of(name, own, expected)
        if _is_exact(call, task, name, true):
            assert torch.equal(own.double(), true), f"{name} is not exact: {own} for {true}"
            continue
        again = (
            (whole(near.results())[finite], whole(near.in_fp64().results())[finite])
            for near in torchs_task.nearby()
        )
        try:
            assert_as_close_as_torch(
                own.detach()[finite], whole(torchs)[finite], true[finite], again
            )
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from None


def _is_exact(call: Call, task: Task, name: str, true: Tensor) -> bool:
    is_linear = task.activation in PIECEWISE_LINEAR
    if not call.is_exact or not (is_linear or name == "z" or not _depends(task, name)):
        return False
    room = 2 / torch.finfo(call.torch_dtype).eps - 1  # every integer up to that
    return call.values != INTEGERS or true.numel() == 0 or true.abs().max().item() <= room


def _depends(task: Task, name: str) -> bool:
    """Whether the activation has a part in it."""
    return name == "y" or task.through_activation


def assert_specials_are_those_of(name: str, actual: Tensor, expected: Tensor) -> Tensor:
    """NaN and infinities alike; where the other values are."""
    for kind in (torch.isnan, torch.isposinf, torch.isneginf):
        own, other = kind(actual), kind(expected)
        places = own.nonzero().tolist(), other.nonzero().tolist()
        assert torch.equal(own, other), f"{name}: {kind.__name__} at {places[0]}, not {places[1]}"
    return expected.isfinite()


def assert_activation_gradient(actual: Tensor, call: Call, dy: Tensor, saved: Tensor) -> None:
    """Of dy * activation'(z), where saved is what of z and y the op wants. NaN and infinities are
    as in torch's own derivatives."""
    name, dy, saved = call.activation, dy.contiguous(), saved.contiguous()
    torchs, true = (
        _activation_gradient(of, name, *(tensor.to(dtype) for tensor in (dy, saved)))
        for of, dtype in ((_torchs_activation, dy.dtype), (_true_activation, torch.float64))
    )
    finite = assert_specials_are_those_of("dz", actual, torchs)
    factors = torch.linspace(0.97, 1.03, CALLS_NEARBY, dtype=torch.float64).tolist()
    nearby = ((saved.double() * factor).to(saved.dtype) for factor in factors)
    again = (
        tuple(
            _activation_gradient(of, name, dy.to(dtype), near.to(dtype))[finite]
            for of, dtype in ((_torchs_activation, dy.dtype), (_true_activation, torch.float64))
        )
        for near in nearby
    )
    assert_as_close_as_torch(actual[finite], torchs[finite], true[finite], again)


def _activation_gradient(
    activate: Callable[[Tensor, str], Tensor], name: str, dy: Tensor, saved: Tensor
) -> Tensor:
    if name == "relu":
        return torch.where(saved <= 0, torch.zeros_like(dy), dy)
    if name == "tanh":
        return torch.ops.aten.tanh_backward(dy, saved)
    if name == "sigmoid":
        return torch.ops.aten.sigmoid_backward(dy, saved)
    z = saved.clone().requires_grad_()
    return torch.autograd.grad(activate(z, name), z, dy)[0]
