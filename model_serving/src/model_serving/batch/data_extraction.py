"""Second step: read the input file and join each row's features as they stood at its moment."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from model_serving.batch.output import Finished
from model_serving.batch.publishing import finished_of
from model_serving.batch.run import BatchRun, Extraction, Pin, digest_as_of, file_digest
from model_serving.batch.shards import write_shards
from model_serving.batch.typed_input import InputWriter, TypedInput
from twinserve.contract import Contract
from twinserve.errors import BadInput
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import open_store
from twinserve.settings import Settings
from twinserve.steps.ledger import Ledger
from twinserve.steps.overlap import read_ahead
from twinserve.steps.progress import RowProgress

AHEAD = 1  # pieces of the join that may wait for the writer


def data_extraction(
    settings: Settings, redis_url: str, run: BatchRun, source: Path, moment: datetime | None = None
) -> dict[str, Any]:
    """Write the typed input and its features into the run's folder, in files of a fixed number of rows.

    One at a time for a run: a second call, as by a retry of a try that was taken for dead, is told to come again.

    Args:
        moment: the time of rows that name none; without it they are refused.

    Raises:
        BadInput: the file can't be used, or the run key has been used up by another input; names the file, the
            column and the first bad line. Or the run is of another model, or of other definitions.
        StepMissing: the run is not pinned yet, or there are no features to join.
        LedgerMismatch: the join gives another number of rows than the input has.
        ContractMismatch: the definitions have changed since the run was pinned, and no longer fit.
        TransientError: another step of the run is at work, or the disk is full.
    """
    began = time.monotonic()
    with run.alone("data-extraction"):
        if finished := finished_of(run):
            refuse_other_input(run, finished, file_digest(source), source, moment)
            return _result(source, finished.rows, len(finished.files), began) | {"notes": [], "finished_before": True}
        extraction = _extracted(settings, redis_url, run, source, moment)
    result = _result(source, extraction.rows, extraction.shards, began) | {"notes": list(extraction.notes)}
    return result | {"finished_before": False, "features": str(run.features)}


def _extracted(settings: Settings, redis_url: str, run: BatchRun, source: Path, moment: datetime | None) -> Extraction:
    pin, shard_rows, identity = run.needed_pin(), settings.batch_shard_rows, secrets.token_hex(8)
    _refuse_other_definitions(run, pin)
    given = InputWriter(run, source, pin.contract, shard_rows, identity)
    given.check(moment)  # a name mistyped must not cost what was extracted before
    run.forget_extraction()
    with given.beside(moment) as writing:
        store = open_store(settings, redis_url)  # Feast takes seconds to import
        pin.contract.check_service(describe_service(store, pin.contract.feature_service))
        found = writing.result()
    _join(store, run, found.rows, pin.contract, shard_rows, identity)
    _refuse_other_definitions(run, pin)  # they may have changed while it was at work
    return _noted(run, pin, source, found, shard_rows, identity)


def _refuse_other_definitions(run: BatchRun, pin: Pin) -> None:
    again = f"Run `model-serving batch feature-store-init --run-key {run.key}` again: it checks that the model fits"
    run.refuse_others(pin.model_name, pin.contract.feature_service, pin.definitions, again)


def refuse_other_input(run: BatchRun, finished: Finished, digest: str, source: Path, moment: datetime | None) -> None:
    """A run key stands for one input, for good.

    Raises:
        BadInput: the run was finished with another file, or as of another moment where that matters.
    """
    if finished.input_digest not in (digest, moment and digest_as_of(digest, moment)):
        raise BadInput(
            f"run {run.key!r} was finished with another input than {source}{f' as of {moment}' if moment else ''}",
            fix="Take another run key for this file",
        )


def _join(store: Any, run: BatchRun, rows: int, contract: Contract, shard_rows: int, identity: str) -> None:
    job = store.get_historical_features(
        entity_df=str(run.asked),
        features=store.get_feature_service(contract.feature_service),
        full_feature_names=contract.full_feature_names,
    )
    with read_ahead(job.to_arrow_batches(event_times=True), AHEAD) as batches, RowProgress("join", rows) as progress:
        first = next(batches)

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in chain([first], batches):
                progress.advance(batch.num_rows)
                yield batch

        joined = write_shards(counted(), first.schema, run.features, shard_rows, identity)
    Ledger(rows, {"joined": joined}).balanced(f"data-extraction of run {run.key!r}")
    run.asked.unlink()


def _noted(run: BatchRun, pin: Pin, source: Path, found: TypedInput, shard_rows: int, identity: str) -> Extraction:
    extraction = Extraction(
        run_key=run.key,
        identity=identity,
        input=str(source),
        input_digest=found.digest,
        model_version=pin.model_version,
        rows=found.rows,
        notes=found.notes,
        columns=found.columns,
        shard_rows=shard_rows,
        shards=math.ceil(found.rows / shard_rows),
        definitions=pin.definitions,
    )
    extraction.write(run.folder / "extraction.json")
    return extraction


def _result(source: Path, rows: int, shards: int, began: float) -> dict[str, Any]:
    return {
        "rows": rows,
        "ledger": Ledger(rows, {"joined": rows}).to_dict(),  # held against what was joined while it was
        "input": str(source),
        "shards": shards,
        "seconds": round(time.monotonic() - began, 3),
    }
