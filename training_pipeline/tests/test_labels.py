from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from training_pipeline.database_labels import database_labels
from training_pipeline.labels import LabelColumns, file_labels, typed_labels, without_time
from training_pipeline.target_values import target_type
from twinserve.errors import BadInput, StepMissing, TransientError

COLUMNS = LabelColumns({"stall": "INT64"}, "at", "won", pa.int64())


def table(url: str, name: str, columns: str, rows: Iterable[Any]) -> str:
    engine = sa.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {name}")
        connection.exec_driver_sql(f"CREATE TABLE {name} ({columns})")
        for row in rows:
            values = {f"v{i}": value for i, value in enumerate(row)}
            connection.execute(sa.text(f"INSERT INTO {name} VALUES ({', '.join(':' + v for v in values)})"), values)
    engine.dispose()
    return url


@pytest.fixture
def sqlite(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'source.db'}"


def read(url: str, columns: LabelColumns = COLUMNS, name: str = "trips") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pa.concat_tables(database_labels(url, name, columns)).to_pylist()
    return rows


def test_rows_come_by_time_whatever_their_order_in_the_table(sqlite: str) -> None:
    rows = [(2, "2026-01-02 00:00:00", 1), (1, "2026-01-02 00:00:00.000", 0), (3, "2026-01-01T01:00:00+01:00", 1)]
    table(
        sqlite, "trips", "stall BIGINT, at DATETIME, won BIGINT, more TEXT DEFAULT 'x'", [(*row, "y") for row in rows]
    )

    found = read(sqlite)

    assert [row["stall"] for row in found] == [3, 2, 1]
    assert found[0] == {"stall": 3, "event_timestamp": datetime(2026, 1, 1, tzinfo=UTC), "won": 1}


def test_many_pieces_are_as_one(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training_pipeline.database_labels.PIECE_ROWS", 3)
    table(
        sqlite, "trips", "stall BIGINT, at DATETIME, won BIGINT", [(i, f"2026-01-{i:02}", i % 2) for i in range(1, 11)]
    )

    pieces = list(database_labels(sqlite, "trips", COLUMNS))

    assert [piece.num_rows for piece in pieces] == [3, 3, 3, 1]
    assert pa.concat_tables(pieces)["stall"].to_pylist() == list(range(1, 11))


def test_rows_of_one_time_come_by_keys_then_target(sqlite: str) -> None:
    columns = LabelColumns({"stall": "INT64", "item": "STRING"}, "at", "won", pa.int64())
    rows = [(s, i, w) for s in (2, 1) for i in ("b", "a") for w in (1, 0)]
    table(
        sqlite, "trips", "won BIGINT, item TEXT, at TEXT, stall BIGINT", [(w, i, "2026-01-01", s) for s, i, w in rows]
    )

    (piece,) = database_labels(sqlite, "trips", columns)

    assert piece.schema == columns.schema
    assert piece.column_names == ["stall", "item", "event_timestamp", "won"]
    assert [(row["stall"], row["item"], row["won"]) for row in piece.to_pylist()] == sorted(rows)


def test_a_bad_value_of_a_later_piece_is_named_by_its_row_of_all(sqlite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training_pipeline.database_labels.PIECE_ROWS", 2)
    rows = [(i, f"2026-01-{i:02}", "?" if i == 6 else 1) for i in range(1, 8)]
    table(sqlite, "trips", "stall BIGINT, at TEXT, won TEXT", rows)

    with pytest.raises(BadInput, match=r"trips, row 6: won is '\?', which is no int64"):
        read(sqlite)


def test_a_bad_value_of_columns_in_memory_counts_the_rows_before() -> None:
    values = {"stall": pa.chunked_array([[1], [2]]), "at": ["2026-01-01"] * 2, "won": [1, "x"]}
    with pytest.raises(BadInput, match="here, row 12: won is 'x'"):
        typed_labels(values, COLUMNS, "here", 10)


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ((7, "2026-01-09", "yes"), r"trips, row 3: won is 'yes', which is no int64"),
        ((7, "2026-01-09", 0.5), r"trips, row 3: won is 0\.5, which is no int64"),
        (("seven", "2026-01-09", 1), r"trips, row 3: stall is 'seven', which is no int64"),
        ((7, "tomorrow", 1), r"trips, row 3: at is 'tomorrow', which is no timestamp"),
    ],
)
def test_a_bad_value_is_named_with_its_row(sqlite: str, row: tuple[Any, ...], says: str) -> None:
    good = [(1, "2026-01-01", 1), (2, "2026-01-02", None)]
    table(sqlite, "trips", "stall TEXT, at TEXT, won BLOB", [*good, row])

    with pytest.raises(BadInput, match=says):
        read(sqlite)


