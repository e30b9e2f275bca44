from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from data_pipeline.sample_world.generate import generate
from data_pipeline.sample_world.parameters import WorldParameters
from data_pipeline.sample_world.tables import Piece
from data_pipeline.sample_world.targets import target_for
from twinserve.errors import BadInput, TransientError
from twinserve.values.databases import parse_url

pytestmark = pytest.mark.integration
WORLD = WorldParameters(30, 2, 300, 7, 0.02, datetime(2026, 3, 1, tzinfo=UTC))


def write(url: str, folder: Path, *, force: bool = False, world: WorldParameters = WORLD) -> dict[str, object]:
    target = target_for(parse_url(url))
    return generate(world, target, folder / "request.csv", end_given=True, ingested=False, force=force)


@pytest.mark.parametrize("table", ["driver_stats", "driver_orders"])
def test_the_same_rows_as_in_sqlite(tmp_path: Path, postgres_url: str, table: str) -> None:
    there = write(postgres_url, tmp_path)
    here = write(f"sqlite:///{tmp_path / 'source.db'}", tmp_path)
    assert there["rows"] == here["rows"]
    with sa.create_engine(postgres_url).connect() as connection:
        from_postgres = pd.read_sql(sa.text(f"SELECT * FROM {table}"), connection)
    with closing(sqlite3.connect(tmp_path / "source.db")) as database:
        from_sqlite = pd.read_sql(f"SELECT * FROM {table}", database)
    for column in set(from_sqlite) & {"event_timestamp", "created"}:
        from_sqlite[column] = pd.to_datetime(from_sqlite[column], utc=True).astype("datetime64[us, UTC]")
        from_postgres[column] = pd.to_datetime(from_postgres[column], utc=True).astype("datetime64[us, UTC]")
    order = [str(name) for name in from_sqlite]
    pd.testing.assert_frame_equal(
        from_sqlite.sort_values(order, ignore_index=True), from_postgres.sort_values(order, ignore_index=True)
    )


def test_a_second_run_writes_nothing(tmp_path: Path, postgres_url: str) -> None:
    assert write(postgres_url, tmp_path)["written"]
    again = write(postgres_url, tmp_path)
    assert not again["written"]
    assert "tops3cret" not in str(again)


def test_foreign_tables_stay(tmp_path: Path, postgres_url: str) -> None:
    with sa.create_engine(postgres_url).begin() as connection:
        connection.execute(sa.text("CREATE TABLE driver_stats (x int)"))
        connection.execute(sa.text("CREATE TABLE bystander (x int)"))
    with pytest.raises(BadInput, match="driver_stats"):
        write(postgres_url, tmp_path)
    assert write(postgres_url, tmp_path, force=True)["written"]
    with sa.create_engine(postgres_url).connect() as connection:
        assert "bystander" in sa.inspect(connection).get_table_names()


def test_a_broken_write_leaves_the_earlier_world(tmp_path: Path, postgres_url: str) -> None:
    write(postgres_url, tmp_path)
    target = target_for(parse_url(postgres_url))

    def broken() -> Iterator[Piece]:
        yield from ()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        target.write(broken(), "{}")
    assert not write(postgres_url, tmp_path)["written"]


def test_no_server_is_a_passing_trouble_and_tells_no_password(tmp_path: Path) -> None:
    with pytest.raises(TransientError) as caught:
        write("postgresql://someone:tops3cret@127.0.0.1:1/db", tmp_path)
    assert "127.0.0.1:1/db" in str(caught.value)
    assert "tops3cret" not in str(caught.value)


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://", "nonsense"])
def test_other_databases_are_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput):
        write(url, tmp_path)
