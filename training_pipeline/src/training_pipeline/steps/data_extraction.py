"""Step 2: labels, joined with the features as they stood at each label's moment."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from training_pipeline.labels import LabelColumns, without_time
from training_pipeline.run_folder import RunFolder
from training_pipeline.takeover import Origin, forget, sha256_of, take_over
from training_pipeline.training_rows import read_training_rows
from twinserve.errors import BadInput
from twinserve.files.atomic import atomic_file
from twinserve.steps.progress import RowProgress

logger = logging.getLogger(__name__)
Join = Callable[[Path, Path], int]
State = Callable[[], dict[str, str] | None]


def extract_data(
    run: RunFolder, columns: LabelColumns, pieces: Iterable[pa.Table], place: str, join: Join, state: State
) -> Mapping[str, Any]:
    """Write labels, then labels with features.

    The labels are read each time. The join is taken over from an earlier run if that one had the same labels, row by
    row, and `state` is the same; so parameters that the join does not read may be corrected without repeating it.

    Args:
        pieces: labels, as `labels.file_labels` or `database_labels` give them.
        place: where they come from, for messages.
        join: from a Parquet file of labels to one of labels with features; returns the rows.
        state: digests of all that the join reads besides the labels; None where that can't be told.

    Raises:
        BadInput: there are no labels.
    """
    labels, skipped = write_labels(run.labels, columns, pieces)
    if skipped:
        logger.warning("%s: %d labels have no time and are left out", place, skipped)
    if not labels:
        raise BadInput(f"{place} has no labels", fix="Give at least one row with a time")
    taken_from = joined_or_taken_over(run, join, state)
    rows = read_training_rows(run.training_rows, run.contract())
    result = {
        "rows": rows.table.num_rows,
        "rows_without_time": skipped,
        "missing": rows.missing_cells(),
        "taken_over_from": taken_from,
        "labels": place,
        "features": str(run.training_rows),
    }
    return run.finish("data-extraction", result)


def joined_or_taken_over(run: RunFolder, join: Join, state: State) -> str | None:
    """Labels with features, in `run.training_rows`.

    Returns:
        The key of the run whose join was taken over, None where there was none to take.
    """
    before = _made_from(run, state())
    if before and (earlier := take_over(run.training_rows, before)):
        logger.info("nothing that the join reads has changed: it is taken over from run %s", earlier)
        return earlier
    forget(run.training_rows)
    join(run.labels, run.training_rows)
    if before and _made_from(run, state()) == before:  # else something was published meanwhile
        Origin(run.run_key, before, sha256_of(run.training_rows)).write(run.training_rows)
    return None


def _made_from(run: RunFolder, state: Mapping[str, str] | None) -> dict[str, str] | None:
    if state is None:
        return None
    contract = run.contract()
    asked = contract.model_dump_json(include={"project", "feature_service", "join_keys", "features"})
    columns = hashlib.sha256(asked.encode()).hexdigest()
    return {"labels": sha256_of(run.labels), "columns": columns, **state}


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
