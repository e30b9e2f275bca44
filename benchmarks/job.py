"""What one process is asked to do: read by contestants, so it imports nothing but the standard library."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

Facts = dict[str, Any]
# what `ready` of a contestant returns: the part that the clock measures
Measured = Callable[[], Facts]


@dataclass(frozen=True)
class Job:
    """One run of one contestant.

    Attributes:
        size: rows, keys or rows a batch, as the case counts.
        folder: empty, for this run alone, removed afterwards.
        inputs: by name: files, folders, URLs.
        options: what tells apart two contestants that share a module.
    """

    size: int
    folder: Path
    inputs: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)

    @property
    def output(self) -> Path:
        """Where the answer goes, a Parquet file, if the case has one."""
        return self.folder / "answer.parquet"

    def path(self, name: str) -> Path:
        """An input that is a file or folder."""
        return Path(self.inputs[name])

    def write(self, file: Path) -> None:
        """As JSON, for another process."""
        file.write_text(json.dumps({**asdict(self), "folder": str(self.folder)}), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> Job:
        """What `write` wrote."""
        content = json.loads(file.read_text(encoding="utf-8"))
        return cls(**{**content, "folder": Path(content["folder"])})
