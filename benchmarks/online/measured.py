"""What was measured online, and its file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.online.load import Load
from twinserve.files.atomic import write_atomically


@dataclass(frozen=True)
class Figures:
    """One contestant at one case.

    Attributes:
        loads: of each run.
        ready_seconds: from the start of its process to ready, of each start.
        ready_bytes: resident memory then.
        absent: why there are no figures; empty where there are.
    """

    case: str
    contestant: str
    title: str
    ours: bool = False
    limit: bool = False
    loads: tuple[Load, ...] = ()
    ready_seconds: tuple[float, ...] = ()
    ready_bytes: tuple[int, ...] = ()
    absent: str = ""

    def with_run(self, load: Load) -> Figures:
        """And one more run."""
        return replace(self, loads=(*self.loads, load))

    def with_start(self, seconds: float, size: int) -> Figures:
        """And one more start."""
        return replace(self, ready_seconds=(*self.ready_seconds, seconds), ready_bytes=(*self.ready_bytes, size))

    @property
    def best(self) -> Load:
        """The run with the most good answers a second."""
        return max(self.loads, key=lambda load: load.rate)

    @property
    def peak_bytes(self) -> int:
        """Of the largest run."""
        return max(load.server_bytes for load in self.loads)


@dataclass(frozen=True)
class OnlineResults:
    """One call.

    Attributes:
        command: as typed.
        machine: class of machine and versions, see `benchmarks.machine`.
        date: of the begin, ISO, UTC.
    """

    command: str
    machine: dict[str, str]
    date: str
    figures: tuple[Figures, ...]

    def of(self, case: str) -> list[Figures]:
        """Those of one case."""
        return [each for each in self.figures if each.case == case]

    def write(self, file: Path) -> None:
        """As JSON, in one step."""
        write_atomically(file, json.dumps(asdict(self), indent=1) + "\n")

    @classmethod
    def read(cls, file: Path) -> OnlineResults:
        """What `write` wrote."""
        content: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{**content, "figures": tuple(_figures(each) for each in content["figures"])})


def _figures(content: dict[str, Any]) -> Figures:
    lists = {name: tuple(content[name]) for name in ("ready_seconds", "ready_bytes")}
    loads = tuple(Load(**each) for each in content["loads"])
    return Figures(**{**content, **lists, "loads": loads})
