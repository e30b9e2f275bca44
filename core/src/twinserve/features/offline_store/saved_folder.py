"""A folder of data that is replaced as a whole."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from twinserve.errors import BadInput
from twinserve.files.atomic import move_folder
from twinserve.files.locks import one_at_a_time


def replace_folder(place: Path, write: Callable[[Path], object]) -> None:
    """Have `write` fill a new folder, which then takes the place of what is there; old and new are never mixed.

    A SIGKILL leaves the old one or the new one; in the moment between, none, with the old one beside it under a
    hidden name, from which the next call brings it back.

    Args:
        write: takes the folder to write to; its files are on disk when it returns.

    Raises:
        BadInput: the place is a file, or holds files other than Parquet, which would be lost.
        TransientError: the disk is full.
    """
    draft, old = (place.with_name(f".{place.name}.{kind}") for kind in ("draft", "old"))
    with one_at_a_time(place.parent / ".locks" / f"{place.name}.save"):
        _recover(place, old)
        _refuse_others(place)
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir()
        try:
            write(draft)
            if place.exists():
                move_folder(place, old)
            move_folder(draft, place)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            _recover(place, old)


def _recover(place: Path, old: Path) -> None:
    if place.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        move_folder(old, place)


def _refuse_others(place: Path) -> None:
    others = [place] if place.is_file() else [f for f in place.rglob("*") if f.is_file() and f.suffix != ".parquet"]
    if others := [file for file in others if not file.name.startswith(".")]:
        raise BadInput(f"{others[0]} is no Parquet: {place} is not replaced", fix="Move it, or give another place")
