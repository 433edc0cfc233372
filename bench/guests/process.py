"""The host's side: a guest's process, asked line by line, never waited for without an end."""

from __future__ import annotations

import json
import os
import select
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Final

from .protocol import last_words

_ROOT: Final = Path(__file__).resolve().parents[2]  # what ``bench`` is imported from


class GuestError(RuntimeError):
    """A guest failed, or ended; the text has its own last words."""


class GuestProcess:
    """One guest.

    Args:
        python: the interpreter.
        module: the framework's module, imported by the guest.
        seconds: how long any answer may take.
        variables: of the environment, beside this process's own.
    """

    def __init__(
        self, python: str, module: str, seconds: float, variables: Mapping[str, str] | None = None
    ) -> None:
        self._seconds = seconds
        self._unread = b""
        self._stderr = TemporaryFile()  # noqa: SIM115 - for as long as the process
        self._process = subprocess.Popen(
            [python, "-m", "bench.guests", module],
            cwd=_ROOT,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,  # a Ctrl-C is the host's, who ends its guests
        )

    def ask(self, ask: str, **arguments: Any) -> Any:
        """The answer.

        Raises:
            MemoryError: where the guest says that it ran out of it.
            TimeoutError: where there is no answer in time; the guest is ended.
            GuestError: where the guest fails, has ended or ends.
        """
        question = json.dumps({"ask": ask, **arguments}).encode() + b"\n"
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(question)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # ended, or closed
            raise self._ended() from None
        line = self._line(ask)
        try:
            reply = json.loads(line)
        except ValueError:
            self.close()
            raise GuestError(f"no answer of a guest: {line!r}") from None
        if "error" not in reply:
            return reply["answer"]
        text = reply["error"]["text"]
        raise MemoryError(text) if reply["error"]["is_out_of_memory"] else GuestError(text)

    def close(self) -> None:
        """Ends the process, whatever it does. It has nothing to save."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdin is not None and self._process.stdout is not None
        with suppress(BrokenPipeError):  # a question that was not read before the end
            self._process.stdin.close()
        self._process.stdout.close()
        self._stderr.close()

    def _line(self, ask: str) -> bytes:
        """The next whole line."""
        assert self._process.stdout is not None
        until = time.monotonic() + self._seconds
        while b"\n" not in self._unread:
            left = max(0.0, until - time.monotonic())
            if not select.select([self._process.stdout], [], [], left)[0]:
                words = self._last_words()
                self.close()
                raise TimeoutError(
                    f"the guest did not answer {ask!r} in {self._seconds:g} s and was ended; "
                    f"its last words:\n{words}"
                )
            chunk = os.read(self._process.stdout.fileno(), 1 << 16)
            if not chunk:
                raise self._ended()
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def _ended(self) -> GuestError:
        """What to raise of a guest that is there no more."""
        if self._stderr.closed:
            return GuestError("the guest was ended before")
        status = self._process.wait(self._seconds)
        words = self._last_words()
        self.close()
        return GuestError(f"the guest ended with status {status}; its last words:\n{words}")

    def _last_words(self) -> str:
        self._stderr.seek(0)
        return last_words(self._stderr.read().decode(errors="replace"))
