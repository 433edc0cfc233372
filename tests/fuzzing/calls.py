"""Calls as data: an entry point, its arguments, and what is in force around it."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import NamedTuple

from .tensors import FLOATS, HUGE, TensorSpec, draw_size, draw_tensor, spoiled

ACTIVATIONS = ("none", "none", "relu", "gelu", "gelu_tanh", "silu", "tanh", "sigmoid")
FAMILIES = ("auto", "reference", "simt", "tiny", "sm80", "sm90")
ARCHITECTURES = (None, "sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100", "sm_120")
BUILT = ("8.0+PTX;9.0a", "8.0", "9.0a", "10.0f", "8.6+PTX", "no GPU", "")
CONTEXTS = (
    *("plain",) * 10,
    *("no_grad", "inference_mode", "autocast", "vmap", "vmap", "forward_ad"),
    *("use_kernel", "force_tile"),
)

BAD_TEXT = (
    *("", " ", "relu ", "RELU", "none\0", "\0", "auto\0simt", "x" * 1_000, "é", "\udc80"),
    *("sm_", "sm_99999999999999999999", "sm_-1", "sm_75", "sm_90b", "999999999.9", "2147483647.9a"),
    *("9.0+PTX+PTX", ";;; ;", "+PTX", "a", "f", "-1.-1", "8.0" * 300, "%s%n", "aten"),
)
NO_TEXT = (None, b"none", 3, 1.5, ["none"])
INTEGERS = (
    *(-(2**63), -(2**31) - 1, -(2**31), -2, -1, 0, 1, 2, 3, 7, 90, 2**31 - 1, 2**31),
    *(2**32, 2**40, 2**63 - 1, 2**63, 2**64, None, 1.5, "1"),
)


class Call(NamedTuple):
    """What is called, with what, and in what surroundings."""

    entry: str
    arguments: dict[str, object]
    context: str = "plain"
    detail: object = None  # of the context: which family, which tile, what vmap maps over
    derivatives: int = 0  # how many times what comes out is differentiated

    @property
    def tensors(self) -> dict[str, TensorSpec]:
        items = self.arguments.items()
        return {name: value for name, value in items if isinstance(value, TensorSpec)}


class Sizes(NamedTuple):
    """B as it lies in leading dimensions, T, I and O."""

    leading: tuple[int, ...]
    t: int
    i: int
    o: int


def draw_call(rng: random.Random) -> Call:
    """One that is right, or of which a thing or two are not."""
    entry = rng.choice(DRAWN)
    arguments = ENTRIES[entry](rng)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 1, 1, 2, 3))):
        name = rng.choice(tuple(arguments))
        arguments[name] = _spoiled_argument(rng, arguments[name], tuple(arguments))
    context = rng.choice(CONTEXTS)
    detail = _draw_detail(rng, context, arguments)
    return Call(entry, arguments, context, detail, rng.choice((0, 0, 1, 1, 2)))


def _spoiled_argument(rng: random.Random, value: object, names: tuple[str, ...]) -> object:
    if isinstance(value, TensorSpec):
        return spoiled(rng, value, names)
    if isinstance(value, str):
        return rng.choice((*BAD_TEXT, *BAD_TEXT, *NO_TEXT))
    return rng.choice(INTEGERS)


def _draw_detail(rng: random.Random, context: str, arguments: dict[str, object]) -> object:
    match context:
        case "use_kernel":
            return rng.choice(FAMILIES)
        case "force_tile":
            tile = rng.choice((-1, 0, 1, 2, 3, 7, 2**31 - 1, -(2**31)))
            splits = rng.choice((0, 1, 2, 7, 2**31 - 1, -1))
            return rng.choice(FAMILIES), (tile, splits, rng.choice((0, 1, 3, -7)))
        case "vmap":
            named = arguments.items()
            tensors = [name for name, value in named if isinstance(value, TensorSpec)]
            nested = ("nested", "jagged")  # whose examples are dense
            can_be_mapped = [name for name in tensors if arguments[name].kind not in nested]
            return tuple(name for name in can_be_mapped if rng.random() < 0.6)
        case _:
            return None


# ---- right arguments -----------------------------------------------------------------------------


class _Draw:
    """Sizes, a dtype and a device for all arguments of a call, which may be exceptions to them."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        sizes = [draw_size(rng) for _ in range(4)]
        is_huge = rng.random() < 0.12
        if is_huge:
            for _ in range(rng.choice((1, 1, 1, 2, 4))):
                sizes[rng.randrange(4)] = rng.choice(HUGE)
        b, self.t, self.i, self.o = sizes
        self.leading = rng.choice(((b,), (b,), (b,), (), (1, b), (b, 2), (2, b, 1), (0, b)))
        self.dtype = rng.choice(FLOATS)
        self.device = "meta" if rng.random() < (0.5 if is_huge else 0.1) else "cpu"

    def tensor(self, *shape: int) -> TensorSpec:
        return draw_tensor(self.rng, shape, self.dtype, self.device)

    def rows(self, columns: int) -> TensorSpec:
        return self.tensor(*self.leading, self.t, columns)

    def maybe(self, spec: TensorSpec) -> TensorSpec | None:
        return spec if self.rng.random() < 0.7 else None

    @property
    def activation(self) -> str:
        return self.rng.choice(ACTIVATIONS)

    @property
    def family(self) -> str:
        """On the CPU, two of them serve."""
        return self.rng.choice(("auto",) * 8 + ("reference",) * 3 + FAMILIES)

    @property
    def wants(self) -> bool:
        return self.rng.random() < 0.6