def test_what_is_not_there_is_named(sqlite: str) -> None:
    table(sqlite, "trips", "stall BIGINT, at DATETIME", [])

    with pytest.raises(BadInput, match="no table journeys; it has trips"):
        read(sqlite, name="journeys")
    with pytest.raises(BadInput, match="trips has no column won; it has stall, at"):
        read(sqlite)


def test_of_a_wide_table_or_file_twenty_columns_are_named(sqlite: str, tmp_path: Path) -> None:
    names = [f"c{n}" for n in range(30)]
    table(sqlite, "trips", ", ".join(f"{name} TEXT" for name in names), [])
    (tmp_path / "labels.csv").write_text(",".join(names) + "\n")
    for source, labelled in (("table trips", database_labels(sqlite, "trips", COLUMNS)),
                             ("labels.csv", file_labels(tmp_path / "labels.csv", COLUMNS))):  # fmt: skip
        with pytest.raises(BadInput, match=rf"{source} has no column stall, at, won; it has c0, .*, c19\."):
            list(labelled)


def test_a_database_without_tables_is_told(sqlite: str, tmp_path: Path) -> None:
    (tmp_path / "source.db").touch()
    with pytest.raises(BadInput, match=r"the source has no table trips; it has none"):
        read(sqlite)
    engine = sa.create_engine(sqlite)
    with engine.begin() as connection:
        for number in range(22):
            connection.exec_driver_sql(f"CREATE TABLE t{number:02} (stall BIGINT)")
    engine.dispose()
    with pytest.raises(BadInput, match=r"it has t00, t01, .*, t19\."):
        read(sqlite)


def test_a_schema_counts(sqlite: str) -> None:
    table(sqlite, "trips", "stall BIGINT, at TEXT, won BIGINT", [(5, "2026-01-01", 1)])

    assert [row["stall"] for row in read(sqlite, name="main.trips")] == [5]
    with pytest.raises(BadInput, match=r"no table temp\.trips; it has none"):
        read(sqlite, name="temp.trips")


def test_a_database_that_can_not_be_reached_is_named() -> None:
    with pytest.raises(TransientError, match=r"127\.0\.0\.1:1/source") as refused:
        read("postgresql://somebody:sekret@127.0.0.1:1/source")
    assert "sekret" not in str(refused.value)


def test_a_missing_sqlite_file_is_not_created(tmp_path: Path, sqlite: str) -> None:
    with pytest.raises(StepMissing, match="TWINSERVE_SOURCE_URL"):
        read(sqlite)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.integration
def test_postgresql_types(postgres_url: str) -> None:
    at = datetime(2026, 1, 1, 12, tzinfo=UTC)
    table(postgres_url, "trips", "stall INT, at TIMESTAMPTZ, won BOOLEAN", [(1, at, True), (2, at, None)])
    table(
        postgres_url,
        "prices",
        "stall TEXT, at TIMESTAMP, won NUMERIC",
        [("a", at.replace(tzinfo=None), Decimal("1.5"))],
    )

    assert [row["won"] for row in read(postgres_url)] == [1, None]
    assert read(postgres_url)[0]["event_timestamp"] == at
    priced = read(postgres_url, LabelColumns({"stall": "STRING"}, "at", "won", pa.float64()), "prices")
    assert priced == [{"stall": "a", "event_timestamp": at, "won": 1.5}]


@pytest.mark.integration
@pytest.mark.parametrize("value", ["infinity", "-infinity", "10000-01-01 00:00:00+00", "0044-03-15 00:00:00+00 BC"])
def test_a_time_that_python_does_not_hold_is_named_with_its_row(postgres_url: str, value: str) -> None:
    table(postgres_url, "ends", "stall INT, at TIMESTAMPTZ, won BOOLEAN", [(1, value, True)])
    columns = LabelColumns({"stall": "INT64"}, "at", "won", pa.int64())
    with pytest.raises(BadInput, match=rf"ends, row 1: at is '{re.escape(value)}'"):
        read(postgres_url, columns, "ends")


@pytest.mark.integration
def test_a_table_in_another_schema(postgres_url: str) -> None:
    engine = sa.create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS own")
    engine.dispose()
    table(postgres_url, "own.trips", "stall INT, at TIMESTAMP, won INT", [(5, datetime(2026, 1, 1), 1)])

    assert [row["stall"] for row in read(postgres_url, name="own.trips")] == [5]


