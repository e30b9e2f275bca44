"""Step 2: labels, joined with the features as they stood at each label's moment."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training_pipeline.labels import LabelColumns, without_time
from training_pipeline.run_folder import RunFolder
from training_pipeline.training_rows import read_training_rows
from twinserve.atomic import atomic_file
from twinserve.errors import BadInput
from twinserve.progress import RowProgress

logger = logging.getLogger(__name__)
Join = Callable[[Path, Path], int]


def extract_data(
    run: RunFolder, columns: LabelColumns, pieces: Iterable[pa.Table], place: str, join: Join
) -> Mapping[str, Any]:
    """Write labels, then labels with features.

    Args:
        pieces: labels, as `labels.file_labels` or `labels.database_labels` give them.
        place: where they come from, for messages.
        join: from a Parquet file of labels to one of labels with features; returns the rows.

    Raises:
        BadInput: there are no labels.
    """
    labels, skipped = write_labels(run.labels, columns, pieces)
    if skipped:
        logger.warning("%s: %d labels have no time and are left out", place, skipped)
    if not labels:
        raise BadInput(f"{place} has no labels", fix="Give at least one row with a time")
    joined = join(run.labels, run.training_rows)
    rows = read_training_rows(run.training_rows, run.contract())
    result = {
        "rows": joined,
        "rows_without_time": skipped,
        "missing": rows.missing_cells(),
        "labels": place,
        "features": str(run.training_rows),
    }
    return run.finish("data-extraction", result)


def write_labels(file: Path, columns: LabelColumns, pieces: Iterable[pa.Table]) -> tuple[int, int]:
    """Write the labels as they come; returns rows written, and rows left out for want of a time."""
    written = skipped = 0
    with (
        atomic_file(file) as draft,
        pq.ParquetWriter(draft, columns.schema) as parquet,
        RowProgress("labels", None) as seen,
    ):
        for piece in pieces:
            kept, dropped = without_time(piece)
            parquet.write_table(kept)
            written, skipped = written + kept.num_rows, skipped + dropped
            seen.advance(piece.num_rows)
    return written, skipped
