"""Paths of sources in Feast's SQLite registry, after its home has moved."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def move_sources(registry: Path, before: str, now: str) -> None:
    """Have every text in the registry that names a path below the folder `before` name the same below `now`."""
    from feast.protos.feast.core.DataSource_pb2 import DataSource
    from feast.protos.feast.core.FeatureService_pb2 import FeatureService
    from feast.protos.feast.core.FeatureView_pb2 import FeatureView

    kinds: dict[str, Any] = {
        "data_sources": DataSource,
        "feature_views": FeatureView,
        "feature_services": FeatureService,
    }
    with closing(sqlite3.connect(registry)) as database, database:
        for table, kind in kinds.items():
            column = f"{table.removesuffix('s')}_proto"
            for row, content in database.execute(f"SELECT rowid, {column} FROM {table}").fetchall():
                message = kind.FromString(content)
                _rename(message, before, now)
                new = message.SerializeToString()
                database.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))


def _rename(message: Any, before: str, now: str) -> None:
    from google.protobuf.message import Message

    for field, value in message.ListFields():
        if isinstance(value, str) and value.startswith(f"{before}/"):
            setattr(message, field.name, now + value.removeprefix(before))
        elif isinstance(value, Message):
            _rename(value, before, now)
        elif field.message_type and not field.message_type.GetOptions().map_entry:  # a map holds names, not paths
            for each in value:
                _rename(each, before, now)
