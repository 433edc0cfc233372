"""What became of many calls, in numbers."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass, field

from .attempt import Outcome
from .calls import ENTRIES, Call

MOST_SHOWN = 10  # wrong ones
HEAD = 96  # characters of a message
VERDICTS = ("succeeded", "refused", "too much work", "not made", "WRONG")


@dataclass
class Summary:
    """Of the calls of one process, or of several."""

    seconds: float = 0
    mb_before: float = 0
    mb: float = 0
    of_entry: Counter[tuple[str, str]] = field(default_factory=Counter)
    messages: Counter[tuple[str, str]] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, index: int, call: Call, outcome: Outcome) -> None:
        self.of_entry[call.entry, outcome.verdict] += 1
        if outcome.verdict == "refused":
            self.messages[outcome.error, head_of(outcome.message)] += 1
        if outcome.verdict == "WRONG":
            told = f"WRONG, call {index}: {outcome.error}: {outcome.message}\n{call!r}"
            self.wrong.append(told)

    def join(self, other: Summary) -> None:
        """With what another process made at the same time."""
        self.seconds = max(self.seconds, other.seconds)
        self.mb_before = max(self.mb_before, other.mb_before)
        self.mb = max(self.mb, other.mb)
        self.of_entry += other.of_entry
        self.messages += other.messages
        self.wrong += other.wrong

    def as_json(self) -> str:
        fields = vars(self) | {
            "of_entry": [[*key, count] for key, count in self.of_entry.items()],
            "messages": [[*key, count] for key, count in self.messages.items()],
        }
        return json.dumps(fields)

    @staticmethod
    def from_json(text: str) -> Summary:
        fields = json.loads(text)
        for name in ("of_entry", "messages"):
            fields[name] = Counter({(one, other): n for one, other, n in fields[name]})
        return Summary(**fields)

    def as_text(self) -> str:
        """Tables for people."""
        calls = self.of_entry.total()
        lines = [
            f"{self.seconds:.0f} s, {calls / max(self.seconds, 1e-9):.0f} calls a second; memory "
            f"of a process at its peak {self.mb:.0f} MB, {self.mb_before:.0f} MB before",
            "",
            f"{'':34}" + "".join(f"{verdict:>15}" for verdict in VERDICTS),
        ]
        for entry in ENTRIES:
            counts = "".join(f"{self.of_entry[entry, verdict]:15,}" for verdict in VERDICTS)
            lines.append(f"{entry:34}{counts}")
        totals = (sum(self.of_entry[entry, verdict] for entry in ENTRIES) for verdict in VERDICTS)
        lines += [f"{'all':34}" + "".join(f"{total:15,}" for total in totals), "", "refused by"]
        for (error, message), count in self.messages.most_common():
            lines.append(f"{count:9,}  {error}: {message}")
        for told in self.wrong[:MOST_SHOWN]:
            lines += ["", told]
        return "\n".join(lines)


def head_of(message: str) -> str:
    """The first line, without what differs from call to call."""
    line = message.split("\n", 1)[0]
    line = re.sub(r"got '.*", "got '...'", line)
    line = re.sub(r"'[^']*'|\"[^\"]*\"", "'...'", line)
    line = re.sub(r"(?<!\w)-?\d[\d.e+]*\b(?!-D)", "N", line)
    line = re.sub(r"([(\[])(?:j?N(?:, ?)?)+([)\]])", r"\1...\2", line)
    return line.encode("ascii", "backslashreplace").decode()[:HEAD]
