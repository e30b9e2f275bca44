from __future__ import annotations

import gzip
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from data_pipeline.reading.locate import locate
from twinserve.errors import BadInput, StepMissing, TransientError

SINCE = datetime(2026, 3, 9, 12, tzinfo=UTC)
NAMES = ["id", "at", "note"]
TEXT = 'id,at,note\n1,2026-03-09 11:59:59,a\n2,2026-03-09 12:00:00,"b, c"\n3,,\n4,junk,d\n'


def rows(source: str | Path, since: datetime | None = None, names: list[str] = NAMES) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for one in locate(str(source), "t"):
        for chunk in one.rows(names, "at", since):
            found += chunk.to_pylist()
    return found


def ids(source: str | Path, since: datetime | None = None) -> list[int]:
    return sorted(int(row["id"]) for row in rows(source, since))


def test_text_stays_text_and_empty_is_null(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXT)
    assert rows(tmp_path / "a.csv")[1:3] == [
        {"id": "2", "at": "2026-03-09 12:00:00", "note": "b, c"},
        {"id": "3", "at": None, "note": None},
    ]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", b"\xef\xbb\xbf" + TEXT.encode()),
        ("crlf.csv", TEXT.replace("\n", "\r\n").encode()),
        ("tab.csv", TEXT.replace('"b, c"', "b").replace(",", "\t").encode()),
        ("tab.tsv", TEXT.replace('"b, c"', "b").replace(",", "\t").encode()),
        ("semi.txt", TEXT.replace('"b, c"', "b").replace(",", ";").encode()),
        ("packed.csv.gz", gzip.compress(TEXT.encode(), mtime=0)),
        ("packed_bom.csv.gz", gzip.compress(b"\xef\xbb\xbf" + TEXT.encode(), mtime=0)),
    ],
)
def test_all_makes_of_text(tmp_path: Path, name: str, content: bytes) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    (source,) = locate(str(file), "t")
    assert source.columns() == NAMES
    assert ids(file) == [1, 2, 3, 4]


def test_a_file_is_read_from_the_time_on_and_what_is_no_time_always(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(TEXT)
    assert ids(tmp_path / "a.csv", SINCE) == [2, 3, 4]


def test_parquet_keeps_its_types_and_only_the_columns_asked_for(tmp_path: Path) -> None:
    table = pa.table(
        {"x": [1, 2], "at": pa.array([SINCE - timedelta(seconds=1), SINCE]), "id": [1, 2], "note": ["a", None]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    assert rows(tmp_path / "a.parquet", SINCE) == [{"id": 2, "at": SINCE, "note": None}]


def test_a_folder_is_all_its_files_but_hidden_ones(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.csv").write_text("id,at,note\n1,,\n")
    (tmp_path / "a.tsv").write_text("id\tat\tnote\n2\t\t\n")
    (tmp_path / ".hidden.csv").write_text("id,at,note\n3,,\n")
    (tmp_path / "readme.md").write_text("x")
    assert ids(tmp_path) == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n", "is empty"),
        ("bad.parquet", b"PAR1 no", "can't be read as Parquet"),
        ("latin.csv", "id,at,straße\n".encode("latin-1"), "can't be read"),
        ("broken.csv.gz", b"no gzip", "can't be read"),
        ("a.xlsx", b"x", "of no known kind"),
        ("twice.csv", b"id,at,note,at\n1,,,\n", "has two columns named at"),
    ],
)
def test_files_that_cant_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=f"{name}.*{message}"):
        locate(str(tmp_path / name), "t")[0].columns()


def test_a_line_with_too_few_fields_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,at,note\n\n1,,\n2,\n")
    with pytest.raises(BadInput, match=r"a\.csv, line 4: 2 fields"):
        rows(tmp_path / "a.csv")


def test_a_column_twice_is_refused_in_parquet_too(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1])] * 3, ["id", "at", "id"]), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=r"a\.parquet has two columns named id"):
        locate(str(tmp_path / "a.parquet"), "t")[0].columns()


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no file or folder"):
        locate(str(tmp_path / "x.csv"), "t")
    with pytest.raises(BadInput, match="no data file in"):
        locate(str(tmp_path), "t")
    with pytest.raises(StepMissing, match="generate"):
        locate(f"sqlite:///{tmp_path / 'x.db'}", "t")
    assert not (tmp_path / "x.db").exists()


