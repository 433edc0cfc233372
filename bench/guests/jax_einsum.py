"""JAX: an einsum, the bias and the activation, through ``jax.jit``."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import jax
import jax.numpy as jnp
import numpy as np

from .protocol import Work
from .server import Arrays, Prepared, named

_ACTIVATIONS: Final[dict[str, Callable[[Any], Any]]] = {
    "relu": jax.nn.relu,
    "gelu": partial(jax.nn.gelu, approximate=False),  # not JAX's default, but torch's
    "gelu_tanh": partial(jax.nn.gelu, approximate=True),
    "silu": jax.nn.silu,
    "tanh": jnp.tanh,
    "sigmoid": jax.nn.sigmoid,
}


def prepare(work: Work, arrays: Arrays) -> Prepared:
    """Compiles what is asked for; results and gradients, where both are, in one function."""
    jax.config.update("jax_platforms", "cpu")
    os.environ["NPROC"] = str(work.threads)  # XLA reads it when the first array is made

    def layer(x: Any, weight: Any, *bias: Any) -> Any:
        z = jnp.einsum("bti,tio->bto", x, weight)
        z = z + bias[0] if bias else z
        return z if work.activation is None else _ACTIVATIONS[work.activation](z)

    def both(dy: Any, *leaves: Any) -> Any:
        y, pull_back = jax.vjp(layer, *leaves)
        return y, *pull_back(dy)

    # What a backward needs is among the results: the function that vjp returns is a tree of arrays.
    recorded = jax.jit(partial(jax.vjp, layer))
    leaves = [jnp.asarray(arrays[name]) for name in ("x", "weight", "bias") if name in arrays]
    dy = jnp.asarray(arrays["dy"])
    match work.computed:
        case "forward":
            call = _waiting(jax.jit(layer), *leaves)
            return Prepared(call, lambda: _named(call()))
        case "recorded":
            call = _waiting(recorded, *leaves)
            return Prepared(call, lambda: _named(call()[0]))
        case "backward":
            y, pull_back = recorded(*leaves)
            call = _waiting(jax.jit(lambda pull_back, dy: pull_back(dy)), pull_back, dy)
            return Prepared(call, lambda: _named(y, *call()))
        case "both":
            call = _waiting(jax.jit(both), dy, *leaves)
            return Prepared(call, lambda: _named(*call()))


def _waiting(function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
    """The call, which returns when all is computed: by itself JAX only has it begun."""
    return lambda: jax.block_until_ready(function(*arguments))


def _named(*results: Any) -> Arrays:
    return named([np.asarray(result) for result in results])
