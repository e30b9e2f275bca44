"""What was measured, and its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contest import Answer
from twinserve.files.atomic import write_atomically


@dataclass(frozen=True)
class Measurement:
    """One contestant at one size.

    Attributes:
        seconds: of each run; the table takes the least.
        peak_bytes: resident memory of each run; the table takes the most.
        scratch_bytes: intermediate files, the most of any run.
        answer: None where it was run by somebody who checks nothing.
        pair: only those of one pair are compared.
        absent: why there are no figures; empty where there are.
    """

    case: str
    size: int
    contestant: str
    ours: bool = False
    limit: bool = False
    seconds: tuple[float, ...] = ()
    peak_bytes: tuple[int, ...] = ()
    scratch_bytes: int = 0
    answer: Answer | None = None
    absent: str = ""
    pair: str = ""

    @property
    def best(self) -> float:
        """Seconds of the fastest run."""
        return min(self.seconds)

    @property
    def peak(self) -> int:
        """Bytes of the largest run."""
        return max(self.peak_bytes)


@dataclass(frozen=True)
class Results:
    """One call of the benchmarks.

    Attributes:
        command: as typed.
        machine: class of machine and versions, see `benchmarks.machine`.
        date: of the begin, ISO, UTC.
    """

    command: str
    machine: dict[str, str]
    date: str
    measurements: tuple[Measurement, ...]

    def write(self, file: Path) -> None:
        """As JSON, in one step."""
        write_atomically(file, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, file: Path) -> Results:
        """What `write` wrote."""
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{**content, "measurements": tuple(_measurement(each) for each in content["measurements"])})


def _measurement(content: dict[str, Any]) -> Measurement:
    answer = Answer(**content["answer"]) if content["answer"] else None
    lists = {name: tuple(content[name]) for name in ("seconds", "peak_bytes")}
    return Measurement(**{**content, **lists, "answer": answer})
