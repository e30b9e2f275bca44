"""The commands that the README tells people to type, from its fenced `sh` blocks."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(text: str) -> list[list[str]]:
    """One list of words for each command; comments and continuation lines are dealt with."""
    lines = "".join(BLOCK.findall(text)).replace("\\\n", " ").splitlines()
    words = (shlex.split(line, comments=True) for line in lines)
    return [each for each in words if each]


def readme(root: Path) -> list[list[str]]:
    """The commands of a checkout's README."""
    return commands((root / "README.md").read_text(encoding="utf-8"))
