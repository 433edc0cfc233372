"""A Keras layer on TensorFlow, through ``tf.function``.

Without XLA, as Keras itself trains where there is only a CPU (``jit_compile="auto"``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

from .protocol import Work
from .server import Arrays, Prepared, named


def on_cpu(threads: int) -> None:
    """Has everything computed there, on so many threads.

    For ops side by side and for one op: left at the default, the former alone took a call to nearly
    two threads where one was asked for. Comes before anything else that is asked of TensorFlow.
    """
    tf.config.set_visible_devices([], "GPU")
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    tf.config.threading.set_intra_op_parallelism_threads(threads)


def prepared(
    work: Work, arrays: Arrays, layer: Callable[[Any], Any], variables: Sequence[Any]
) -> Prepared:
    """Traces what is asked for; results and gradients, where both are, in one graph.

    Args:
        work: what is asked for.
        arrays: x and dy are read.
        layer: from (B, T, I) to (B, T, O), with the activation in it.
        variables: its weight (T, I, O) and, where there is one, its bias (T, O).
    """
    tf.config.experimental.set_synchronous_execution(True)  # a call returns when all is computed
    x, dy = tf.constant(arrays["x"]), tf.constant(arrays["dy"])
    leaves = [x, *variables]

    def recorded(function: Callable[[Any], Any], x: Any) -> Any:
        with tf.GradientTape(persistent=True) as tape:  # for any number of backwards
            tape.watch(x)
            return function(x), tape

    def both(x: Any, dy: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x)
        return y, *tape.gradient(y, [x, *variables], output_gradients=dy)

    forward = tf.function(lambda x: layer(x))
    call: Callable[[], Any]
    match work.computed:
        case "forward":
            call = partial(forward, x)
            return Prepared(call, lambda: _named(call()))
        case "recorded":
            call = partial(recorded, forward, x)
            return Prepared(call, lambda: _named(call()[0]))
        case "backward":
            y, tape = recorded(forward, x)
            call = partial(tape.gradient, y, leaves, output_gradients=dy)
            return Prepared(call, lambda: _named(y, *call()))
        case "both":
            call = partial(tf.function(both), x, dy)
            return Prepared(call, lambda: _named(*call()))


def _named(*results: Any) -> Arrays:
    return named([result.numpy() for result in results])