def test_a_file_has_the_same_shape(tmp_path: Path) -> None:
    file = tmp_path / "labels.tsv"
    file.write_text("at\tnote\tstall\twon\n2026-01-01 00:00:00+00:00\tx\t7\t1\n2026-01-02\ty\t8\t0\n")

    (piece,) = file_labels(file, COLUMNS)

    assert piece.schema == COLUMNS.schema
    assert piece["stall"].to_pylist() == [7, 8]


@pytest.mark.parametrize(
    ("written", "positive_class", "expected"),
    [
        (["1", " 0"], 1, [1, 0]),
        (["true", "False"], 1, [1, 0]),
        (["TRUE", "0"], 1, [1, 0]),
        (["1.0", "0"], 1, [1, 0]),
        (["1", ""], 1, [1, None]),
        (["9007199254740993", "0"], 1, [2**53 + 1, 0]),
        (["01", "1"], "01", ["01", "1"]),
        (["true", "no"], "true", ["true", "no"]),
        (["1.5", "2"], None, [1.5, 2.0]),
        ([" 1e3", "-2.5 "], None, [1000.0, -2.5]),
    ],
)
def test_a_target_in_a_text_file(
    tmp_path: Path, written: list[str], positive_class: int | str | None, expected: list[Any]
) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("at,stall,won\n" + "".join(f"2026-01-01,7,{text}\n" for text in written))
    columns = LabelColumns({"stall": "INT64"}, "at", "won", target_type(positive_class))

    (piece,) = file_labels(file, columns)

    assert (piece.schema, piece["won"].to_pylist()) == (columns.schema, expected)


def test_times_of_a_file_without_a_zone_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("at,stall,won\n2026-01-01 00:00:00,7,1\n")

    (piece,) = file_labels(file, COLUMNS)

    assert piece["event_timestamp"].to_pylist() == [datetime(2026, 1, 1, tzinfo=UTC)]
    assert "UTC" in caplog.text


def test_a_bad_target_in_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "labels.csv"
    file.write_text("at,stall,won\n2026-01-01,7,1\n2026-01-02,8,perhaps\n")

    with pytest.raises(BadInput, match=r"labels\.csv, row 2: won is 'perhaps'"):
        list(file_labels(file, COLUMNS))


@pytest.mark.parametrize(
    "times",
    [
        ["2026-01-01T02:00:00+02", None],
        [datetime(2026, 1, 1), None],
        [datetime(2026, 1, 1, 2, tzinfo=timezone(timedelta(hours=2))), None],
        [date(2026, 1, 1), None],
    ],
)
def test_times_as_a_database_client_gives_them(times: list[Any]) -> None:
    rows = typed_labels({"stall": [1, 2], "at": times, "won": [1, 1]}, COLUMNS, "here", 0)

    assert rows["event_timestamp"].to_pylist() == [datetime(2026, 1, 1, tzinfo=UTC), None]


def test_a_number_is_no_time() -> None:
    with pytest.raises(BadInput, match=r"here, row 2: at is 1700000000, which is no timestamp"):
        typed_labels({"stall": [1, 2], "at": [None, 1_700_000_000], "won": [1, 1]}, COLUMNS, "here", 0)


def test_labels_without_a_time_are_counted() -> None:
    rows = typed_labels({"stall": [1, 2], "at": ["2026-01-01", None], "won": [1, 1]}, COLUMNS, "here", 0)

    kept, dropped = without_time(rows)

    assert (kept["stall"].to_pylist(), dropped) == ([1], 1)


def test_target_types() -> None:
    kinds = [target_type(kind) for kind in (1, "yes", True, None)]
    assert kinds == [pa.int64(), pa.string(), pa.bool_(), pa.float64()]


