"""Nothing is timed that is not right: every result against float64."""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor

from . import lengths
from .cases import Case
from .contestant import Results
from .rivals.base import ACTIVATIONS
from .workload import Inputs, Workload

_UNITS = 4
"""Roundings that any order of the same sums may add, and an activation after them."""

_EPS = {"tf32": 2.0**-10}


class WrongError(ValueError):
    """A result is too far from float64; the text names it."""


class Gate:
    """The truth of one row."""

    def __init__(self, workload: Workload, inputs: Inputs) -> None:
        self._workload = workload
        x, self._weight, self._dy = (
            tensor.double() for tensor in (inputs.x, inputs.weight, inputs.dy)
        )
        self._exists = _exists(workload.case, x.device)
        if self._exists is not None:
            self._dy = self._dy * self._exists.unsqueeze(-1)  # padding has no result
        self._windows = _windows(x, workload.case)
        self._bias = None if inputs.bias is None else inputs.bias.double()
        z = torch.bmm(self._windows.transpose(0, 1), self._weight).transpose(0, 1)
        self._z = z if self._bias is None else z + self._bias

    def check(self, results: Results) -> float:
        """The largest error of any result, as a part of what is allowed; padding is not compared.

        Errors are absolute ones over the largest value. Allowed are a few roundings of the result,
        and the square root of the number of terms times as many of the sums, which is how rounding
        errors of random signs add up (Higham and Mary, SIAM J. Sci. Comput. 41, 2019).

        Raises:
            WrongError: where one is further off than is allowed, or not a finite number of the
                right shape.
        """
        case = self._workload.case
        terms = {
            "y": case.window_size,
            "dx": ceil(case.kernel_size / case.stride) * case.out_features,
            "dweight": case.batch,
            "dbias": case.batch,
        }
        truth = self._truth(results.y)
        actual = results.items()
        if actual.keys() != truth.keys():
            raise WrongError(f"results are {', '.join(actual)}; expected {', '.join(truth)}")
        return max(
            self._part_of_allowed(name, actual[name], truth[name], terms[name]) for name in truth
        )

    def _part_of_allowed(self, name: str, actual: Tensor, truth: Tensor, terms: int) -> float:
        if actual.shape != truth.shape:
            raise WrongError(
                f"{name} is of shape {tuple(actual.shape)}; expected {tuple(truth.shape)}"
            )
        if self._exists is not None and name in ("y", "dx"):
            actual, truth = actual[self._exists], truth[self._exists]
        scale = truth.abs().max()
        error = ((actual.double() - truth).abs().max() / scale).item() if scale > 0 else 0.0
        allowed = self._allowed(terms)
        if not error <= allowed:  # NaN, too, is wrong
            raise WrongError(
                f"{name} is off by {error:.2g} of its largest value; allowed are {allowed:.2g}"
            )
        return error / allowed

    def _allowed(self, terms: int) -> float:
        case = self._workload.case
        accumulator = torch.float32 if case.dtype.itemsize == 2 else case.dtype
        rounding = _EPS.get(case.arithmetic, torch.finfo(case.dtype).eps)
        return _UNITS * float(rounding + terms**0.5 * torch.finfo(accumulator).eps)

    def _truth(self, y: Tensor) -> dict[str, Tensor]:
        activation = self._workload.activation
        z = self._z
        truth = {"y": z if activation is None else ACTIVATIONS[activation](z)}
        if not self._workload.computed.has_gradients:
            return truth
        dz = self._dz(y)
        dwindows = torch.bmm(dz.transpose(0, 1), self._weight.transpose(1, 2)).transpose(0, 1)
        truth["dx"] = _sum_at_steps(dwindows, self._workload.case)
        truth["dweight"] = torch.bmm(self._windows.permute(1, 2, 0), dz.transpose(0, 1))
        if self._bias is not None:
            truth["dbias"] = dz.sum(0)
        return truth

    def _dz(self, y: Tensor) -> Tensor:
        activation = self._workload.activation
        if activation is None:
            return self._dy
        if activation == "relu":
            # Where z is next to nothing its sign is a matter of rounding, and the gradient jumps:
            # the rival's own sign is the one to differentiate by. y itself has been compared.
            return self._dy * (y > 0)
        z = self._z.detach().requires_grad_()
        with torch.enable_grad():
            (dz,) = torch.autograd.grad(ACTIVATIONS[activation](z), z, self._dy)
        return dz


def _windows(x: Tensor, case: Case) -> Tensor:
    """What each step sees, (B, T, k * I): copied, by nothing that a rival uses."""
    return x[:, _steps(case, x.device)].flatten(2) if case.has_windows else x


def _sum_at_steps(windows: Tensor, case: Case) -> Tensor:
    """The gradient of x, from that of its windows."""
    if not case.has_windows:
        return windows
    steps = _steps(case, windows.device).flatten()
    x = windows.new_zeros(case.batch, case.in_steps, case.in_features)
    return x.index_add_(1, steps, windows.reshape(case.batch, len(steps), case.in_features))


def _steps(case: Case, device: torch.device) -> Tensor:
    """Which steps each window has: (T, k)."""
    first = case.stride * torch.arange(case.steps, device=device)
    return first.unsqueeze(1) + torch.arange(case.kernel_size, device=device)


def _exists(case: Case, device: torch.device) -> Tensor | None:
    """Which rows some sample has, (B, T); None: all."""
    return lengths.exists(case.lengths, case.steps).to(device) if case.is_ragged else None
