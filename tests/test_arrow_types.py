"""Every type that Arrow has, through every step that takes rows in: taken, cast, or refused by its name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrow_samples import NOT_MADE, extension_types, samples, type_ids

from data_pipeline.clean import clean
from data_pipeline.ingest import ingest
from data_pipeline.publishing.corrections import CorrectionLog
from data_pipeline.publishing.read_times import ReadTimes
from data_pipeline.quarantine import Quarantine
from data_pipeline.reading.source import Account, Asked, arrived
from data_pipeline.reading.watermarks import Watermarks
from data_pipeline.run_folder import ViewRun
from data_pipeline.sources import Checks, SourceRules
from data_pipeline.validate import Places, account, sort_rows
from model_serving.batch.shards import CHUNK, scratch_writer, write_shards
from training_pipeline.labels import LabelColumns, file_labels
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.offline_store.latest_rows import latest_sql
from twinserve.features.stored_files.duck import duck
from twinserve.files.parquet_batches import parquet_batches
from twinserve.source_values.casting import cast_column
from twinserve.source_values.plain_columns import plain_column, readable
from twinserve.values.entity_rows import EntityRowReader, read_entity_rows

SAMPLES = samples()
KINDS = ("INT32", "INT64", "FLOAT", "DOUBLE", "STRING", "BOOL", "UNIX_TIMESTAMP")
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)
every_type = pytest.mark.parametrize("values", SAMPLES.values(), ids=SAMPLES)


def is_read(values: pa.Array) -> bool:
    return readable(plain_column(values).type)


def told_or(read: Callable[[], pa.ChunkedArray], *names: str) -> pa.ChunkedArray | None:
    """What is read; None where it is refused, with one of these names in the words, or with those of a damaged file."""
    try:
        return read()
    except BadInput as refused:
        said = str(refused)
    # pyarrow writes fixed-size lists with a null, and can't read them again
    assert any(name in said for name in (*names, "can't be read as Parquet"))
    return None


def parquet_of(folder: Path, columns: dict[str, Any]) -> Path:
    """A Parquet file; the test is skipped where Parquet has no such type."""
    file = folder / "rows.parquet"
    try:
        pq.write_table(pa.table(columns), file)
    except pa.ArrowNotImplementedError:
        pytest.skip("Parquet can't hold it")
    return file


def test_every_type_has_a_sample() -> None:
    seen = {values.type.id for values in SAMPLES.values()}

    assert {name for name, number in type_ids().items() if number not in seen} == NOT_MADE
    assert extension_types() == {type(values.type) for values in SAMPLES.values()} & extension_types()


class Rows:
    """A source in memory: of types, too, that no file can hold."""

    name = "memory"
    ordered = True

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def columns(self) -> list[str]:
        return list(self.table.column_names)

    def read(self, asked: Asked, account: Account) -> Iterator[pa.Table]:
        for chunk in self.rows(asked.columns.pulled, asked.columns.arrival, None):
            account.at_source += chunk.num_rows
            account.take(chunk, asked)
            yield chunk

    def rows(
        self, columns: list[str], arrival: str, since: datetime | None, until: datetime | None = None
    ) -> Iterator[pa.Table]:
        yield arrived(self.table.select(columns), arrival, since, until)


@every_type
def test_a_source_of_any_type_goes_through_all_steps_or_is_refused_by_name(values: pa.Array, tmp_path: Path) -> None:
    view = ViewSpec("odd", {"shop": "INT64"}, {k.lower(): k for k in KINDS}, tmp_path / "odd", "at", None, None)
    rules = SourceRules(table="odd", created=None, checks=Checks(max_bad_fraction=1.0))
    run = ViewRun(tmp_path / "run", "odd", "r")
    table = pa.table({"shop": [1, None, 3], "at": [NOW] * 3, **{k.lower(): values for k in KINDS}})

    def pull() -> Any:
        return ingest(run, view, rules, [Rows(table)], Watermarks(tmp_path / "marks"), NOW)

    if not is_read(values):
        with pytest.raises(BadInput, match=r"memory: column int32 holds .*, which can't be read"):
            pull()
        return
    pull()
    clean(run, view)
    quarantine, log = Quarantine(tmp_path / "quarantine"), CorrectionLog(tmp_path / "corrections")
    places = Places(quarantine, tmp_path / "r.html", tmp_path / "lock", log, ReadTimes(tmp_path / "read_times"))
    found = sort_rows(run, view, rules, quarantine, NOW)
    publisher = places.publisher(run, view, rules)
    plan = publisher.plan(found.good)
    account(run, view, found, plan)
    publisher.publish(found.good, publisher.listed(found.superseded, plan))

    assert found.good.num_rows + len(found.bad) == 3
    assert any("shop: missing" in row.reasons for row in found.aside)
    expected = [k for k in KINDS if not cast_column(values, k).wrong[[0, 2]].any()]
    assert (found.good.num_rows == 2) == (len(expected) == len(KINDS))
    if found.good.num_rows:
        with duck() as connection:
            stored = f"read_parquet('{view.path}/*/*.parquet', hive_partitioning=false)"
            latest = connection.execute(
                latest_sql(stored, view.join_keys, view.features, "at", None, "true")
            ).fetchall()
            assert len(latest) == 2


@every_type
@pytest.mark.parametrize("kind", [pa.int64(), pa.float64(), pa.string(), pa.bool_()], ids=str)
def test_a_target_of_any_type_is_read_or_refused_by_name(values: pa.Array, kind: pa.DataType, tmp_path: Path) -> None:
    file = parquet_of(tmp_path, {"shop": [1, 2, 3], "at": [NOW] * 3, "won": values})

    columns = LabelColumns({"shop": "INT64"}, "at", "won", kind)
    target = told_or(lambda: next(file_labels(file, columns))["won"], "won", "the target holds booleans")

    assert target is None or (target.type, target.null_count) == (kind, values.null_count)


@every_type
@pytest.mark.parametrize("kind", ["INT64", "STRING"])
def test_a_key_of_any_type_is_read_or_refused_by_name(values: pa.Array, kind: str, tmp_path: Path) -> None:
    file = parquet_of(tmp_path, {"shop": values, "event_timestamp": [NOW] * 3})

    keys = told_or(lambda: read_entity_rows(file, {"shop": kind}).table["shop"], "shop")

    assert keys is None or keys.null_count == values.null_count


@every_type
def test_a_time_of_any_type_is_read_or_refused_by_name(values: pa.Array, tmp_path: Path) -> None:
    file = parquet_of(tmp_path, {"shop": [1, 2, 3], "event_timestamp": values})

    def times() -> pa.ChunkedArray:
        return read_entity_rows(file, {"shop": "INT64"}, moment=NOW).table["event_timestamp"]

    found = told_or(times, "event_timestamp")

    assert found is None or found.null_count == 0


@every_type
def test_what_travels_along_in_a_batch_keeps_its_type_and_values(values: pa.Array, tmp_path: Path) -> None:
    """As the batch does it: typed, cut into step files of two rows, read again, written out."""
    file = parquet_of(tmp_path, {"shop": [1, 2, 3], "event_timestamp": [NOW] * 3, "note": values})
    reader = EntityRowReader(file, {"shop": "INT64"})
    if told_or(lambda: pa.chunked_array([batch["note"] for batch in reader.batches()])) is None:
        return
    schema = pa.schema([reader.schema.field("note")])
    notes = (batch.select(["note"]) for batch in EntityRowReader(file, {"shop": "INT64"}).batches())
    write_shards(notes, schema, tmp_path, 2, "i")

    read = []
    for number, shard in enumerate(sorted(tmp_path.glob("part-*.parquet"))):
        opened = pq.ParquetFile(shard)
        with scratch_writer(tmp_path / f"out-{number}", opened.schema_arrow) as writer:
            for batch in parquet_batches(opened, CHUNK):
                writer.write_batch(batch)
        read.append(pq.read_table(tmp_path / f"out-{number}")["note"])

    expected = pq.read_table(file)["note"]
    chunks = [chunk for column in read for chunk in column.chunks]
    assert {chunk.type for chunk in chunks} == {expected.type}
    assert [repr(value) for chunk in chunks for value in chunk] == [repr(value) for value in expected]