def _forward(rng: random.Random) -> dict[str, object]:
    draw = _Draw(rng)
    return {
        "x": draw.rows(draw.i),
        "weight": draw.tensor(draw.t, draw.i, draw.o),
        "bias": draw.maybe(draw.tensor(draw.t, draw.o)),
        "activation": draw.activation,
        "family": draw.family,
    }


def _backward(rng: random.Random) -> dict[str, object]:
    draw = _Draw(rng)
    return {
        "dz": draw.rows(draw.o),
        "x": draw.maybe(draw.rows(draw.i)),
        "weight": draw.maybe(draw.tensor(draw.t, draw.i, draw.o)),
        "wants_dbias": draw.wants,
        "family": draw.family,
    }


def _backward_accumulate(rng: random.Random) -> dict[str, object]:
    draw = _Draw(rng)
    wants_dweight = draw.wants
    gradients = _Draw(rng)
    gradients.t, gradients.i, gradients.o = draw.t, draw.i, draw.o
    gradients.device = draw.device
    has_16_bits = draw.dtype in ("float16", "bfloat16")
    gradients.dtype = "float32" if has_16_bits and rng.random() < 0.5 else draw.dtype
    arguments: dict[str, object] = {
        "dz": draw.rows(draw.o),
        "x": draw.rows(draw.i) if wants_dweight else None,
        "weight": draw.maybe(draw.tensor(draw.t, draw.i, draw.o)),
        "dweight": gradients.tensor(draw.t, draw.i, draw.o) if wants_dweight else None,
        "dbias": draw.maybe(gradients.tensor(draw.t, draw.o)),
        "family": draw.family,
    }
    if rng.random() < 0.9:  # such tensors are refused at once
        for name, value in arguments.items():
            if isinstance(value, TensorSpec):
                arguments[name] = value._replace(requires_grad=False)
    return arguments


def _activation_backward(rng: random.Random) -> dict[str, object]:
    draw = _Draw(rng)
    spec = draw.rows(draw.o)
    saved = draw.tensor(*spec.shape)
    return {"dy": spec, "saved": saved, "activation": draw.activation}


def _ragged(rng: random.Random, draw: _Draw) -> TensorSpec:
    """The sizes of a batch; sets draw.leading to what x has before its features."""
    if rng.random() < 0.5:
        steps = rng.randint(0, min(draw.t, 40))
        counts = sorted((rng.choice((0, 1, 2, 3, 5, 9)) for _ in range(steps)), reverse=True)
        if rng.random() < 0.1:
            rng.shuffle(counts)
        draw.leading = (sum(counts),)
        values = tuple(_spoiled_counts(rng, counts))
    else:
        b = rng.choice((0, 1, 2, 3, 5, 9, 30))
        lengths = [rng.randint(0, min(draw.t, 40)) for _ in range(b)]
        if rng.random() < 0.4:
            lengths.sort(reverse=True)
        if rng.random() < 0.2:
            lengths = [draw.t] * b
        draw.leading = (b, draw.t)
        values = tuple(_spoiled_counts(rng, lengths))
    device = "meta" if draw.device == "meta" and rng.random() < 0.5 else "cpu"
    sizes = draw_tensor(rng, (len(values),), "int64", device)
    return sizes._replace(values=values, requires_grad=False)


