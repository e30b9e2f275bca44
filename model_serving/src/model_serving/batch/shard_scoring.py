"""One shard: its rows read, scored by several threads, and written, all at once and in order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model_serving.batch.output import Facts, Source, output_schema
from model_serving.batch.run import TIMESTAMP, BatchRun, Extraction
from model_serving.batch.score_summary import ScoreSummary
from model_serving.batch.shards import CHUNK, identity_of, shard_name, texts
from model_serving.passed_as_nan import Passed, PassedAsNaN, PassedSummary
from model_serving.scoring import REASON_NAMES, SCORED, Scored, count_reasons, reason_names, score_cells
from twinserve.errors import StepMissing
from twinserve.files.atomic import atomic_file
from twinserve.files.parquet_batches import parquet_batches
from twinserve.missing import cell_status
from twinserve.model.feature_matrix import feature_event_times, feature_values, micros
from twinserve.registry import ServedModel
from twinserve.steps.overlap import in_order
from twinserve.steps.progress import RowProgress

GROUP = 4  # chunks in a row group of the output


def score_shard(
    run: BatchRun, extraction: Extraction, source: Source, model: ServedModel, progress: RowProgress
) -> None:
    """Write the output file of one shard.

    Raises:
        LedgerMismatch: not every row that was extracted has a score or a reason; no file is written.
        StepMissing: its features are missing or damaged.
        TransientError: the disk is full.
    """
    rows, threads = ShardRows(run, extraction, source.shard), model.calls_at_once
    tally, summary, passed = count_reasons(np.empty(0, np.int8)), ScoreSummary(), PassedSummary()
    target = run.unfinished / shard_name(source.shard)
    with atomic_file(target) as draft, _writer(draft, output_schema(rows.schema)) as writer:
        with ThreadPoolExecutor(threads) as pool:
            scored = in_order(pool, ChunkScorer(model, rows.schema), rows.chunks(), GROUP + threads)
            for group in _in_groups(scored):
                writer.write_table(pa.Table.from_batches([chunk.output for chunk in group]), GROUP * CHUNK)
                for chunk in group:
                    tally, summary = tally + chunk.reasons, summary.joined(chunk.scores)
                    passed = passed.joined(chunk.passed)
                    progress.advance(chunk.output.num_rows)
        facts = _facts(source, tally, summary, passed)
        facts.ledger(rows.number).balanced(f"batch-prediction of shard {source.shard} of run {run.key!r}")
        writer.add_key_value_metadata(facts.footer())


class ShardRows:
    """The extracted rows of one shard: keys, times and features in one file, the input's other columns in another.

    Attributes:
        number: how many there are.
    """

    def __init__(self, run: BatchRun, extraction: Extraction, shard: int) -> None:
        self._run, self._columns, self.number = run, extraction.columns, extraction.rows_of(shard)
        self._name, self._identity = shard_name(shard), extraction.identity
        self._features = self._opened(run.features)
        asked = set(self._features.schema_arrow.names)
        self._further = self._opened(run.further) if set(extraction.columns) - asked else None

    @cached_property
    def schema(self) -> pa.Schema:
        """The input's columns, in its order."""
        files = [self._features, *([self._further] if self._further else [])]
        fields = {field.name: field for file in files for field in file.schema_arrow}
        return pa.schema([fields[name] for name in self._columns])

    def chunks(self) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch | None]]:
        """Features and other columns, `CHUNK` rows at a time."""
        further = parquet_batches(self._further, CHUNK) if self._further else repeat(None)
        try:
            yield from zip(parquet_batches(self._features, CHUNK), further, strict=False)
        except (OSError, pa.ArrowInvalid):
            raise self._damaged(self._run.features.parent / "*" / self._name) from None

    def _opened(self, folder: Path) -> pq.ParquetFile:
        try:
            found = pq.ParquetFile(folder / self._name)
        except (OSError, pa.ArrowInvalid):
            raise self._damaged(folder / self._name) from None
        if found.metadata.num_rows != self.number:
            raise self._damaged(folder / self._name)
        if identity_of(found.metadata) != self._identity:
            raise self._damaged(folder / self._name, "is of another extraction than the one that was begun with")
        return found

    def _damaged(self, file: Path, how: str = "is missing or damaged") -> StepMissing:
        return StepMissing(
            f"{file} {how}",
            fix=f"Run `model-serving batch data-extraction --run-key {self._run.key}` again",
        )


@dataclass(frozen=True)
class ScoredChunk:
    """Output rows, how many of them have each reason, their scores' statistics, and what was passed on as NaN."""

    output: pa.RecordBatch
    reasons: NDArray[np.int64]
    scores: ScoreSummary
    passed: PassedSummary


class ChunkScorer:
    """Scores one chunk; called by as many threads as the model takes."""

    def __init__(self, model: ServedModel, schema: pa.Schema) -> None:
        self._model, self._schema = model, output_schema(schema)
        self._columns = schema.names
        self._passed = PassedAsNaN(model.contract)
        self._name = pa.repeat(pa.scalar(model.name, pa.string()), CHUNK)
        self._version = pa.repeat(pa.scalar(model.version, pa.string()), CHUNK)

    def __call__(self, chunk: tuple[pa.RecordBatch, pa.RecordBatch | None]) -> ScoredChunk:
        joined, further = chunk
        contract = self._model.contract
        values, event_times = feature_values(joined, contract), feature_event_times(joined, contract)
        status = cell_status(contract, values, event_times, micros(joined[TIMESTAMP]))
        scored = score_cells(self._model, values, status)
        passed = self._passed.found(status, scored.reasons)
        given = dict(zip(joined.schema.names, joined.columns, strict=True))
        if further is not None:
            given |= dict(zip(further.schema.names, further.columns, strict=True))
        output = self._completed([given[name] for name in self._columns], scored, passed)
        summary = ScoreSummary.of(scored.scores)
        return ScoredChunk(output, count_reasons(scored.reasons), summary, self._passed.summary(passed))

    def _completed(self, given: list[pa.Array], scored: Scored, passed: Passed | None) -> pa.RecordBatch:
        rows = len(scored.scores)
        predictions = pa.array(scored.scores, pa.float64(), mask=np.isnan(scored.scores))
        told = [reason_names(scored.reasons), self._passed.texts(passed, rows)]
        ours = [predictions, *told, self._name[:rows], self._version[:rows]]
        return pa.RecordBatch.from_arrays([*given, *ours], schema=self._schema)


def _writer(file: Path, schema: pa.Schema) -> pq.ParquetWriter:
    return pq.ParquetWriter(file, schema, compression="zstd", use_dictionary=texts(schema))


def _in_groups(chunks: Iterator[ScoredChunk]) -> Iterator[list[ScoredChunk]]:
    group: list[ScoredChunk] = []
    for chunk in chunks:
        group.append(chunk)
        if len(group) == GROUP:
            yield group
            group = []
    if group:
        yield group


def _facts(source: Source, tally: NDArray[np.int64], summary: ScoreSummary, passed: PassedSummary) -> Facts:
    return Facts(
        **source.model_dump(),
        rows=int(tally.sum()),
        predicted=int(tally[SCORED]),
        left_out=dict(sorted((name, int(tally[code])) for code, name in REASON_NAMES.items() if tally[code])),
        scores=summary,
        passed_as_nan=passed,
    )
