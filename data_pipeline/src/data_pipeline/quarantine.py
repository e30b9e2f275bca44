"""Rows set aside for good, kept with their original values and the reasons; each of them once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.files.atomic import atomic_file

SCHEMA = pa.schema(
    [
        ("digest", pa.string()),
        ("source", pa.string()),
        ("original", pa.string()),
        ("reasons", pa.list_(pa.string())),
    ]
)


class SetAside(NamedTuple):
    """One bad row: its source's name, its values as JSON by source column, why it is bad."""

    source: str
    original: str
    reasons: list[str]

    @property
    def digest(self) -> str:
        """The same for the same values from the same source."""
        return hashlib.sha256(f"{self.source}\n{self.original}".encode()).hexdigest()[:32]


class Quarantine:
    """The folder of one view, `<root>/<view>/<run>.parquet`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def new(self, rows: Iterable[SetAside], name: str) -> list[SetAside]:
        """Those rows that no file but `name` holds, each once: a row pulled again is the same row."""
        rows = list(rows)
        if not rows:
            return []
        known = self._digests(except_for=self._file(name))
        fresh = {row.digest: row for row in rows if row.digest not in known}
        return [fresh[digest] for digest in sorted(fresh)]

    def record(self, rows: list[SetAside], name: str) -> Path | None:
        """Add `rows` to the file `name`; None if there are none.

        What the file holds stays: after a kill in the middle of publishing, the run that repeats it no longer
        finds the rows that it had replaced.
        """
        if not rows:
            return None
        file = self._file(name)
        together = {row.digest: row for row in [*_read_rows(file), *rows]}
        write_rows([together[digest] for digest in sorted(together)], file)
        return file

    def _digests(self, except_for: Path) -> set[str]:
        files = [file for file in self.folder.glob("*.parquet") if file != except_for]
        return {digest for file in files for digest in pq.read_table(file, columns=["digest"])[0].to_pylist()}

    def _file(self, name: str) -> Path:
        return self.folder / f"{name}.parquet"


def write_rows(rows: list[SetAside], file: Path) -> None:
    """Save rows as Parquet."""
    values = [{**row._asdict(), "digest": row.digest} for row in rows]
    with atomic_file(file) as draft:
        pq.write_table(pa.Table.from_pylist(values, SCHEMA), draft)


def _read_rows(file: Path) -> list[SetAside]:
    if not file.exists():
        return []
    rows = pq.read_table(file, columns=["source", "original", "reasons"]).to_pylist()
    return [SetAside(**row) for row in rows]
