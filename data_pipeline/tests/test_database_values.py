"""What a client library can't represent costs its row, not the table; what is refused is blamed on the right thing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa

from data_pipeline.reading.locate import locate
from twinserve.errors import BadInput, TransientError

Frames = Callable[..., pd.DataFrame]


def execute(url: str, *statements: str) -> str:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return url


def visits_table(url: str, rows: pd.DataFrame) -> str:
    engine = sa.create_engine(url)
    rows.to_sql("visits", engine, index=False)
    engine.dispose()
    return url


@pytest.mark.integration
@pytest.mark.parametrize("column", ["event_timestamp", "created"])
@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date"])
@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 BC", "10000-01-01"])
def test_a_time_that_python_does_not_hold_costs_its_row(
    pipeline: Any, postgres_url: str, visits: Frames, column: str, kind: str, value: str
) -> None:
    visits_table(postgres_url, visits())
    execute(
        postgres_url,
        f"ALTER TABLE visits ALTER COLUMN {column} TYPE {kind}",
        f"UPDATE visits SET {column} = '{value}' WHERE count = 5",
    )
    pipeline.ingest(postgres_url)
    rejected = pipeline.clean()["rejected"]
    assert rejected == {f"{column}: not a time": 1}
    outcome = pipeline.validate()
    assert outcome["rows_in"] == outcome["rows_good"] + outcome["rows_bad"] == 48
    (aside,) = pipeline.quarantined()
    assert json.loads(aside["original"])[column].startswith(value[:10])
    assert 5 not in set(pipeline.stored()["count"])


@pytest.mark.integration
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("'Infinity'::numeric", "rate: not a finite number"),
        ("1e100::numeric * 1e300::numeric", "rate: not a finite number"),
        ("'Infinity'::float8", "rate: not a finite number"),
        ("'1 mon'::interval", "rate: not a finite number"),
        ("'$1,234.50'::money", "rate: not a finite number"),
        ("'24:00'::time", "rate: not a finite number"),
        ("'12:00+05:30:15'::timetz", "rate: not a finite number"),
        ("'{\"a\": 1}'::jsonb", "rate: not a finite number"),
        ("'[1,5)'::int4range", "rate: not a finite number"),
        ("'[2026-01-01,infinity)'::tstzrange", "rate: not a finite number"),
        ("'10.0.0.1/24'::inet", "rate: not a finite number"),
        ("'6fa459ea-ee8a-3ca4-894e-db77e160355e'::uuid", "rate: not a finite number"),
        ("'busy'::mood", "rate: not a finite number"),
        ("'{infinity}'::timestamptz[]", "rate: not a finite number"),
        ("B'101'", None),  # PostgreSQL writes 101, which is a number
        ("'NaN'::numeric", None),
        ("'NaN'::float8", None),
    ],
)
def test_a_value_of_any_type_costs_its_row_at_most(
    pipeline: Any, postgres_url: str, visits: Frames, value: str, reason: str | None
) -> None:
    visits_table(postgres_url, visits(4))
    execute(
        postgres_url,
        "CREATE TYPE mood AS ENUM ('busy')",
        f"CREATE TABLE odd AS SELECT event_timestamp, shop, {value} AS rate, count, created FROM visits",
        "DROP TABLE visits",
        "ALTER TABLE odd RENAME TO visits",
    )
    pipeline.rules = pipeline.rules.model_copy(
        update={"checks": pipeline.rules.checks.model_copy(update={"columns": {}})}
    )
    pipeline.ingest(postgres_url)
    assert pipeline.clean()["rejected"] == ({reason: 4} if reason else {})


@pytest.mark.integration
@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("'1 mon 2 days'::interval", "1 mon 2 days"),
        ('\'{"b": 1, "a": null}\'::json', '{"b": 1, "a": null}'),
        ("'6FA459EA-EE8A-3CA4-894E-DB77E160355E'::uuid", "6fa459ea-ee8a-3ca4-894e-db77e160355e"),
        ("'10.0.0.1'::inet", "10.0.0.1"),
        ("'[1,5)'::int4range", "[1,5)"),
        ("'12:00+02'::timetz", "12:00:00+02"),
        ("'infinity'::date", "infinity"),
    ],
)
def test_a_value_without_a_faithful_form_is_the_text_that_the_database_has(
    postgres_url: str, value: str, text: str
) -> None:
    execute(postgres_url, f"CREATE TABLE t AS SELECT {value} AS v")
    (source,) = locate(postgres_url, "t")
    assert [chunk["v"].to_pylist() for chunk in source.rows(["v"], "v", None)] == [[text]]


def test_bytes_that_are_no_text_in_sqlite(pipeline: Any, tmp_path: Path, visits: Frames) -> None:
    url = visits_table(f"sqlite:///{tmp_path / 'v.db'}", visits(8))
    execute(
        url,
        "UPDATE visits SET rate = CAST(x'ff41' AS TEXT) WHERE count = 1",
        "UPDATE visits SET rate = x'ff41' WHERE count = 2",
        "UPDATE visits SET created = CAST(x'ff41' AS TEXT) WHERE count = 3",
        "UPDATE visits SET event_timestamp = 9e999 WHERE count = 4",
        "UPDATE visits SET event_timestamp = '-0044-03-15 00:00:00' WHERE count = 5",
    )
    pipeline.ingest(url)
    assert pipeline.clean()["rejected"] == {
        "event_timestamp: not a time": 2,
        "rate: not a finite number": 2,
        "created: not a time": 1,
    }


@pytest.mark.integration
def test_a_table_that_we_may_not_read_is_a_matter_of_rights(postgres_url: str) -> None:
    execute(
        postgres_url,
        "CREATE TABLE t AS SELECT 1 AS v",
        "DROP ROLE IF EXISTS guest",
        "CREATE ROLE guest LOGIN",
        "GRANT USAGE ON SCHEMA public TO guest",
    )
    guest = sa.make_url(postgres_url).set(username="guest").render_as_string(hide_password=False)
    (source,) = locate(guest, "t")
    with pytest.raises(BadInput, match=r"permission denied for table t\. Give our user the right"):
        list(source.rows(["v"], "v", None))


@pytest.mark.integration
def test_a_view_whose_own_query_fails_is_no_matter_of_rights(postgres_url: str) -> None:
    execute(postgres_url, "CREATE VIEW t AS SELECT CAST('one' || random() AS int) AS v")
    (source,) = locate(postgres_url, "t")
    with pytest.raises(BadInput, match=r"invalid input syntax.*Correct the value at the source"):
        list(source.rows(["v"], "v", None))


def test_what_is_no_sqlite_file_and_a_view_that_is_broken(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("id,at\n" * 1000)
    with pytest.raises(BadInput, match=r"file is not a database\. Name a SQLite file"):
        locate(f"sqlite:///{tmp_path / 'a.db'}", "t")[0].columns()
    url = execute(f"sqlite:///{tmp_path / 'b.db'}", "CREATE TABLE s (v)", "CREATE VIEW t AS SELECT w AS v FROM s")
    with pytest.raises(BadInput, match="no such column: w"):
        list(locate(url, "t")[0].rows(["v"], "v", None))


def test_a_locked_file_may_be_free_later(tmp_path: Path) -> None:
    url = execute(f"sqlite:///{tmp_path / 'b.db'}", "CREATE TABLE t (v)")
    holder = sa.create_engine(url)
    with holder.connect() as connection:
        connection.exec_driver_sql("BEGIN EXCLUSIVE")
        with pytest.raises(TransientError, match="locked"):
            list(locate(f"{url}?timeout=0", "t")[0].rows(["v"], "v", None))
    holder.dispose()
