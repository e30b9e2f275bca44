"""Work of an earlier run, taken over where what it was made from has not changed.

Beside a file lies `<name>.made_from.json`: digests of all that the file was made from, by name, and of the file itself.
A file whose own digest is another than noted is damaged or half replaced, and nobody takes it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from twinserve.files.atomic import atomic_file, write_atomically

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Origin:
    """What one file was made from.

    Attributes:
        run_key: of the run that made it; one that took it over names the one that made it.
        made_from: input → its digest.
        sha256: of the file.
    """

    run_key: str
    made_from: dict[str, str]
    sha256: str

    @classmethod
    def read(cls, file: Path) -> Origin | None:
        """That of `file`; None where it is not known."""
        with suppress(OSError, ValueError, TypeError):
            return cls(**json.loads(_note(file).read_text(encoding="utf-8")))
        return None

    def write(self, file: Path) -> None:
        """Note it beside `file`, which must be there, whole."""
        write_atomically(_note(file), json.dumps(asdict(self), indent=1) + "\n")


def forget(file: Path) -> None:
    """The file is about to be made anew."""
    _note(file).unlink(missing_ok=True)


def take_over(target: Path, made_from: Mapping[str, str]) -> str | None:
    """Put a file of any run, this one included, that was made from the same in the place of `target`.

    Args:
        target: in the folder of one run, beside which lie those of others.

    Returns:
        The key of the run that made it; None where there is no such file.
    """
    for file, origin in _candidates(target, made_from):
        with suppress(_OtherFile, FileNotFoundError):
            if file == target:
                _refuse_other(sha256_of(file), origin)
            else:
                _copy(file, target, origin)
            origin.write(target)
            return origin.run_key
    _say_why_not(target, made_from)
    return None


def sha256_of(file: Path) -> str:
    """Of the file's bytes."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


class _OtherFile(Exception):
    """It is not the file that its note tells of."""


def _copy(file: Path, target: Path, origin: Origin) -> None:
    with atomic_file(target) as draft:
        shutil.copyfile(file, draft)
        _refuse_other(sha256_of(draft), origin)  # it may have been replaced meanwhile


def _refuse_other(sha256: str, origin: Origin) -> None:
    if sha256 != origin.sha256:
        raise _OtherFile


def _candidates(target: Path, made_from: Mapping[str, str]) -> Iterator[tuple[Path, Origin]]:
    """Files made from the same, the run's own first."""
    for file in sorted(target.parent.parent.glob(f"*/{target.name}"), key=lambda file: (file != target, file)):
        origin = Origin.read(file)
        if origin and origin.made_from == made_from:
            yield file, origin


def _say_why_not(target: Path, made_from: Mapping[str, str]) -> None:
    known = [Origin.read(file) for file in target.parent.parent.glob(f"*/{target.name}")]
    for origin in filter(None, known):
        changed = [name for name in made_from if origin.made_from.get(name) != made_from[name]]
        logger.info("%s of run %s is not taken over: changed since are %s", target.name, origin.run_key, changed)


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.made_from.json")
