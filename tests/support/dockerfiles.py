"""Dockerfiles as instructions and stages, without an engine."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction, its continued lines joined by single spaces."""

    word: str
    rest: str


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def rests(self, word: str) -> list[str]:
        """What follows each instruction of that name."""
        return [one.rest for one in self.instructions if one.word == word]


@dataclass(frozen=True)
class Dockerfile:
    """A file, and its stages in order."""

    path: Path
    text: str
    stages: list[Stage]

    @property
    def last(self) -> Stage:
        """What becomes the image."""
        return self.stages[-1]

    def rests(self, word: str) -> list[str]:
        """What follows each instruction of that name, in all stages."""
        return [rest for stage in self.stages for rest in stage.rests(word)]


def read(path: Path) -> Dockerfile:
    """A Dockerfile that starts with FROM."""
    text = path.read_text(encoding="utf-8")
    stages: list[Stage] = []
    for one in instructions(text):
        if one.word == "FROM":
            base, _, name = one.rest.partition(" AS ")
            stages.append(Stage(base, name))
        else:
            stages[-1].instructions.append(one)
    return Dockerfile(path, text, stages)


def instructions(text: str) -> list[Instruction]:
    """The instructions, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    joined = re.sub(r"\s*\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines()]