def _spoiled_counts(rng: random.Random, counts: list[int]) -> list[int]:
    """Mostly as they are."""
    if not counts or rng.random() < 0.7:
        return counts
    counts = list(counts)
    match rng.randrange(4):
        case 0:
            counts[rng.randrange(len(counts))] = rng.choice((-1, -(2**63), *HUGE))
        case 1:
            counts[rng.randrange(len(counts))] += rng.choice((-1, 1))
        case 2 if len(counts) >= 4:  # which leaves the sum what it was, modulo 2^64
            for n in rng.sample(range(len(counts)), 4):
                counts[n] = (counts[n] + 2**62) % 2**63
        case _:
            counts = counts[:-1] if rng.random() < 0.5 else [*counts, rng.choice((0, 1))]
    return counts


def _ragged_forward(rng: random.Random) -> dict[str, object]:
    draw = _Draw(rng)
    sizes = _ragged(rng, draw)
    return {
        "x": draw.tensor(*draw.leading, draw.i),
        "weight": draw.tensor(draw.t, draw.i, draw.o),
        "bias": draw.maybe(draw.tensor(draw.t, draw.o)),
        "sizes": sizes,
        "activation": draw.activation,
        "family": draw.family,
    }


def _ragged_backward(rng: random.Random) -> dict[str, object]:
    draw = _Draw(rng)
    sizes = _ragged(rng, draw)
    return {
        "dz": draw.tensor(*draw.leading, draw.o),
        "x": draw.maybe(draw.tensor(*draw.leading, draw.i)),
        "weight": draw.maybe(draw.tensor(draw.t, draw.i, draw.o)),
        "sizes": sizes,
        "steps": draw.t,
        "wants_dbias": draw.wants,
        "family": draw.family,
    }


def _explain(rng: random.Random) -> dict[str, object]:
    arguments = _forward(rng)
    del arguments["family"]
    return {**arguments, "arch": rng.choice(ARCHITECTURES), "kernel": rng.choice(FAMILIES)}


def _plan_repeatedly(rng: random.Random) -> dict[str, object]:
    forward = _forward(rng)
    return {
        "x": forward["x"],
        "weight": forward["weight"],
        "arch": rng.choice(ARCHITECTURES[1:]),
        "is_cached": rng.random() < 0.5,
        "repeats": rng.choice((0, 1, 2, -1)),
    }


def _set_kernel(rng: random.Random) -> dict[str, object]:
    return {"name": rng.choice(FAMILIES)}


def _force_tile(rng: random.Random) -> dict[str, object]:
    names = ("tile", "splits", "splits_of_grad_weight")
    return {name: rng.choice((-1, 0, 1, 5, 2**31 - 1)) for name in names}


def _why_not_built_for(rng: random.Random) -> dict[str, object]:
    return {"capability": rng.choice((80, 90, 100, 75, 0, -5)), "built": rng.choice(BUILT)}


def _why_no_sm90(rng: random.Random) -> dict[str, object]:
    return {**_why_not_built_for(rng), "has_tensor_maps": rng.random() < 0.5}


OPS: dict[str, Callable[[random.Random], dict[str, object]]] = {
    "forward": _forward,
    "forward_with_preactivation": _forward,
    "backward": _backward,
    "backward_accumulate": _backward_accumulate,
    "activation_backward": _activation_backward,
    "ragged_forward": _ragged_forward,
    "ragged_forward_with_preactivation": _ragged_forward,
    "ragged_backward": _ragged_backward,
}

# Of the module, by their names.
FUNCTIONS: dict[str, Callable[[random.Random], dict[str, object]]] = {
    "explain": _explain,
    "plan_repeatedly": _plan_repeatedly,
    "set_kernel": _set_kernel,
    "force_tile": _force_tile,
    "why_not_built_for": _why_not_built_for,
    "why_no_sm90": _why_no_sm90,
}

ENTRIES = {**OPS, **FUNCTIONS}

# Those with tensors more often.
DRAWN = (*(*OPS, "explain") * 4, "plan_repeatedly", *FUNCTIONS)