def sqlite(tmp_path: Path, values: list[tuple[Any, ...]], kind: str = "DATETIME") -> str:
    url = f"sqlite:///{tmp_path / 's.db'}"
    with sa.create_engine(url).begin() as connection:
        connection.execute(sa.text(f"CREATE TABLE t (id INTEGER, at {kind}, note TEXT)"))
        for row in values:
            connection.exec_driver_sql("INSERT INTO t VALUES (?, ?, ?)", row)
    return url


def test_sqlite_compares_times_of_all_zones(tmp_path: Path) -> None:
    url = sqlite(
        tmp_path,
        [
            (1, "2026-03-09 11:59:59.000000", ""),
            (2, "2026-03-09 12:00:00", ""),
            (3, "2026-03-09T12:00:00+00:00", ""),
            (4, "2026-03-09 07:00:00-05:00", ""),  # noon in UTC, though its text is the least
            (5, "2026-03-09 18:59:00+07:00", ""),  # before noon in UTC, though its text is the greatest
            (6, None, ""),
            (7, "junk", ""),
        ],
    )
    assert ids(url) == [1, 2, 3, 4, 5, 6, 7]
    assert ids(url, SINCE) == [2, 3, 4, 6, 7]


def test_sqlite_columns_of_mixed_types_come_as_text(tmp_path: Path) -> None:
    url = sqlite(tmp_path, [(1, None, "a"), ("x", None, 5)])
    assert [row["id"] for row in rows(url)] == ["1", "x"]


def test_an_empty_table(tmp_path: Path) -> None:
    assert rows(sqlite(tmp_path, [])) == []


def test_a_missing_table_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    (source,) = locate(sqlite(tmp_path, []), "orders")
    with pytest.raises(BadInput, match="it has t"):
        source.columns()


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date", "text"])
def test_postgres_filters_by_every_kind_of_time(postgres_url: str, kind: str) -> None:
    with sa.create_engine(postgres_url).begin() as connection:
        connection.execute(sa.text("SET TIME ZONE 'UTC'"))
        connection.execute(sa.text(f"CREATE TABLE t (id int, at {kind}, note text)"))
        for number, at in enumerate(["2026-03-08 12:00:00", "2026-03-09 12:00:00", "2026-03-10 12:00:00", None]):
            connection.execute(sa.text(f"INSERT INTO t VALUES (:n, CAST(:at AS {kind}), 'x')"), {"n": number, "at": at})
    expected = [0, 1, 2, 3] if kind == "text" else [1, 2, 3]
    assert ids(postgres_url, SINCE) == expected


@pytest.mark.integration
def test_postgres_streams_typed_rows_of_a_schema(postgres_url: str) -> None:
    frame = pd.DataFrame({"id": range(250_000), "at": pd.Timestamp(SINCE), "note": "x"})
    engine = sa.create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA IF NOT EXISTS shop"))
        connection.execute(sa.text("DROP TABLE IF EXISTS shop.t"))
        connection.execute(
            sa.text("CREATE TABLE shop.t AS SELECT i AS id, now() AS at, 'x' AS note FROM generate_series(0, 249999) i")
        )
    (source,) = locate(postgres_url, "shop.t")
    chunks = list(source.rows(NAMES, "at", None))
    assert [chunk.num_rows for chunk in chunks] == [100_000, 100_000, 50_000]
    assert pa.concat_tables(chunks)["id"].to_pylist() == frame["id"].tolist()
    assert chunks[0].schema.field("at").type == pa.timestamp("us", "UTC")
    assert "tops3cret" not in source.name


@pytest.mark.integration
def test_a_server_that_is_gone(pipeline: Any, source_file: Callable[..., Path]) -> None:
    with pytest.raises(TransientError) as caught:
        pipeline.ingest("postgresql://someone:tops3cret@127.0.0.1:1/db?password=tops3cret")
    assert "tops3cret" not in str(caught.value)
