"""Rows that say of a key that it was deleted: a column of the offline store's files, which no view declares.

A file without the column has none of them. From its event time on such a row counts as every other does: it is the
latest of its key, and says that nothing is known of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from twinserve.features.stored_files.sql import quoted

DELETED = "twinserve_deleted"  # true, or null


def has_deleted_rows(files: Iterable[Path]) -> bool:
    """Whether one of the files has the column.

    Raises:
        OSError, pa.ArrowException: a file can't be read.
    """
    return any(DELETED in pq.read_schema(file).names for file in files)


def is_deleted() -> str:
    """SQL condition on a stored row of files that have the column."""
    return f"coalesce({quoted(DELETED)}, false)"


def without_deleted(sql: str) -> str:
    """SQL of the rows of a query that has the column, without it and without those that it marks."""
    return f"SELECT * EXCLUDE ({quoted(DELETED)}) FROM ({sql}) WHERE NOT {is_deleted()}"
