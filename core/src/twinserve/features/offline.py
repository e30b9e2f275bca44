"""Feast's offline store over Parquet files: joined by DuckDB's `ASOF JOIN`, streamed, out of core.

In `feature_store.yaml`: `offline_store: {type: twinserve.features.offline.AsofOfflineStore}`.
Entity rows may come as a DataFrame, as the path of a Parquet file or of a folder of them, as a DuckDB query, or not
at all. docs/guide/features.md says what is done and where it differs from Feast's own stores.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from feast import FeatureView, FileSource, OnDemandFeatureView
from feast.feature_logging import LoggingConfig, LoggingSource
from feast.feature_view import DUMMY_ENTITY_ID, DUMMY_ENTITY_VAL
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.registry.base_registry import BaseRegistry
from feast.repo_config import FeastConfigBaseModel, RepoConfig
from feast.utils import make_tzaware
from pydantic import ByteSize, Field

from twinserve.errors import BadInput
from twinserve.features.feast_repo.declared import declared_view
from twinserve.features.offline_store.asof import Join, JoinLimits, refuse_taken
from twinserve.features.offline_store.entity_source import EntityRows, QueryRows, entity_rows
from twinserve.features.offline_store.entityless import snapshot_sql
from twinserve.features.offline_store.feature_logs import write_logs
from twinserve.features.offline_store.latest_rows import latest_sql
from twinserve.features.offline_store.point_in_time import JoinedView
from twinserve.features.offline_store.pushed_rows import push_rows
from twinserve.features.offline_store.retrieval_job import AsofRetrievalJob
from twinserve.features.stored_files.deleted_rows import is_deleted, without_deleted
from twinserve.features.stored_files.duck import DuckLimits, duck
from twinserve.features.stored_files.feature_rows import FeatureFiles, stored_columns
from twinserve.features.stored_files.source_files import Span, files_touching, parquet_files, source_path
from twinserve.features.stored_files.sql import parquet_relation, quoted, refuse_alike
from twinserve.values.times import as_micros

__all__ = ["AsofOfflineStore", "AsofOfflineStoreConfig", "AsofRetrievalJob"]


class AsofOfflineStoreConfig(FeastConfigBaseModel):  # type: ignore[misc]
    """Feast finds this by its name beside the store's.

    Attributes:
        memory_limit: what DuckDB may hold before it spills, in bytes or as `2GB`, 64 MB at least; a quarter of the
            machine's or the container's memory unless given.
        temp_directory: where it spills to, and large values lie during a join; `.tmp` beside the first view's data
            unless given, or the system's own where that can't be written to.
        threads: of DuckDB; one per core unless given.
        piece_rows: entity rows joined at a time, at most; unless given a quarter of a million, or a quarter of the
            largest view's rows up to four million. More of them take more memory, fewer more time on a large view.
    """

    type: Literal["twinserve.features.offline.AsofOfflineStore"] = "twinserve.features.offline.AsofOfflineStore"
    memory_limit: ByteSize | None = Field(default=None, ge=64 << 20)
    temp_directory: Path | None = None
    threads: int | None = Field(default=None, ge=1)
    piece_rows: int | None = Field(default=None, ge=1)


class AsofOfflineStore(OfflineStore):  # type: ignore[misc]
    """Feast's offline store interface over Parquet, without lost rows."""

    supports_filter_by_created_timestamp = True

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **options: Any,
    ) -> RetrievalJob:
        """Point-in-time join; one result row per entity row, in order, duplicates included.

        Without entity rows: one row for each key that has features at `end_date`, as they stood then; with
        `start_date`, only keys with a row since.

        Raises:
            BadInput: a key column is missing, or a column bears the name of a feature.
            StepMissing: a view's folder has no data yet.
        """
        known_at_the_time = bool(options.pop("filter_by_created_timestamp", False))
        start, end = options.pop("start_date", None), options.pop("end_date", None)
        if options:
            raise BadInput(f"this store does not know {', '.join(sorted(options))}", fix="Leave it out")
        views = [joined_view(view, feature_refs, full_feature_names, config.repo_path) for view in feature_views]
        limits = join_limits(config, [view.path for view in views])
        given = snapshot_sql(views, start, end or datetime.now(UTC)) if entity_df is None else entity_df
        rows = entity_rows(given, limits.duck())
        _refuse_bad_columns(rows.schema.names, views)
        return AsofRetrievalJob(
            Join(rows, views, limits, known_at_the_time),
            sql=rows.query if isinstance(rows, QueryRows) else "",
            on_demand=OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_names=full_feature_names,
            metadata=lambda: _metadata(rows, feature_refs),
            repo=config.repo_path,
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: FileSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """The latest row of each key with an event time in `[start_date, end_date]`; none of deleted keys."""

        def sql(relation: str, deleted: bool) -> str:
            latest = latest_sql(
                relation,
                dict.fromkeys(join_key_columns, ""),
                dict.fromkeys(feature_name_columns, ""),
                timestamp_field,
                created_timestamp_column or None,
                _between(timestamp_field, start_date, end_date),
                deleted=deleted,
            )
            latest = without_deleted(latest) if deleted else latest
            return latest if join_key_columns else f"SELECT *, {_DUMMY} FROM ({latest})"

        return _pull(config, data_source, feature_name_columns, sql, start_date, end_date)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: FileSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Every row with an event time in `[start_date, end_date]`, but for those that say that a key was deleted; an
        open end has no limit."""
        times = [timestamp_field, *([created_timestamp_column] if created_timestamp_column else [])]
        names = dict.fromkeys([*join_key_columns, *feature_name_columns, *times])
        refuse_alike(names)
        columns = [quoted(column) for column in names] + ([] if join_key_columns else [_DUMMY])
        where = _between(timestamp_field, start_date, end_date)

        def sql(relation: str, deleted: bool) -> str:
            known = f"({where}) AND NOT {is_deleted()}" if deleted else where
            return f"SELECT {', '.join(columns)} FROM {relation} WHERE {known}"

        return _pull(config, data_source, feature_name_columns, sql, start_date, end_date)

    @staticmethod
    def offline_write_batch(
        config: RepoConfig, feature_view: FeatureView, table: pa.Table, progress: Callable[[int], Any] | None
    ) -> None:
        """Add rows to the view's data, those of each day at once; the same row twice is one row.

        Raises:
            BadInput: columns are missing or unknown, a value has another type, or a row has no time.
            TransientError: the disk is full.
        """
        written = push_rows(joined_view(feature_view, [], full_names=False, repo=config.repo_path), table)
        if progress:
            progress(written)

    @staticmethod
    def write_logged_features(
        config: RepoConfig,
        data: pa.Table | Path,
        source: LoggingSource,  # noqa: ARG004 - Feast's signature
        logging_config: LoggingConfig,
        registry: BaseRegistry,  # noqa: ARG004
    ) -> None:
        """Add logged rows to the destination's folder, as files of their own."""
        destination = logging_config.destination
        write_logs(data, source_path(destination.to_data_source(), config.repo_path), destination.partition_by or [])

    def get_table_column_names_and_types_from_data_source(
        self, config: RepoConfig, data_source: FileSource
    ) -> Iterable[tuple[str, str]]:
        """The columns of the newest file; folders' names are none, nor is the mark of deleted keys.

        Raises:
            StepMissing: there is no file.
        """
        file = parquet_files(source_path(data_source, config.repo_path))[-1]
        return [(field.name, str(field.type)) for field in stored_columns(file)]

    def validate_data_source(self, config: RepoConfig, data_source: FileSource) -> None:
        """Data may come later; what is there must be readable and have the times.

        Raises:
            BadInput: a file is damaged or has no column of event times.
        """
        path = source_path(data_source, config.repo_path)
        if path.exists() and any(path.rglob("*.parquet")):
            FeatureFiles(data_source.name, parquet_files(path), [data_source.timestamp_field], {})


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DUMMY = f"'{DUMMY_ENTITY_VAL}' AS {quoted(DUMMY_ENTITY_ID)}"  # Feast's key of views without entities


@dataclass(frozen=True)
class _Query:
    """Rows of a DuckDB query."""

    sql: str
    limits: DuckLimits
    total: int | None = None

    def batches(self, *, event_times: bool = False) -> Iterator[pa.RecordBatch]:  # noqa: ARG002
        with duck(self.limits) as connection:
            reader = connection.sql(self.sql).to_arrow_reader(131_072)
            yield pa.RecordBatch.from_pylist([], reader.schema)
            yield from reader


def _pull(
    config: RepoConfig,
    source: FileSource,
    features: list[str],
    sql: Callable[[str, bool], str],
    start: datetime | None,
    end: datetime | None,
) -> AsofRetrievalJob:
    path = source_path(source, config.repo_path)
    files = parquet_files(path)
    needed = files_touching(path, files, Span(_instant(start), _instant(end)))
    read = FeatureFiles(source.name, needed or files[-1:], [], {}, stored=lambda: files)
    for feature in features:
        read.first_having(feature)
    query = sql(parquet_relation([str(file) for file in read.files]), read.has_deleted)
    limits = join_limits(config, [path])
    return AsofRetrievalJob(
        _Query(query, DuckLimits(limits.memory, limits.temp, limits.threads)), sql=query, repo=config.repo_path
    )


def joined_view(view: FeatureView, feature_refs: list[str], full_names: bool, repo: Path | None = None) -> JoinedView:
    """What the join needs to know of a Feast feature view, its projection and field mapping applied."""
    declared, renamed = declared_view(view), view.projection.join_key_map
    name = view.projection.name_to_use()
    prefix = view.projection.name_alias or view.name  # without a version
    asked = [ref.split(":")[1] for ref in feature_refs if ref.split(":")[0] == name]
    stored = {feature.name: feature.stored for feature in declared.features}
    types = {feature.stored: feature.arrow for feature in declared.features}
    return JoinedView(
        name=name,
        path=source_path(view.batch_source, repo),
        keys={key.stored: (renamed.get(key.name, key.name), key.kind) for key in declared.keys},
        features={f"{prefix}__{f}" if full_names else f: stored.get(f, f) for f in asked},
        types={**types, **{f: None for f in asked if f not in stored}},  # a time column, listed as a feature
        timestamp=declared.timestamp,
        created=declared.created,
        ttl=declared.ttl,
    )


def join_limits(config: RepoConfig, sources: list[Path]) -> JoinLimits:
    """From the store's block in `feature_store.yaml`; relative paths are seen from the feature repo."""
    given = config.offline_store
    temp = given.temp_directory and Path(config.repo_path or ".") / given.temp_directory
    return JoinLimits(temp or _default_temp(sources), given.memory_limit, given.threads, given.piece_rows)


def _default_temp(sources: list[Path]) -> Path:
    beside = sources[0].parent if sources else Path(tempfile.gettempdir())
    return beside / ".tmp" if os.access(beside, os.W_OK) else Path(tempfile.gettempdir()) / "twinserve"


def _metadata(rows: EntityRows, features: list[str]) -> RetrievalMetadata:
    span = rows.span()
    ends = [_moment(span.first), _moment(span.last)] if span else [None, None]
    keys = [name for name in rows.schema.names if name != rows.timestamp]
    return RetrievalMetadata(features, keys, *ends)


def _refuse_bad_columns(columns: list[str], views: list[JoinedView]) -> None:
    needed = {entity for view in views for entity, _ in view.keys.values()}
    if missing := sorted(needed - set(columns)):
        raise BadInput(f"entity rows have no column {', '.join(missing)}; they have {', '.join(columns)}", fix="Add it")
    refuse_taken(columns, [name for view in views for name in view.features])


def _instant(moment: datetime | None) -> int | None:
    return None if moment is None else as_micros(moment)


def _moment(micros: int | None) -> datetime | None:
    return None if micros is None else _EPOCH + timedelta(microseconds=micros)


def _between(column: str, start: datetime | None, end: datetime | None) -> str:
    at = f"CAST({quoted(column)} AS TIMESTAMPTZ)"
    bounds = [
        f"{at} >= '{make_tzaware(start).isoformat()}'" if start else "",
        f"{at} <= '{make_tzaware(end).isoformat()}'" if end else "",
    ]
    return " AND ".join(bound for bound in bounds if bound) or "true"
