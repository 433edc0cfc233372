"""The guest's side: a framework's module, behind the protocol."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from timeit import timeit
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray

from .protocol import Work

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Prepared:
    """Work that has been taken up."""

    call: Callable[[], object]
    """What is timed; all is computed when it returns."""
    results: Callable[[], Arrays]
    """Of such a call, named: y and, where there are gradients, dx, dweight and dbias."""


def named(results: Sequence[NDArray[Any]]) -> Arrays:
    """The result alone, or y, dx, dweight and, where there is a bias, dbias, under their names."""
    return dict(zip(("y", "dx", "dweight", "dbias"), results, strict=False))


class Guest(Protocol):
    """What a framework's module has in it."""

    def prepare(self, work: Work, arrays: Arrays) -> Prepared:
        """Takes the work up, on as many threads as are asked for; once in a process."""
        ...


class Server:
    """Answers one host."""

    def __init__(self, load: Callable[[], Guest]) -> None:
        self._load = load
        self._prepared: Prepared | None = None
        self._work: Work | None = None

    def serve(self, questions: TextIO, answers: TextIO) -> None:
        """Until there are no more questions."""
        for question in questions:
            answers.write(json.dumps(self._reply(json.loads(question))) + "\n")
            answers.flush()

    def _reply(self, question: dict[str, Any]) -> dict[str, Any]:
        try:
            return {"answer": self._answer(**question)}
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
            return {"error": {"text": text, "is_out_of_memory": _is_out_of_memory(error)}}

    def _answer(self, ask: str, **arguments: Any) -> Any:
        match ask:
            case "prepare":
                return self._prepare(Work(**arguments["work"]))
            case "results":
                return self._results()
            case "turn":
                return self._turn(arguments["calls"])
        raise ValueError(f"a guest can prepare, results and turn; got {ask!r}")

    def _prepare(self, work: Work) -> None:
        arrays = {
            name: np.fromfile(work.file(name), work.dtype).reshape(shape)
            for name, shape in work.shapes.items()
        }
        self._work = work
        self._prepared = self._load().prepare(work, arrays)
        self._prepared.call()  # what is traced or compiled by a first call, is now

    def _results(self) -> dict[str, Any]:
        assert self._prepared is not None and self._work is not None
        described = {}
        for name, array in self._prepared.results().items():
            array.tofile(self._work.file(name))
            described[name] = {"dtype": str(array.dtype), "shape": list(array.shape)}
        return described

    def _turn(self, calls: int) -> float:
        assert self._prepared is not None
        return timeit(self._prepared.call, number=calls) / calls * 1e6


def _is_out_of_memory(error: Exception) -> bool:
    """TensorFlow has a class for it; XLA says it in the text, as the status that both know."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "ResourceExhaustedError"
        or "RESOURCE_EXHAUSTED" in str(error)
    )
