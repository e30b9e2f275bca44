"""What the offline store no longer has is not scored online: day files that are gone, rows that were taken out."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from twinserve.errors import BadInput, TransientError
from twinserve.features.feast_repo.online_view import online_view
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.features.materialization.day_files import DayFiles
from twinserve.features.materialization.lost_spans import LAST, Lost, around
from twinserve.features.materialization.materialize import ViewResult, materialize
from twinserve.features.materialization.written_files import WrittenFiles
from twinserve.features.redis.layout import redis_key
from twinserve.features.stored_files.file_sizes import FileSize, with_deletions
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
Repo = Callable[..., Path]
DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], ttl={ttl}, source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32)],
)
service = FeatureService(name="store_ranking", features=[sales])
"""


class Twins:
    """The two stores of one view."""

    def __init__(self, settings: Settings, url: str) -> None:
        self.settings, self.url = settings, url
        self.client: Any = redis.Redis.from_url(url)

    def file(self, days: int) -> Path:
        return self.settings.offline_store / "sales" / f"day={NOW - days * DAY:%Y-%m-%d}" / "part-0.parquet"

    def store(self, days: int, revenue: dict[int, float]) -> None:
        """All rows of a day; without any, no file."""
        self.file(days).parent.mkdir(parents=True, exist_ok=True)
        if revenue:
            self.rows(days, revenue).to_parquet(self.file(days), index=False)
        else:
            self.file(days).unlink()

    def delete(self, days: int, left: pd.DataFrame) -> None:
        """Rewrite a day as whoever deletes rows of it does."""
        pq.write_table(with_deletions(pa.Table.from_pandas(left, preserve_index=False), 1), self.file(days))

    def rows(self, days: float, revenue: dict[int, float]) -> pd.DataFrame:
        moments = pd.Series([NOW - days * DAY] * len(revenue), dtype="datetime64[us, UTC]")
        return pd.DataFrame(
            {
                "store_id": list(revenue),
                "revenue": pd.array(list(revenue.values()), dtype="Float32"),
                "event_timestamp": moments,
                "created": moments,
            }
        )

    def push(self, days: float, revenue: dict[int, float]) -> None:
        open_store(self.settings, self.url).write_to_online_store("sales", self.rows(days, revenue))

    def materialize(self, *, full: bool = False) -> ViewResult:
        (result,) = materialize(self.settings, self.url, timedelta(0), full=full)
        return result

    def online(self, *keys: int) -> list[float | None]:
        answer = open_store(self.settings, self.url).get_online_features(
            ["sales:revenue"], [{"store_id": key} for key in keys]
        )
        found: list[float | None] = answer.to_dict()["revenue"]
        return found

    def batch(self, *keys: int) -> list[float | None]:
        asked = pd.DataFrame({"store_id": keys, "event_timestamp": [datetime.now(UTC)] * len(keys)})
        job = open_store(self.settings, self.url).get_historical_features(asked, ["sales:revenue"])
        values = dict(zip(*(job.to_arrow()[name].to_pylist() for name in ("store_id", "revenue")), strict=True))
        return [values[key] for key in keys]

    def agree(self, *expected: float | None) -> None:
        """On the stores 1, 2, 3, …."""
        keys = range(1, len(expected) + 1)
        assert self.batch(*keys) == list(expected)
        assert self.online(*keys) == list(expected)


@pytest.fixture
def twins(settings: Settings, feature_repo: Repo, redis_url: str) -> Twins:
    """Stores 1 to 3, rows of three days, materialized."""
    feature_repo(ttl=30 * DAY)
    apply_definitions(settings, redis_url)
    twins = Twins(settings, redis_url)
    twins.store(9, {1: 1.0, 2: 2.0, 3: 3.0})
    twins.store(6, {1: 10.0, 2: 20.0})
    twins.store(3, {1: 100.0})
    twins.materialize()
    twins.agree(100, 20, 3)
    return twins


def test_a_row_that_was_taken_out_of_a_day_gives_way_to_the_one_before_it(twins: Twins) -> None:
    twins.store(6, {1: 10.0})
    assert twins.materialize().removed == 1
    twins.agree(100, 2, 3)


