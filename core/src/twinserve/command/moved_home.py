"""A `TWINSERVE_HOME` that was moved or copied: the paths in it that name its old place are made to name the new one.

`home.json` says where the home was when a command last used it. Embedded MLflow and Feast's registry keep absolute
paths in SQLite, watermarks and the notes of runs keep them in JSON: without this, a copy would read its features from
the original, write its models into it, and begin the embedded source from the start.
"""

from __future__ import annotations

import json
import logging
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

from twinserve.files.atomic import write_atomically
from twinserve.files.locks import one_at_a_time
from twinserve.settings import Settings

Renamed = Callable[[str], str]
logger = logging.getLogger(__name__)
NOTE = "home.json"
# what MLflow's tables say of places; a name that a release does not have is passed over
PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
    "datasets": ("dataset_source",),
}
NOTES = ("runs", "watermarks", "predictions")  # folders of JSON files


def take_over(settings: Settings) -> None:
    """Notice that the home lies elsewhere than before, say so once, and bring its paths up to date.

    A home that is only seen under another name, as by a link, is left as it is: its old paths still lead to it.

    Raises:
        TransientError: another command is at it for long, or the disk is full.
    """
    if _noted(settings) == settings.home:
        return
    with one_at_a_time(settings.home / "locks" / "home"):
        before = _noted(settings) or _place_in_mlflow(settings) or _place_in_feast(settings)
        if before and before != settings.home:
            if _is_same(before, settings.home):
                return
            _move(settings, before)
        write_atomically(settings.home / NOTE, json.dumps({"path": str(settings.home)}) + "\n")


def _move(settings: Settings, before: Path) -> None:
    gone = "moved" if not before.exists() else "copied"
    logger.warning("%s was %s from %s: its paths are taken over", settings.home, gone, before)
    renamed = _renamer(before, settings.home)
    _move_notes(settings.home, renamed)
    _rename_watermarks(settings.home)
    if settings.mlflow_uri is None:
        _move_artifacts(_mlflow_file(settings), renamed)
    registry = _registry_file(settings)
    if settings.feast_registry_url is None and registry.is_file():
        from twinserve.features.feast_repo.moved_sources import move_sources

        move_sources(registry, str(before), str(settings.home))


def _move_artifacts(file: Path, renamed: Renamed) -> None:
    if not file.is_file():
        return
    with closing(sqlite3.connect(file)) as database, database:
        for table, column in _columns(database):
            for row, text in database.execute(f"SELECT rowid, {column} FROM {table}").fetchall():  # noqa: S608
                if text and (new := renamed(text)) != text:
                    database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))  # noqa: S608


def _move_notes(home: Path, renamed: Renamed) -> None:
    for file in (file for folder in NOTES for file in (home / folder).rglob("*.json")):
        text = file.read_text(encoding="utf-8")
        if (new := renamed(text)) != text:
            write_atomically(file, new)


def _rename_watermarks(home: Path) -> None:
    """A watermark's file is named after its source."""
    from twinserve.values.databases import source_key

    for file in list((home / "watermarks").rglob("*.json")):
        with suppress(ValueError, KeyError, TypeError, AttributeError):  # who reads a damaged one says so
            file.replace(file.with_name(f"{source_key(json.loads(file.read_bytes())['source'])}.json"))


def _renamer(before: Path, now: Path) -> Renamed:
    """Renames in a text, also of JSON: a path below the home as it is, as a `file:` URI, as a database's name."""
    pairs = {before.as_uri(): now.as_uri()}
    for ascii_only in (True, False):
        old, new = (json.dumps(str(path), ensure_ascii=ascii_only)[1:-1] for path in (before, now))
        pairs |= {f"{mark}{old}": f"{mark}{new}" for mark in ('"', "sqlite:///")}
    found = re.compile("|".join(f"{re.escape(old)}(?=/)" for old in pairs))
    return lambda text: found.sub(lambda match: pairs[match.group()], text)


def _columns(database: sqlite3.Connection) -> Iterator[tuple[str, str]]:
    for table, wanted in PLACES.items():
        there = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        yield from ((table, column) for column in wanted if column in there)


def _noted(settings: Settings) -> Path | None:
    try:
        return Path(json.loads((settings.home / NOTE).read_bytes())["path"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _place_in_mlflow(settings: Settings) -> Path | None:
    """Where the home of an earlier release was, which noted nothing: its experiments name their folder."""
    file = _mlflow_file(settings)
    if settings.mlflow_uri is not None or not file.is_file():
        return None
    from urllib.parse import unquote, urlsplit

    with closing(sqlite3.connect(file)) as database:
        if ("experiments", "artifact_location") not in list(_columns(database)):
            return None
        found = database.execute("SELECT artifact_location FROM experiments ORDER BY experiment_id DESC").fetchall()
    end = "/mlflow/artifacts"
    places = [unquote(urlsplit(place).path) for (place,) in found if place and place.startswith("file:")]
    return next((Path(place.removesuffix(end)) for place in places if place.endswith(end)), None)


def _place_in_feast(settings: Settings) -> Path | None:
    """The same of one whose MLflow is a server: the sources in its registry name its offline store.

    A source may also lie in a folder of somebody else's. Such a folder is none of ours: it is there without a registry.
    """
    registry = _registry_file(settings)
    if settings.feast_registry_url is not None or not registry.is_file():
        return None
    from twinserve.features.feast_repo.moved_sources import folders_of_sources

    found = {folder.parent for folder in folders_of_sources(registry) if folder.name == settings.offline_store.name}
    if settings.home in found:
        return None
    kept = registry.relative_to(settings.home)
    places = sorted(place for place in found if not place.exists() or (place / kept).is_file())
    return places[0] if len(places) == 1 else None


def _registry_file(settings: Settings) -> Path:
    return settings.home / "feast" / "registry.db"


def _mlflow_file(settings: Settings) -> Path:
    return settings.home / "mlflow" / "mlflow.db"


def _is_same(before: Path, now: Path) -> bool:
    try:
        return before.samefile(now)
    except OSError:
        return False
