"""Third step: score the extracted rows; one output row per input row, in input order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_serving.batch.output import Finished, output_schema
from model_serving.batch.run import TIMESTAMP, BatchRun, Extraction
from model_serving.scoring import REASON_NAMES, SCORED, Scored, count_reasons, reason_names, score_rows
from twinserve.atomic import atomic_file
from twinserve.errors import StepMissing
from twinserve.feature_matrix import feature_event_times, feature_values, micros
from twinserve.progress import RowProgress
from twinserve.registry import ServedModel

logger = logging.getLogger(__name__)
CHUNK = 65_536  # rows scored at a time; fixed, since the size of a matrix may move the last bit of a product
LoadVersion = Callable[[str], ServedModel]


def batch_prediction(run: BatchRun, load_version: LoadVersion) -> dict[str, Any]:
    """Write the run's output; a finished one is reported again as it is, whatever has changed since.

    Args:
        load_version: loads the pinned version, checked.

    Raises:
        StepMissing: an earlier step has not run.
        ContractMismatch: the pinned version's artifact is damaged.
        TransientError: MLflow can't be reached, or the disk is full.
    """
    finished = Finished.read(run.output)
    if finished:
        run.refuse_other_key(finished.run_key)
        return _result(run, finished, finished_before=True)
    extraction = run.needed_extraction()
    model = load_version(extraction.model_version)
    return _result(run, _predict(run, extraction, model), finished_before=False)


def _predict(run: BatchRun, extraction: Extraction, model: ServedModel) -> Finished:
    digest = extraction.input_digest
    requests, features = _opened(run, run.requests(digest)), _opened(run, run.features(digest))
    schema = output_schema(requests.schema_arrow)
    tally = count_reasons(np.empty(0, np.int8))
    with atomic_file(run.output) as draft, pq.ParquetWriter(draft, schema, compression="zstd") as writer:
        with RowProgress("predict", extraction.rows) as progress:
            for part, scored in _scored_parts(requests, features, model):
                writer.write_batch(_completed(part, scored, model, schema))
                tally += count_reasons(scored.reasons)
                progress.advance(part.num_rows)
        finished = _facts(run, extraction, model, tally)
        writer.add_key_value_metadata(finished.footer())
    return finished


def _opened(run: BatchRun, path: Path) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(path)
    except (OSError, pa.ArrowInvalid):
        raise StepMissing(
            f"{path} is missing or damaged",
            fix=f"Run `model-serving batch data-extraction --run-key {run.key}` again",
        ) from None


def _scored_parts(
    requests: pq.ParquetFile, features: pq.ParquetFile, model: ServedModel
) -> Iterator[tuple[pa.RecordBatch, Scored]]:
    """Chunks of the input with their scores; both files hold the same rows in the same order."""
    pairs = zip(requests.iter_batches(CHUNK), features.iter_batches(CHUNK), strict=True)
    for part, joined in pairs:
        if part.num_rows != joined.num_rows:
            raise RuntimeError(f"{part.num_rows} input rows, {joined.num_rows} joined rows")
        values, event_times = feature_values(joined, model.contract), feature_event_times(joined, model.contract)
        yield part, score_rows(model, values, event_times, micros(joined[TIMESTAMP]))


def _completed(part: pa.RecordBatch, scored: Scored, model: ServedModel, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        *part.columns,
        pa.array(scored.scores, pa.float64(), mask=np.isnan(scored.scores)),
        reason_names(scored.reasons),
        pa.repeat(pa.scalar(model.name, pa.string()), part.num_rows),
        pa.repeat(pa.scalar(model.version, pa.string()), part.num_rows),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _facts(run: BatchRun, extraction: Extraction, model: ServedModel, tally: NDArray[np.int64]) -> Finished:
    return Finished(
        run_key=run.key,
        input_digest=extraction.input_digest,
        model_name=model.name,
        model_version=model.version,
        rows=int(tally.sum()),
        predicted=int(tally[SCORED]),
        left_out=dict(sorted((name, int(tally[code])) for code, name in REASON_NAMES.items() if tally[code])),
    )


def _result(run: BatchRun, finished: Finished, *, finished_before: bool) -> dict[str, Any]:
    return {
        "rows": finished.rows,
        "predicted": finished.predicted,
        "left_out": finished.left_out,
        "output": str(run.output),
        "model_name": finished.model_name,
        "model_version": finished.model_version,
        "finished_before": finished_before,
    }