def test_an_entity_that_was_erased_offline_is_unknown_online(twins: Twins) -> None:
    twins.store(9, {1: 1.0, 2: 2.0})
    assert twins.materialize().removed == 1
    twins.agree(100, 20, None)
    assert not twins.client.exists(redis_key("shop", {"store_id": ("INT64", 3)}))
    assert twins.materialize().removed == 0


def test_a_day_that_is_gone_takes_its_rows_along(twins: Twins) -> None:
    twins.store(3, {})
    twins.store(6, {})
    assert twins.materialize().removed == 2
    twins.agree(1, 2, 3)


def test_an_equal_number_of_other_rows_is_found_by_a_full_comparison(twins: Twins) -> None:
    twins.store(6, {1: 10.0, 4: 40.0})
    twins.materialize()
    assert twins.online(2) == [20], "as many rows as before: nobody looks"
    assert twins.materialize(full=True).removed == 1
    twins.agree(100, 2, 3, 40)


def test_a_file_that_says_that_rows_were_deleted_is_compared_whatever_its_rows(twins: Twins) -> None:
    twins.delete(6, twins.rows(6, {1: 10.0, 4: 40.0}))
    assert twins.materialize().removed == 1
    twins.agree(100, 2, 3, 40)
    assert twins.materialize().removed == 0


def test_what_a_stream_has_pushed_stays(twins: Twins) -> None:
    twins.push(0.01, {2: 21.0, 50: 5.0})
    twins.push(4, {51: 6.0})
    twins.store(6, {1: 10.0})
    assert twins.materialize().removed == 0, "store 2 has a newer row, 51 is of another day"
    assert twins.online(2, 50, 51) == [21, 5, 6]
    assert twins.materialize(full=True).removed == 1
    assert twins.online(2, 50, 51) == [21, 5, None], "later than all that is stored: not yet heard of; 51 is erased"


def test_a_row_whose_event_time_was_corrected_to_an_earlier_one_is_written(twins: Twins) -> None:
    earlier = twins.rows(6.5, {1: 10.0, 2: 21.0})
    earlier.to_parquet(twins.file(6), index=False)
    assert twins.materialize().removed == 1, "as many rows as before, none as late as the latest was"
    twins.agree(100, 21, 3)


@pytest.mark.parametrize("gone", [False, True], ids=["fewer rows", "no file"])
def test_of_a_day_that_lost_rows_what_was_pushed_for_other_times_than_the_day_had_stays(
    twins: Twins, *, gone: bool
) -> None:
    noon = NOW.replace(hour=12, minute=0, second=0) - 6 * DAY
    later, amid, earlier = ((NOW - noon - timedelta(hours=hours)) / DAY for hours in (1, -1, -3))
    rows = twins.rows(6, {1: 10.0, 2: 20.0})
    rows["event_timestamp"] = pd.Series([noon, noon - timedelta(hours=2)], dtype="datetime64[us, UTC]")
    rows.to_parquet(twins.file(6), index=False)
    twins.materialize()
    twins.push(later, {50: 5.0})
    twins.push(amid, {51: 6.0})
    twins.push(earlier, {52: 7.0})
    if gone:
        twins.store(6, {})
    else:
        rows[:1].to_parquet(twins.file(6), index=False)
    assert twins.materialize().removed == 2
    twins.agree(100, 2, 3)
    assert twins.online(50, 52) == [5, 7], "the day had nothing as late, or as early"
    assert twins.online(51) == [None], "nobody knows that it was pushed"


