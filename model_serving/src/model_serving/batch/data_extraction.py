"""Second step: read the input file and join each row's features as they stood at its moment."""

from __future__ import annotations

import logging
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from model_serving.batch import output
from model_serving.batch.run import TIMESTAMP, BatchRun, Extraction, Pin, digest_as_of, file_digest
from twinserve.atomic import atomic_file
from twinserve.contract import Contract
from twinserve.entity_rows import EntityRows, read_entity_rows
from twinserve.errors import BadInput
from twinserve.features.point_in_time import EVENT_TIME_SUFFIX
from twinserve.features.service import describe_service
from twinserve.features.store import open_store
from twinserve.settings import Settings

logger = logging.getLogger(__name__)


def data_extraction(
    settings: Settings, redis_url: str, run: BatchRun, source: Path, moment: datetime | None = None
) -> dict[str, Any]:
    """Write the typed input and its features into the run's folder.

    Args:
        moment: the time of rows that name none; without it they are refused.

    Raises:
        BadInput: the file can't be used, or the run key has been used up by another input; names the file, the
            column and the first bad line.
        StepMissing: the run is not pinned yet, or there are no features to join.
        ContractMismatch: the definitions have changed since the run was pinned, and no longer fit.
    """
    digest = file_digest(source)
    if finished := output.Finished.read(run.output):
        refuse_other_input(run, finished, digest, source, moment)
        return {"rows": finished.rows, "input": str(source), "notes": [], "finished_before": True}
    pin = run.needed_pin()
    store = open_store(settings, redis_url)
    pin.contract.check_service(describe_service(store, pin.contract.feature_service))
    rows = read_entity_rows(
        source, {key.name: key.dtype for key in pin.contract.join_keys}, timestamp=TIMESTAMP, moment=moment
    )
    if moment and rows.undated:
        digest = digest_as_of(digest, moment)
    refuse_reserved_columns(source, rows.table.column_names, pin.contract)
    for note in rows.notes:
        logger.warning("%s", note)
    _write_table(rows.table, run.requests(digest))
    _join(store, rows, pin.contract, run.features(digest))
    _note(run, pin, source, digest, rows)
    return {
        "rows": rows.table.num_rows,
        "input": str(source),
        "notes": list(rows.notes),
        "finished_before": False,
        "features": str(run.features(digest)),
    }


def refuse_other_input(
    run: BatchRun, finished: output.Finished, digest: str, source: Path, moment: datetime | None
) -> None:
    """A run key stands for one input, for good.

    Raises:
        BadInput: the run was finished with another file, or as of another moment where that matters.
    """
    run.refuse_other_key(finished.run_key)
    if finished.input_digest not in (digest, moment and digest_as_of(digest, moment)):
        raise BadInput(
            f"run {run.key!r} was finished with another input than {source}{f' as of {moment}' if moment else ''}",
            fix="Take another run key for this file",
        )


def refuse_reserved_columns(source: Path, columns: list[str], contract: Contract) -> None:
    """Columns that would be taken for a feature or for our own; upper and lower case count as one.

    Raises:
        BadInput: names them.
    """
    event_times = [view + EVENT_TIME_SUFFIX for view in contract.views]
    reserved = {name.casefold() for name in [*contract.columns, *event_times, *output.COLUMNS]}
    if bad := [name for name in columns if name.casefold() in reserved]:
        raise BadInput(
            f"{source} has a column {', '.join(bad)}: the name of a feature or of an output column",
            fix="Rename or remove it",
        )


def _join(store: Any, rows: EntityRows, contract: Contract, target: Path) -> None:
    """Only keys and times go through the join: what else the file carries can't disturb it."""
    asked = target.with_name("asked.parquet")
    _write_table(rows.table.select([*(key.name for key in contract.join_keys), TIMESTAMP]), asked)
    job = store.get_historical_features(
        entity_df=str(asked),
        features=store.get_feature_service(contract.feature_service),
        full_feature_names=contract.full_feature_names,
    )
    job.write_parquet(target, event_times=True)
    asked.unlink()


def _write_table(table: pa.Table, target: Path) -> None:
    with atomic_file(target) as draft:
        pq.write_table(table, draft)


def _note(run: BatchRun, pin: Pin, source: Path, digest: str, rows: EntityRows) -> None:
    Extraction(
        run_key=run.key,
        input=str(source),
        input_digest=digest,
        model_version=pin.model_version,
        rows=rows.table.num_rows,
        notes=rows.notes,
    ).write(run.folder / "extraction.json")