@pytest.mark.parametrize(
    ("values", "positive_class", "expected"),
    [
        ([True, False, None], True, [True, False, None]),
        ([1, 0, None], True, [True, False, None]),
        (["true", "F", "0"], True, [True, False, False]),
        (["yes", "no", None], "yes", ["yes", "no", None]),
        ([1, 2], "1", ["1", "2"]),
        ([Decimal("1.00"), Decimal(2)], "1", ["1", "2"]),
        ([True, False], 1, [1, 0]),
        ([2**53 + 1, 2**53], 2**53 + 1, [2**53 + 1, 2**53]),
        ([Decimal(2**53 + 1)], 2**53 + 1, [2**53 + 1]),
        ([Decimal("0.3"), Decimal("1.10")], None, [0.3, 1.1]),
        ([True, None], None, [1.0, None]),
    ],
)
def test_targets_as_a_database_client_gives_them(
    values: list[Any], positive_class: bool | int | str | None, expected: list[Any]
) -> None:
    columns = LabelColumns({"stall": "INT64"}, "at", "won", target_type(positive_class))
    count = len(values)

    rows = typed_labels({"stall": [7] * count, "at": ["2026-01-01"] * count, "won": values}, columns, "here", 0)

    assert rows["won"].to_pylist() == expected


def test_booleans_and_classes_that_are_texts_are_told_apart() -> None:
    columns = LabelColumns({"stall": "INT64"}, "at", "won", target_type("yes"))

    with pytest.raises(BadInput, match="holds booleans, and the classes"):
        typed_labels({"stall": [1], "at": ["2026-01-01"], "won": [True]}, columns, "here", 0)


RENAMED = LabelColumns(
    {"stall": "INT64"}, "at", "won", pa.int64(), {"share": "won", "stand": "stall", "when": "at", "absent": "stall"}
)


def test_columns_of_other_names_are_renamed(sqlite: str, tmp_path: Path) -> None:
    """A label table may have a feature's name for its outcome: no two columns of the training rows may share it."""
    table(sqlite, "trips", 'stand BIGINT, "when" TEXT, share BIGINT, won TEXT', [(7, "2026-01-01", 1, "x")])
    file = tmp_path / "labels.csv"
    file.write_text("stand,when,share,won\n7,2026-01-01,1,x\n")

    (piece,) = file_labels(file, RENAMED)

    assert piece.to_pylist() == read(sqlite, RENAMED)
    assert piece.to_pylist() == [{"stall": 7, "event_timestamp": datetime(2026, 1, 1, tzinfo=UTC), "won": 1}]


def test_a_rename_that_makes_no_sense_is_refused(sqlite: str) -> None:
    table(sqlite, "trips", "stall BIGINT, stand BIGINT, seat BIGINT, at TEXT, won BIGINT", [])
    for rename, says in (
        ({"seat": "stall", "stand": "stall"}, "table trips has both seat and stand, which `rename` makes stall"),
        ({"seat": "price"}, "labels.rename names price; a label has stall, at, won"),
    ):
        with pytest.raises(BadInput, match=says):
            read(sqlite, LabelColumns({"stall": "INT64"}, "at", "won", pa.int64(), rename))


@pytest.mark.integration
def test_keys_of_postgresql_keep_what_they_are(postgres_url: str) -> None:
    """Ids beyond 2^53 in a NUMERIC column, where a float holds only each second one; UUIDs; a key of mixed scales."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    ids = [2**53 + n for n in range(40)]
    table(postgres_url, "many", "stall NUMERIC, at TIMESTAMPTZ, won INT", [(n, at, 1) for n in ids])
    uuid = UUID("0b4f5b5e-8c4f-4d29-9a63-1f2f6a5c7e11")
    table(postgres_url, "ids", "stall UUID, at TIMESTAMPTZ, won INT", [(uuid, at, 1)])
    scaled = [(Decimal(1), at, 1), (Decimal("1.50"), at, 1)]
    table(postgres_url, "scaled", "stall NUMERIC, at TIMESTAMPTZ, won INT", scaled)

    texts = LabelColumns({"stall": "STRING"}, "at", "won", pa.int64())
    assert [row["stall"] for row in read(postgres_url, name="many")] == ids
    assert [row["stall"] for row in read(postgres_url, texts, "many")] == list(map(str, ids))
    assert [row["stall"] for row in read(postgres_url, texts, "ids")] == [str(uuid)]
    assert [row["stall"] for row in read(postgres_url, texts, "scaled")] == ["1", "1.5"]


def test_a_column_that_can_be_no_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"stall": [[1]], "at": ["2026-01-01"], "won": [1]}), file)

    with pytest.raises(BadInput, match=r"column stall holds list<.*>, which can't be read as a key"):
        list(file_labels(file, COLUMNS))
    pq.write_table(pa.table({"stall": [1], "at": ["2026-01-01"], "won": [[1]]}), file)
    with pytest.raises(BadInput, match=r"labels\.parquet: won holds list<.*>, which can't be read"):
        list(file_labels(file, COLUMNS))