def test_a_run_that_is_killed_before_it_deletes_leaves_that_to_the_next(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins.store(6, {1: 10.0})
    with monkeypatch.context() as patch:
        patch.setattr("twinserve.features.materialization.materialize.delete_lost_rows", _killed)
        with pytest.raises(KeyboardInterrupt):
            twins.materialize()
    assert twins.materialize().removed == 1
    twins.agree(100, 2, 3)


def _killed(*_: object) -> int:
    raise KeyboardInterrupt


def test_files_remembered_by_an_older_version_are_known_still(twins: Twins) -> None:
    names = twins.client.hgetall("twinserve:materialized:shop:sales")
    for name, text in names.items():
        twins.client.hset("twinserve:materialized:shop:sales", name, text.partition(b" ")[0])
    result = twins.materialize()
    assert (result.files_read, result.removed) == (0, 0)
    twins.store(6, {1: 10.0})
    assert twins.materialize().removed == 1, "they have been counted meanwhile"
    twins.agree(100, 2, 3)


@pytest.mark.parametrize("kept", ["state", "state and rows", "nothing"])
def test_a_row_that_was_deleted_between_an_older_version_and_this_goes(twins: Twins, kept: str) -> None:
    memory = "twinserve:materialized:shop:sales"
    for name, text in twins.client.hgetall(memory).items():
        state, size = text.decode().split(" ", 1) if b" " in text else (text.decode(), "")
        twins.client.hset(memory, name, f"{state} {size.split(' ')[0]}" if kept == "state and rows" else state)
    twins.client.hdel(memory, "source", "latest")
    if kept == "nothing":
        twins.client.hdel(memory, str(twins.file(9).relative_to(twins.settings.offline_store / "sales")))
    twins.delete(9, twins.rows(9, {1: 1.0, 2: 2.0}))
    assert twins.materialize().removed == 1
    twins.agree(100, 20, None)


def test_a_comparison_that_nobody_would_make_is_refused(twins: Twins, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinserve.features.materialization.materialize.is_single_redis", lambda *_: False)  # a cluster
    with pytest.raises(BadInput, match="--full can't compare sales"):
        twins.materialize(full=True)


def test_what_is_lost_is_kept_as_text(twins: Twins) -> None:
    for lost in (Lost(), Lost(((-5, 3), (7, LAST))), Lost(((1, 2),), everything=True)):
        assert Lost.from_text(lost.to_text()) == lost
    assert not Lost()
    assert Lost(((5, 7),)) | Lost(((6, 9), (20, 21))) == Lost(((5, 9), (20, 21)))
    begin, end = around(date(1970, 1, 2))
    assert (begin, end) == (0, 3 * 86_400_000_000), "a day of any zone"
    assert Lost.from_text("all 1970-01-02:5") == Lost(((0, 5),), everything=True), "as an earlier version noted it"
    assert Lost.from_text("1970-01-02") == Lost(((begin, end),))
    store = open_store(twins.settings, twins.url)
    view = online_view(store.get_feature_view("sales"), store.config)
    stored = DayFiles(twins.settings.offline_store / "sales", view.timestamp)
    memory = WrittenFiles(twins.client, view, stored)
    memory.note_lost(Lost(((5, 6),)))
    assert memory.lost(stored.states()) == Lost(((5, 6),))
    memory.note_lost(Lost())
    assert memory.lost(stored.states()) == Lost()


micros = st.integers(-50, 50)


@given(st.lists(st.tuples(micros, micros), max_size=6), st.booleans(), micros, micros)
def test_what_is_lost_concerns_the_times_that_any_of_its_spans_has(
    spans: list[tuple[int, int]], everything: bool, at: int, written: int
) -> None:
    ordered = [(min(span), max(span)) for span in spans]
    lost = Lost(everything=everything)
    for span in ordered:
        lost |= Lost((span,))
    concerned = any(first <= at <= last for first, last in ordered) or (everything and at <= written)
    assert lost.concerns(at, written) == concerned


def test_of_a_file_that_was_replaced_while_it_was_read_both_are_remembered() -> None:
    read = FileSize(10, 2, 90, 10).or_else(FileSize(12, 2, 80, 5))
    assert read == FileSize(12, 2, 90, 5)
    assert read.or_else(FileSize(11, 3, 95, 6)) == FileSize(12, -1, 95, 5)
    assert FileSize(12, 3).has_lost(FileSize(12, -1))
    assert FileSize(12, 2).has_lost(FileSize(12, -1))
    assert FileSize(12, 0, 89, 10).has_lost(FileSize(10, 0, 90, 10)), "the latest row is gone"
    assert FileSize(12, 0, 90, 11).has_lost(FileSize(10, 0, 90, 10)), "the earliest is"
    assert not FileSize(12, 0, 91, 9).has_lost(FileSize(10, 0, 90, 10))
    assert not FileSize(12).has_lost(FileSize(10, 0, 90, 10)), "of no time where one does not tell it"
    assert FileSize.from_text(FileSize(12, -1, 95, 5).to_text()) == FileSize(12, -1, 95, 5)
    assert FileSize(10).or_else(FileSize(9, 0, 1, 0)) == FileSize(10), "of no time where one does not tell it"


@pytest.mark.parametrize("full", [False, True])
def test_the_newest_row_of_all_is_removed_as_any_other(twins: Twins, *, full: bool) -> None:
    twins.store(1, {9: 9.0})
    twins.materialize()
    twins.store(1, {})
    assert twins.materialize(full=full).removed == 1
    assert twins.online(9) == twins.batch(9) == [None]


@pytest.mark.parametrize("folder", ["", "day=2026-02-30"])
@pytest.mark.parametrize("full", [False, True])
def test_so_it_is_where_files_lie_in_no_folder_of_a_day(twins: Twins, folder: str, *, full: bool) -> None:
    shutil.rmtree(twins.settings.offline_store / "sales")
    root = twins.settings.offline_store / "sales" / folder
    root.mkdir(parents=True)
    rows = pd.concat([twins.rows(3, {1: 1.0, 2: 2.0}), twins.rows(1, {9: 9.0})])
    rows.to_parquet(root / "all.parquet", index=False)
    twins.materialize()
    rows[rows.store_id != 9].to_parquet(root / "all.parquet", index=False)
    assert twins.materialize(full=full).removed == 1
    assert twins.online(1, 2, 9) == twins.batch(1, 2, 9) == [1, 2, None]


def test_a_full_comparison_knows_what_was_written_before_the_file_was_put_in_place_of_another(twins: Twins) -> None:
    twins.store(1, {9: 9.0})
    twins.materialize()
    early = pa.Table.from_pandas(twins.rows(1.1, {8: 8.0}), preserve_index=False)
    pq.write_table(early, twins.file(1), write_statistics=False)  # as many rows, of untold times: nobody looks
    twins.materialize()
    assert twins.online(9) == [9]
    assert twins.materialize(full=True).removed == 1
    assert twins.online(8, 9) == twins.batch(8, 9) == [8, None]


@pytest.mark.parametrize("written", [False, True], ids=["before it writes", "when it has written"])
def test_of_a_day_whose_first_run_was_killed_a_deleted_row_goes(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    twins.store(1, {4: 4.0, 5: 5.0})
    with monkeypatch.context() as patch:
        if written:
            patch.setattr("twinserve.features.materialization.materialize.finished", _killed)
            patch.setattr(WrittenFiles, "remember", _killed)
        else:
            patch.setattr("twinserve.features.materialization.materialize._OneView._finish", _killed)
        with pytest.raises(KeyboardInterrupt):
            twins.materialize()
    twins.delete(1, twins.rows(1, {4: 4.0}))
    assert twins.materialize().removed == 1
    assert twins.online(4, 5) == twins.batch(4, 5) == [4, None]


def test_a_day_with_a_row_ahead_of_the_clock_is_remembered_too(twins: Twins) -> None:
    rows = pd.concat([twins.rows(0, {4: 4.0, 5: 5.0}), twins.rows(-0.01, {6: 6.0})])
    twins.file(0).parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(twins.file(0), index=False)
    twins.materialize()
    twins.delete(0, rows[rows.store_id != 5])
    assert twins.materialize().removed == 1
    assert twins.online(4, 5, 6) == twins.batch(4, 5, 6) == [4, None, None]
    assert twins.materialize().files_read >= 1, "its time has not come"


def test_what_feasts_own_command_has_written_is_known_too(twins: Twins) -> None:
    early, late = twins.rows(1.02, {4: 4.0}), twins.rows(1, {5: 5.0})
    twins.file(1).parent.mkdir(parents=True, exist_ok=True)
    early.to_parquet(twins.file(1), index=False)
    twins.materialize()
    pd.concat([early, late]).to_parquet(twins.file(1), index=False)
    open_store(twins.settings, twins.url).materialize(NOW - 20 * DAY, datetime.now(UTC))
    assert twins.online(4, 5) == [4, 5]
    twins.delete(1, early)
    assert twins.materialize().removed == 1
    assert twins.online(4, 5) == twins.batch(4, 5) == [4, None]


def test_a_folder_may_be_a_day_of_another_zone(twins: Twins) -> None:
    rows = twins.rows(2, {4: 4.0, 5: 5.0})
    twins.file(1).parent.mkdir(parents=True, exist_ok=True)
    rows.to_parquet(twins.file(1), index=False)
    twins.materialize()
    rows[:1].to_parquet(twins.file(1), index=False)
    assert twins.materialize().removed == 1
    assert twins.online(4, 5) == twins.batch(4, 5) == [4, None]


def test_what_only_another_source_had_is_removed(twins: Twins, feature_repo: Repo) -> None:
    root = twins.settings.offline_store
    shutil.copytree(root / "sales", root / "sales2")
    other = root / "sales2" / twins.file(9).parent.name / "part-0.parquet"
    twins.rows(9, {1: 1.0, 2: 2.0, 7: 3.0}).to_parquet(other, index=False)
    definitions = DEFINITIONS.replace('offline_source("sales")', 'offline_source("sales2")')
    feature_repo(ttl=30 * DAY, definitions=definitions)
    apply_definitions(twins.settings, twins.url)
    assert twins.materialize().removed == 1
    assert twins.online(1, 2, 3, 7) == twins.batch(1, 2, 3, 7) == [100, 20, None, 3]
    assert twins.materialize().removed == 0


def test_a_day_that_was_put_back_from_a_backup_is_compared(twins: Twins) -> None:
    twins.delete(6, twins.rows(6, {1: 10.0, 3: 30.0}))
    twins.materialize()
    twins.agree(100, 2, 30)
    twins.store(6, {1: 10.0, 2: 20.0})
    assert twins.materialize().removed == 1
    twins.agree(100, 20, 3)


def test_a_redis_that_is_gone_is_transient(twins: Twins) -> None:
    with pytest.raises(TransientError):
        materialize(twins.settings, "redis://127.0.0.1:1/0", full=True)


def test_a_changed_file_from_before_a_feature_was_added_has_nulls(twins: Twins) -> None:
    twins.store(9, {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0})
    pd.read_parquet(twins.file(9)).drop(columns="revenue").to_parquet(twins.file(9), index=False)
    assert twins.materialize().files_read == 1
    twins.agree(100, 20, None, None)


def test_a_file_that_is_read_for_its_column_is_read_with_the_one_beside_it(twins: Twins) -> None:
    for days in (9, 6, 3):
        pd.read_parquet(twins.file(days)).drop(columns="revenue").to_parquet(twins.file(days), index=False)
    twins.store(1, {1: 99.0})
    twins.file(1).rename(twins.file(1).with_name("pushed-0.parquet"))
    twins.rows(1, {1: 111.0}).assign(created=NOW).to_parquet(twins.file(1), index=False)
    for _ in range(2):
        twins.materialize()
        assert twins.online(1) == twins.batch(1) == [111], "of one event time, created later"
        os.utime(twins.file(9))


def test_a_feature_that_no_file_has_is_named(twins: Twins) -> None:
    for days in (9, 6, 3):
        pd.read_parquet(twins.file(days)).rename(columns={"revenue": "income"}).to_parquet(twins.file(days))
    with pytest.raises(BadInput, match="feature view sales: no stored file has a column revenue"):
        twins.materialize()


def test_what_a_killed_feast_materialize_had_staged_is_not_written_once_its_file_has_changed(
    twins: Twins, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins.store(1, {4: 4.0, 5: 5.0})
    with monkeypatch.context() as patch:
        patch.setattr("twinserve.features.materialization.batch_engine.write_staged", _killed)
        with pytest.raises(KeyboardInterrupt):
            open_store(twins.settings, twins.url).materialize(NOW - 20 * DAY, NOW)
    twins.delete(1, twins.rows(1, {4: 4.0}))
    open_store(twins.settings, twins.url).materialize(NOW - 20 * DAY, NOW)
    assert twins.online(4, 5) == [4, None]


def test_that_feasts_engine_takes_no_row_away_is_said(
    twins: Twins, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("twinserve.features.materialization.materialize._is_ours", lambda *_: False)
    twins.materialize()
    assert "rows were deleted" not in caplog.text
    twins.delete(6, twins.rows(6, {1: 10.0}))
    twins.materialize()
    assert "feature view sales: rows were deleted from its files" in caplog.text
