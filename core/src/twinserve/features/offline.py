"""Feast's offline store over Parquet folders, joined by DuckDB's `ASOF JOIN`.

In `feature_store.yaml`: `offline_store: {type: twinserve.features.offline.AsofOfflineStore}`.
Entity rows may come as a DataFrame, as the path of a Parquet file or as a DuckDB query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource, OnDemandFeatureView
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.saved_dataset import SavedDatasetStorage

from twinserve.atomic import atomic_file
from twinserve.errors import BadInput, StepMissing
from twinserve.features.duck import duck
from twinserve.features.point_in_time import ROW, JoinedView, join_sql, latest_sql, parquet_relation, quoted

EntityRows = pd.DataFrame | str


class AsofOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Feast finds this by its name beside the store's."""

    type: Literal["twinserve.features.offline.AsofOfflineStore"] = "twinserve.features.offline.AsofOfflineStore"


class AsofRetrievalJob(RetrievalJob):  # type: ignore[misc]
    """A query that runs when its result is asked for."""

    def __init__(
        self,
        query: Query,
        on_demand: list[OnDemandFeatureView] | None = None,
        full_names: bool = False,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        self._query, self._on_demand, self._full_names, self._metadata = (
            query,
            on_demand or [],
            full_names,
            metadata,
        )

    def write_parquet(self, target: Path, *, event_times: bool = False) -> int:
        """Stream the rows to a Parquet file that appears whole; returns their number.

        Args:
            event_times: add `<view>__event_timestamp`, the time of the matching feature row even where it had
                expired, so that unknown, stale and null can be told apart.
        """
        with atomic_file(target) as draft, self._query.open(event_times=event_times) as (connection, sql):
            name = str(draft).replace("'", "''")
            counted = connection.execute(
                f"COPY ({sql}) TO '{name}' (FORMAT parquet, COMPRESSION zstd, USE_TMP_FILE false)"
            ).fetchone()
        return int(counted[0]) if counted else 0

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:  # noqa: ARG002 - Feast's signature
        with self._query.open() as (connection, sql):
            return connection.sql(sql).to_arrow_table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        frame: pd.DataFrame = self._to_arrow_internal(timeout).to_pandas()
        return frame

    def to_sql(self) -> str:
        """The query, as DuckDB runs it over its registered entity rows."""
        return self._query.sql(event_times=False)

    def persist(
        self,
        storage: SavedDatasetStorage,
        allow_overwrite: bool = False,
        timeout: int | None = None,  # noqa: ARG002
    ) -> None:
        """Write the rows where a saved dataset points; refuses an existing file unless told."""
        target = Path(storage.to_data_source().path)
        if target.exists() and not allow_overwrite:
            raise BadInput(f"{target} exists", fix="Pass allow_overwrite=True to replace it")
        self.write_parquet(target)

    @property
    def full_feature_names(self) -> bool:
        """Whether features are named `<view>__<feature>`."""
        return self._full_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Transformations that Feast applies to the result."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata


class Query:
    """SQL, and the entity rows that must be registered before it can run."""

    def __init__(self, sql: str, sql_with_times: str | None = None, entities: pa.Table | None = None) -> None:
        self._sql, self._sql_with_times, self._entities = sql, sql_with_times, entities

    def sql(self, *, event_times: bool) -> str:
        """The SQL text, with or without the event time of each match."""
        return self._sql_with_times or self._sql if event_times else self._sql

    @contextmanager
    def open(self, *, event_times: bool = False) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
        """A connection that has the entity rows, and the SQL to run on it."""
        with duck() as connection:
            if self._entities is not None:
                connection.register("entity_rows", self._entities)
            yield connection, self.sql(event_times=event_times)


class AsofOfflineStore(OfflineStore):  # type: ignore[misc]
    """Feast's offline store interface over Parquet, without lost rows."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,  # noqa: ARG004 - Feast's signature
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: EntityRows | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **unsupported: Any,
    ) -> RetrievalJob:
        """Point-in-time join; one result row per entity row, in order, duplicates included.

        Raises:
            BadInput: no entity rows, a key column missing, or a column that bears the name of a feature.
            StepMissing: a view's folder has no data yet.
        """
        if entity_df is None or unsupported:
            raise BadInput(
                "features are read for entity rows only", fix="Pass entity_df, without start_date or end_date"
            )
        entities, relation, columns, timestamp = _entity_relation(entity_df)
        views = [joined_view(view, feature_refs, full_feature_names) for view in feature_views]
        _refuse_bad_columns(columns, views)
        sql, with_times = (join_sql(relation, columns, timestamp, views, event_times=flag) for flag in (False, True))
        metadata = RetrievalMetadata(features=feature_refs, keys=[c for c in columns if c != timestamp])
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        return AsofRetrievalJob(Query(sql, with_times, entities), on_demand, full_feature_names, metadata)

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,  # noqa: ARG004
        data_source: FileSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """The latest row of each key with an event time in `[start_date, end_date]`."""
        stored = {**dict.fromkeys(join_key_columns, ""), **dict.fromkeys(feature_name_columns, "")}
        sql = latest_sql(
            source_relation(data_source),
            {key: stored[key] for key in join_key_columns},
            {name: stored[name] for name in feature_name_columns},
            timestamp_field,
            created_timestamp_column or None,
            _between(timestamp_field, start_date, end_date),
        )
        return AsofRetrievalJob(Query(sql))

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,  # noqa: ARG004
        data_source: FileSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with an event time in `[start_date, end_date]`; an open end has no limit."""
        times = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        columns = ", ".join(quoted(column) for column in [*join_key_columns, *feature_name_columns, *times])
        where = _between(timestamp_field, start_date, end_date)
        return AsofRetrievalJob(Query(f"SELECT {columns} FROM {source_relation(data_source)} WHERE {where}"))


def joined_view(view: FeatureView, feature_refs: list[str], full_names: bool) -> JoinedView:
    """What the join needs to know of a Feast feature view, its projection and field mapping applied."""
    name = view.projection.name_to_use()
    asked = [ref.split(":")[1] for ref in feature_refs if ref.split(":")[0] == name]
    types = {field.name: field.dtype.to_value_type().name for field in view.features}
    mapped = {new: old for old, new in view.batch_source.field_mapping.items()}
    keys = {
        mapped.get(column.name, column.name): (
            view.projection.join_key_map.get(column.name, column.name),
            column.dtype.to_value_type().name,
        )
        for column in view.entity_columns
    }
    return JoinedView(
        name=name,
        relation=source_relation(view.batch_source),
        keys=keys,
        features={f"{name}__{f}" if full_names else f: (mapped.get(f, f), types[f]) for f in asked},
        timestamp=view.batch_source.timestamp_field,
        created=view.batch_source.created_timestamp_column or None,
        ttl=view.ttl or None,
    )


def source_relation(source: FileSource) -> str:
    """SQL of a Feast file source: one Parquet file, or a folder of them.

    Raises:
        StepMissing: there is nothing to read.
    """
    path = Path(source.path)
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*.parquet") if not p.name.startswith("."))
    if not files:
        raise StepMissing(
            f"no features in {path}",
            fix="Run the DAG db_to_offline_store, or `data-pipeline ingest` and the two steps after it",
        )
    return parquet_relation([str(file) for file in files])


def _entity_relation(rows: EntityRows) -> tuple[pa.Table | None, str, list[str], str]:
    """Entity rows as (table to register, SQL relation with `__row`, column names, event time column)."""
    if isinstance(rows, pd.DataFrame):
        table = pa.Table.from_pandas(rows, preserve_index=False)
        timestamp = infer_event_timestamp_from_entity_df(dict(rows.dtypes))
        numbered = table.append_column(ROW, pa.array(np.arange(table.num_rows)))
        return numbered, "entity_rows", table.column_names, timestamp
    relation = _numbered(rows)
    with duck() as connection:
        described = connection.execute(f"DESCRIBE SELECT * EXCLUDE ({ROW}) FROM {relation}").fetchall()
    kinds = {str(name): str(kind) for name, kind, *_ in described}
    dtypes = {
        name: np.dtype("datetime64[us]" if kind.startswith("TIMESTAMP") else object) for name, kind in kinds.items()
    }
    return None, relation, list(kinds), infer_event_timestamp_from_entity_df(dtypes)


def _numbered(path_or_query: str) -> str:
    if path_or_query.endswith(".parquet"):
        name = path_or_query.replace("'", "''")
        numbered = f"read_parquet('{name}', file_row_number = true)"
        return f"(SELECT * EXCLUDE (file_row_number), file_row_number AS {ROW} FROM {numbered})"
    return f"(SELECT *, row_number() OVER () AS {ROW} FROM ({path_or_query}))"


def _refuse_bad_columns(columns: list[str], views: list[JoinedView]) -> None:
    needed = {entity for view in views for entity, _ in view.keys.values()}
    if missing := sorted(needed - set(columns)):
        raise BadInput(f"entity rows have no column {', '.join(missing)}; they have {', '.join(columns)}", fix="Add it")
    if twice := sorted({name for view in views for name in view.features} & set(columns)):
        raise BadInput(f"entity rows have a column {', '.join(twice)}, which is a feature's name", fix="Rename it")


def _between(column: str, start: datetime | None, end: datetime | None) -> str:
    at = f"CAST({quoted(column)} AS TIMESTAMPTZ)"
    bounds = [
        f"{at} >= '{start.isoformat()}'" if start else "",
        f"{at} <= '{end.isoformat()}'" if end else "",
    ]
    return " AND ".join(bound for bound in bounds if bound) or "true"
