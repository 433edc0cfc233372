"""What a piece of a program communicates: counted, not timed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

# torch has names of its own for the same collective on lists, on one tensor, and functionally.
_KINDS: Final = {
    "allreduce": "all_reduce",
    "allgather": "all_gather",
    "_allgather_base": "all_gather",
    "all_gather_into_tensor": "all_gather",
    "_reduce_scatter_base": "reduce_scatter",
    "reduce_scatter_tensor": "reduce_scatter",
    "alltoall": "all_to_all",
    "alltoall_base": "all_to_all",
    "all_to_all_single": "all_to_all",
}
_NAMESPACES: Final = ("c10d", "_c10d_functional")
_NO_COLLECTIVES: Final = {
    "wait_tensor",
    "_wrap_tensor_autograd",
    "barrier",
    "monitored_barrier",
}


class Collective(NamedTuple):
    """One that a process took part in."""

    kind: str  # such as all_reduce
    payload_bytes: int  # of the whole tensor that is reduced, gathered or scattered


class Collectives(TorchDispatchMode):
    """Notes the collectives inside its context, as this process sees them.

    Example:
        >>> with Collectives() as seen:
        ...     layer(x).sum().backward()
        >>> seen.counts
        {'all_reduce': 1}
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.noted: list[Collective] = []

    @property
    def counts(self) -> dict[str, int]:
        """How often, by the kind."""
        return dict(Counter(each.kind for each in self.noted))

    @property
    def payload_bytes(self) -> dict[str, int]:
        """Of all together, by the kind."""
        return payload_by_kind(self.noted)

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if any(issubclass(kind, DTensor) for kind in types):
            return NotImplemented  # what becomes of it comes by again
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        kind = kind_of(func)
        if kind is not None:
            payload = max(map(_bytes_of, (*args, *kwargs.values(), result)))
            self.noted.append(Collective(kind, payload))
        return result


def payload_by_kind(collectives: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Sums of payload bytes, of pairs of those with the collective's kind."""
    found: Counter[str] = Counter()
    for kind, payload_bytes in collectives:
        found[kind] += payload_bytes
    return dict(found)


def kind_of(op: Callable[..., Any]) -> str | None:
    """The collective's name; None of an op that is none."""
    if not isinstance(op, torch._ops.OpOverload) or op.namespace not in _NAMESPACES:
        return None
    name = op._schema.name.partition("::")[2].removesuffix("_").removesuffix("_coalesced")
    return None if name in _NO_COLLECTIVES else _KINDS.get(name, name)


def _bytes_of(value: object) -> int:
    return sum(leaf.nbytes for leaf in tree_leaves(value) if isinstance(leaf, Tensor))
