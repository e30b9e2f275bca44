"""Feast's retrieval job over a stream of batches."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Protocol

import pandas as pd
import pyarrow as pa
from feast import OnDemandFeatureView
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.saved_dataset import SavedDatasetStorage

from twinserve.errors import BadInput
from twinserve.features.offline_store.parquet_stream import write_batches
from twinserve.features.offline_store.saved_folder import replace_folder
from twinserve.features.stored_files.feast_arrow import cast_column, declared_type
from twinserve.features.stored_files.source_files import source_path
from twinserve.steps.progress import RowProgress


class RowStream(Protocol):
    """Where a job's rows come from, each time anew."""

    @property
    def total(self) -> int | None:
        """How many there will be, if known."""

    def batches(self, *, event_times: bool = False) -> Iterator[pa.RecordBatch]:
        """The rows; at least one batch."""


class AsofRetrievalJob(RetrievalJob):  # type: ignore[misc]
    """Runs when its result is asked for, and again each time it is."""

    def __init__(
        self,
        stream: RowStream,
        *,
        sql: str = "",
        on_demand: list[OnDemandFeatureView] | None = None,
        full_names: bool = False,
        metadata: Callable[[], RetrievalMetadata | None] = lambda: None,
        repo: Path | None = None,
    ) -> None:
        self._stream, self._sql, self._on_demand, self._full_names = stream, sql, on_demand or [], full_names
        self._describe, self._repo = metadata, repo

    def to_arrow_batches(self, *, event_times: bool = False) -> Generator[pa.RecordBatch]:
        """The rows in order, on-demand features included, in batches of one schema; closing it frees everything.

        On-demand views see one batch at a time: they are functions of a row.

        Args:
            event_times: add `<view>__event_timestamp`, the time of the matching feature row even where it had
                expired, so that unknown, stale and null can be told apart.
        """
        schema: pa.Schema | None = None
        with closing(self._stream.batches(event_times=event_times)) as batches:  # type: ignore[type-var]
            for batch in batches:
                done = self._transformed(batch) if self._on_demand else batch
                schema = schema or self._settled(done.schema, batch.schema.names)
                yield _in_schema(done, schema)

    def write_parquet(self, target: Path | str, *, event_times: bool = False) -> int:
        """Stream the rows to a Parquet file that appears whole; returns their number."""
        with RowProgress("features", self._stream.total) as progress:
            return write_batches(self.to_arrow_batches(event_times=event_times), Path(target), progress)

    def _transformed(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        return _one_batch(_OneBatch(batch, self).to_arrow())

    def _settled(self, schema: pa.Schema, given: list[str]) -> pa.Schema:
        """A batch of nulls must not decide the type of a column that was added: what is declared does."""
        declared = {
            name: declared_type(field.dtype)
            for view in self._on_demand
            for field in view.features
            for name in (field.name, f"{view.projection.name_to_use()}__{field.name}")
            if name not in given
        }
        return pa.schema([f.with_type(declared.get(f.name) or f.type) for f in schema], metadata=schema.metadata)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        return pa.Table.from_batches(self._stream.batches())

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def to_sql(self) -> str:
        """The query that the rows come from, for DuckDB."""
        if not self._sql:
            raise NotImplementedError("these rows come from no single query")
        return self._sql

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,
        timeout: int | None = None,  # noqa: ARG002
    ) -> None:
        """Write the rows where a saved dataset points: to a file named so, else into a folder.

        Raises:
            SavedDatasetLocationAlreadyExists: something is there; with `allow_overwrite` it is replaced as a whole.
            BadInput: what is there is not Parquet alone.
        """
        place = source_path(storage.to_data_source(), self._repo)
        if place.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=str(place))
        if place.suffix == ".parquet":
            self.write_parquet(place)
        else:
            replace_folder(place, lambda folder: self.write_parquet(folder / "part-0.parquet"))

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named `<view>__<feature>`."""
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Transformations that Feast applies to the result."""
        return self._on_demand

    @cached_property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for, and the first and last moment."""
        return self._describe()


class _OneBatch(RetrievalJob):  # type: ignore[misc]
    """Has Feast itself apply its on-demand views, to one batch."""

    def __init__(self, batch: pa.RecordBatch, job: AsofRetrievalJob) -> None:
        self._batch, self._job = batch, job

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002
        return pa.Table.from_batches([self._batch])

    @property
    def full_feature_names(self) -> bool:
        return self._job.full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._job.on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata | None:
        return self._job.metadata


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    arrays = [column.combine_chunks() for column in table.columns]
    arrays = [a.combine_chunks() if isinstance(a, pa.ChunkedArray) else a for a in arrays]
    return pa.RecordBatch.from_arrays(arrays, schema=table.schema)


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    if batch.schema.equals(schema):
        return batch
    return pa.RecordBatch.from_arrays([_in_type(batch, field) for field in schema], schema=schema)


def _in_type(batch: pa.RecordBatch, field: pa.Field) -> pa.Array:
    try:
        return cast_column(batch[field.name], field.type)
    except ValueError as error:
        raise BadInput(
            f"on-demand feature {field.name} is not {field.type}: {error}", fix="Correct the view or its schema"
        ) from error
