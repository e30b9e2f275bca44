"""Paths of sources in Feast's SQLite registry, after its home has moved."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from importlib import import_module
from pathlib import Path
from typing import Any

# table → its column of messages, and their type; None: each row names its own
MESSAGES = {
    "data_sources": ("data_source_proto", "DataSource"),
    "feature_views": ("feature_view_proto", "FeatureView"),
    "stream_feature_views": ("feature_view_proto", "StreamFeatureView"),
    "on_demand_feature_views": ("feature_view_proto", "OnDemandFeatureView"),
    "label_views": ("feature_view_proto", "LabelView"),
    "feature_services": ("feature_service_proto", "FeatureService"),
    "saved_datasets": ("saved_dataset_proto", "SavedDataset"),
    "feature_view_version_history": ("feature_view_proto", None),
}


def move_sources(registry: Path, before: str, now: str) -> None:
    """Have every text in the registry that names a path below the folder `before` name the same below `now`."""
    with closing(sqlite3.connect(registry)) as database, database:
        there = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        for table in there & set(MESSAGES):
            _move(database, table, before, now)


def folders_of_sources(registry: Path) -> set[Path]:
    """The folders in which the files and folders of the registry's sources lie."""
    column, kind = MESSAGES["data_sources"]
    with closing(sqlite3.connect(registry)) as database:
        rows = database.execute(f"SELECT {column} FROM data_sources").fetchall()
    paths = [_kind(str(kind)).FromString(content).file_options.uri for (content,) in rows]
    return {Path(path).parent for path in paths if path.startswith("/")}


def _move(database: sqlite3.Connection, table: str, before: str, now: str) -> None:
    column, kind = MESSAGES[table]
    named = "feature_view_type" if kind is None else "NULL"
    for row, own, content in database.execute(f"SELECT rowid, {named}, {column} FROM {table}").fetchall():
        message = _kind(kind or own.title().replace("_", "")).FromString(content)
        if _rename(message, before, now):
            new = message.SerializeToString()
            database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))


def _kind(name: str) -> Any:
    return getattr(import_module(f"feast.protos.feast.core.{name}_pb2"), name)


def _rename(message: Any, before: str, now: str) -> bool:
    """Whether there was something to rename."""
    from google.protobuf.message import Message

    changed = False
    for field, value in message.ListFields():
        if isinstance(value, str) and value.startswith(f"{before}/"):
            setattr(message, field.name, now + value.removeprefix(before))
            changed = True
        for part in _parts(field, value):
            if isinstance(part, Message):
                changed = _rename(part, before, now) or changed
    return changed


def _parts(field: Any, value: Any) -> Iterable[Any]:
    if not field.message_type:
        return []
    if field.message_type.GetOptions().map_entry:
        return list(value.values())
    return value if field.is_repeated else [value]
