"""One call: its arguments made, the call, and whether what came may come."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from per_step_dense import _C

from .calls import OPS, Call
from .legal import given_of, mapped_size
from .tensors import ImpossibleError, TensorSpec, make

# Legal calls that would take longer are not made, unless there is no room for what they give.
MOST_WORK = 1 << 22
MOST_STEPS = 1 << 11  # of ragged batches, whose steps are products of their own
NO_ROOM = 1 << 28  # elements: more than the memory the process is allowed
MOST_REPEATS = 100

ERRORS = (ValueError, TypeError, RuntimeError, NotImplementedError, MemoryError)

# What is neither a ValueError nor a TypeError has to be one of these, which torch raises.
TORCHS_OWN = re.compile(
    "|".join(
        (
            "Expected a value of type",  # by the schema
            "can't allocate memory",
            "^(Storage size|Stride) calculation overflowed|^numel: integer multiplication overflow",
            "^unsupported operation: more than one element of the written-to tensor",
            "^ZeroTensors are immutable",
            # By vmap.
            "^Sparse CSR tensors do not have strides",
            "^Could not run 'aten::[a-z_]+' with arguments from the 'MkldnnCPU' backend",
            "^invalid shape dimension",  # of 2^63 samples, by einsum
            # Below autograd, where inference mode begins, torch has no place for their refusal.
            "from the 'NestedTensor|^per_step_dense\\.[a-z_]+\\.default$",
        )
    )
)


class Outcome(NamedTuple):
    """What became of a call."""

    verdict: str  # "succeeded", "refused", "not made", "too much work" or "WRONG"
    error: str = ""
    message: str = ""


def attempt(call: Call) -> Outcome:
    """Makes the call."""
    if is_too_much_work(call):
        return Outcome("too much work")
    arguments: dict[str, object] = {}
    try:
        for name, value in call.arguments.items():
            arguments[name] = make(value, arguments) if isinstance(value, TensorSpec) else value
    except ImpossibleError:
        return Outcome("not made")
    try:
        with surroundings(call, arguments):
            results = called(call, arguments)
            wrong = what_is_wrong(call, results)
            if not wrong and call.context in ("plain", "autocast", "use_kernel"):
                differentiate(results, arguments, call.derivatives)
    except ERRORS as error:
        return judged(error)
    except Exception as error:
        return Outcome("WRONG", type(error).__name__, f"not an error to raise: {error}")
    finally:
        _C.set_kernel("auto")
        _C.force_tile(-1)
    return Outcome("WRONG", "", wrong) if wrong else Outcome("succeeded")


def is_too_much_work(call: Call) -> bool:
    """Whether the call is legal and would take long, or a lot of memory."""
    if call.entry not in OPS:
        repeats = call.arguments.get("repeats")
        return isinstance(repeats, int) and repeats > MOST_REPEATS
    given = given_of(call)
    if given is None:
        return False
    if given.steps > MOST_STEPS:
        return True
    if any(spec.device == "meta" for spec in call.tensors.values()):
        return False
    examples = mapped_size(call) or 1
    if call.entry.startswith("ragged"):  # rows in any order are computed before they are laid out
        return examples * given.work > MOST_WORK
    first = next((shape for shape in given.results if shape is not None), ())
    return examples * given.work > MOST_WORK and examples * math.prod(first) < NO_ROOM


@contextlib.contextmanager
def surroundings(call: Call, arguments: dict[str, object]) -> Iterator[None]:
    """What is in force around the call."""
    match call.context:
        case "no_grad":
            with torch.no_grad():
                yield
        case "inference_mode":
            with torch.inference_mode():
                yield
        case "autocast":
            with torch.autocast("cpu", torch.bfloat16):
                yield
        case "use_kernel":
            _C.set_kernel(call.detail)
            yield
        case "force_tile":
            family, tile = call.detail
            _C.set_kernel(family)
            _C.force_tile(*tile)
            yield
        case "forward_ad":
            with forward_ad.dual_level():
                for name, spec in call.tensors.items():
                    arguments[name] = as_dual(arguments[name], spec)
                yield
        case _:
            yield


def as_dual(tensor: Tensor, spec: TensorSpec) -> Tensor:
    """With a tangent, where it can have one."""
    if spec.is_huge or not tensor.is_floating_point() or tensor.layout != torch.strided:
        return tensor
    if tensor.is_nested or spec.dtype.startswith("float8"):
        return tensor
    return forward_ad.make_dual(tensor.detach(), torch.ones_like(tensor))


def called(call: Call, arguments: dict[str, object]) -> object:
    """What comes out."""
    if call.entry not in OPS:
        return getattr(_C, call.entry)(*arguments.values())
    op = getattr(torch.ops.per_step_dense, call.entry).default
    if call.context != "vmap" or not call.detail:
        return op(*arguments.values())
    in_dims = tuple(0 if name in call.detail else None for name in arguments)
    return torch.vmap(lambda *rest: without_none(op(*rest)), in_dims)(*arguments.values())


def without_none(results: object) -> object:
    """vmap takes no undefined tensors out."""
    if not isinstance(results, tuple):
        return results if results is not None else ()
    return tuple(result for result in results if result is not None)


def what_is_wrong(call: Call, results: object) -> str:
    """Empty where the results have the shapes they must have."""
    if call.entry not in OPS:
        return ""
    given = given_of(call)
    if given is None:
        return "a call that has to be refused was not"
    examples = mapped_size(call)
    expected = given.results
    if examples is not None:
        expected = [(examples, *shape) for shape in expected if shape is not None]
    come = list(results) if isinstance(results, tuple) else [results]
    shapes = [None if result is None else tuple(result.shape) for result in come]
    return "" if shapes == expected else f"results of {shapes} in place of {expected}"


def differentiate(results: object, arguments: dict[str, object], times: int) -> None:
    """Where something was recorded."""
    come = results if isinstance(results, tuple) else (results,)
    outputs = [one for one in come if isinstance(one, Tensor) and one.requires_grad]
    inputs = [one for one in arguments.values() if isinstance(one, Tensor) and one.requires_grad]
    for left in range(times, 0, -1):
        if not outputs:
            return
        gradients = [
            torch.ones((), dtype=y.dtype, device=y.device).expand(y.shape) for y in outputs
        ]
        found = torch.autograd.grad(
            outputs, inputs, gradients, allow_unused=True, create_graph=left > 1
        )
        for one, gradient in zip(inputs, found, strict=True):
            if gradient is not None and gradient.shape != one.shape:
                raise AssertionError(f"gradient of {gradient.shape} for {one.shape}")
        outputs = [one for one in found if one is not None and one.requires_grad]


def judged(error: Exception) -> Outcome:
    """A refusal, if it is one that may come."""
    name, message = type(error).__name__, str(error)
    is_torchs = isinstance(error, (ValueError, TypeError)) or TORCHS_OWN.search(message)
    if "INTERNAL ASSERT" in message or not is_torchs:
        return Outcome("WRONG", name, message)
    return Outcome("refused", name, message)
