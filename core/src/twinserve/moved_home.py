"""A `TWINSERVE_HOME` that was moved or copied: the paths in it that name its old place are made to name the new one.

`home.json` says where the home was when a command last used it. Embedded MLflow and Feast's registry keep absolute
paths in SQLite: without this, a copy would read its features from the original, and write its models into it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from twinserve.atomic import write_atomically
from twinserve.locks import one_at_a_time
from twinserve.settings import Settings

logger = logging.getLogger(__name__)
NOTE = "home.json"
# what MLflow's tables say of places; a name that a release does not have is passed over
PLACES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "model_versions": ("source", "storage_location"),
    "logged_models": ("artifact_location",),
}


def take_over(settings: Settings) -> None:
    """Notice that the home lies elsewhere than before, say so once, and bring its paths up to date.

    A home that is only seen under another name, as by a link, is left as it is: its old paths still lead to it.

    Raises:
        TransientError: another command is at it for long, or the disk is full.
    """
    if _noted(settings) == settings.home:
        return
    with one_at_a_time(settings.home / "locks" / "home"):
        before = _noted(settings) or _place_in_mlflow(settings)
        if before and before != settings.home:
            if _is_same(before, settings.home):
                return
            _move(settings, before)
        write_atomically(settings.home / NOTE, json.dumps({"path": str(settings.home)}) + "\n")


def _move(settings: Settings, before: Path) -> None:
    gone = "moved" if not before.exists() else "copied"
    logger.warning("%s was %s from %s: its paths are taken over", settings.home, gone, before)
    if settings.mlflow_uri is None:
        _move_artifacts(_mlflow_file(settings), before.as_uri(), settings.home.as_uri())
    registry = settings.home / "feast" / "registry.db"
    if settings.feast_registry_url is None and registry.is_file():
        from twinserve.features.moved_sources import move_sources

        move_sources(registry, str(before), str(settings.home))


def _move_artifacts(file: Path, before: str, now: str) -> None:
    if not file.is_file():
        return
    with closing(sqlite3.connect(file)) as database, database:
        for table, column in _columns(database):
            database.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) WHERE substr({column}, 1, ?) = ?",  # noqa: S608
                (now, len(before) + 1, len(before) + 1, f"{before}/"),
            )


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


def _mlflow_file(settings: Settings) -> Path:
    return settings.home / "mlflow" / "mlflow.db"


def _is_same(before: Path, now: Path) -> bool:
    try:
        return before.samefile(now)
    except OSError:
        return False
