"""Rows that a source corrected in place: the same keys and times, other values. Each is listed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.publishing.offline_files import identity
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.files.atomic import atomic_file

Decision = Literal["replaced", "filled", "superseded", "keep_first", "older_read", "refused"]
KEY_DELETED = "key deleted"  # what a person reads for the mark of a deletion
SCHEMA = pa.schema([(name, pa.string()) for name in ("row", "before", "after", "decision")])


class Correction(NamedTuple):
    """Two sets of values for one row.

    Attributes:
        row: its keys and times, as JSON by stored column.
        before: the features that were there first, as JSON; with `"key deleted": true` where the row says so.
        after: those that came against them.
        decision: `replaced`: the store holds `after` now. `filled`: so it does, and they differ in columns alone that
            the stored row had not. `superseded`: both were in one read, `after` is the later. `keep_first` and
            `older_read`: the store still holds `before`, by the rule, or because it was read later than `after`.
            `refused`: the rule let the run end.
    """

    row: str
    before: str
    after: str
    decision: Decision


def corrections(before: pa.Table, after: pa.Table, view: ViewSpec, decision: Decision) -> list[Correction]:
    """The rows of two tables side by side: those at the same place have the same identity."""
    names = _texts(after, identity(view))
    return [
        Correction(row, old, new, decision)
        for row, old, new in zip(
            names, _texts(before, list(view.features)), _texts(after, list(view.features)), strict=True
        )
    ]


def _texts(table: pa.Table, columns: list[str]) -> list[str]:
    rows = (_told(row) for row in table.select(columns).to_pylist())
    return [json.dumps(row, default=_plain, ensure_ascii=False) for row in rows]


def _told(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, KEY_DELETED: True} if row.pop(DELETED, None) else row


def _plain(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


class CorrectionLog:
    """The folder of one view's corrections, `<root>/<view>/<run>.parquet`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def record(self, found: Iterable[Correction], name: str) -> Path | None:
        """Add to the list of the run `name`; returns its file, None where there is none.

        What it holds stays: after a kill, the try that follows no longer finds what the first one replaced.
        """
        file, listed = self.file(name), self.listed(name)
        together = sorted({*listed, *found})
        if len(together) > len(listed):
            write_corrections(together, file)
        return file if together else None

    def listed(self, name: str) -> list[Correction]:
        """What all tries of a run found, ordered."""
        file = self.file(name)
        return [Correction(**row) for row in pq.read_table(file).to_pylist()] if file.exists() else []

    def file(self, name: str) -> Path:
        """Where the list of a run is."""
        return self.folder / f"{name}.parquet"


def write_corrections(found: Iterable[Correction], file: Path) -> None:
    """Save as Parquet: `row`, `before`, `after`, `decision`."""
    with atomic_file(file) as draft:
        pq.write_table(pa.Table.from_pylist([row._asdict() for row in found], SCHEMA), draft)
