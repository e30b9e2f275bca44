"""A source that is read whole every time: what it no longer has is deleted from what is stored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data_pipeline.publishing import offline_files
from data_pipeline.publishing import source_deletions as snapshot
from data_pipeline.publishing.offline_files import day_files
from data_pipeline.reading.interval import Interval
from twinserve.errors import PermanentError
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.file_sizes import deletions_of
from twinserve.steps.ledger import LedgerMismatch

Frames = Callable[..., pd.DataFrame]
Files = Callable[..., Path]
SNAPSHOT = {"max_deleted_fraction": 1.0}


def rows_of(frame: pd.DataFrame) -> set[tuple[int, Any]]:
    return set(zip(frame["shop"].tolist(), frame["event_timestamp"].tolist(), strict=True))


@pytest.mark.parametrize("compared", ["rows", "keys"])
def test_an_erased_key_goes_offline(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, compared: str
) -> None:
    pipeline.rules = rules(snapshot=compared, checks=SNAPSHOT)
    rows = visits(48, shops=3)
    pipeline.through(source_file(rows))
    left = rows[rows["shop"] != 2]
    pipeline.now += timedelta(minutes=1)
    outcome = pipeline.through(source_file(left), "r2")
    assert rows_of(pipeline.stored()) == rows_of(left)
    assert outcome["rows_deleted"] == 16
    assert outcome["updated"]["rows"] == 16, "who waits for news of the store hears of it"
    said = "the snapshot lacks 16 rows: 33.33% of those stored, 100.00% allowed by max_deleted_fraction"
    assert said in " ".join(outcome["warnings"])
    listed = pq.read_table(outcome["deleted_listed"])
    assert listed.column_names == ["shop", "event_timestamp", "created"], "no features of the erased are kept"
    assert listed["shop"].to_pylist() == [2] * 16


def test_a_table_of_the_present_keeps_its_past(pipeline: Any, visits: Frames, source_file: Files, rules: Any) -> None:
    """One row a key at the source, updated in place: rows of the past are no deletions by `keys`."""
    pipeline.rules = rules(snapshot="keys", checks=SNAPSHOT)
    for key, first in (("r1", 0), ("r2", 2), ("r3", 4)):
        pipeline.through(source_file(visits(6).iloc[first : first + 2]), key)
        pipeline.now += timedelta(minutes=1)
    assert len(pipeline.stored()) == 6
    pipeline.through(source_file(visits(6).iloc[4:5]), "r4")
    assert set(pipeline.stored()["shop"]) == {1}


def test_more_than_a_source_loses_in_its_usual_life_is_refused(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules = rules(snapshot="rows")
    rows = visits()
    pipeline.through(source_file(rows))
    before = pipeline.store_bytes()
    for key, left in (("r2", rows.head(10)), ("r3", rows.head(0))):
        pipeline.now += timedelta(minutes=1)
        with pytest.raises(PermanentError, match="the snapshot lacks"):
            pipeline.through(source_file(left), key)
    assert pipeline.store_bytes() == before
    outcome = pipeline.through(source_file(rows.head(40)), "r4")
    assert outcome["rows_deleted"] == 8


def test_what_a_refused_snapshot_would_have_deleted_is_listed(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules, rows = rules(snapshot="rows"), visits(8)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    anew = rows.tail(4).assign(created=rows["created"] + timedelta(minutes=1))
    with pytest.raises(PermanentError) as refused:
        pipeline.through(source_file(anew), "r2")
    listed = pipeline.run("r2").refused_deletions
    assert f"rows that would be deleted are in {listed}" in str(refused.value)
    assert str(refused.value).endswith(
        "Correct the source, or views.visits.checks.max_deleted_fraction in sources.yaml"
    )
    found = pq.read_table(listed)
    assert found.column_names == ["shop", "event_timestamp", "created"]
    assert rows_of(found.to_pandas()) == rows_of(rows.head(4)), "those that the source has anew are no deletions"
    page = (pipeline.root / "reports" / "r2.html").read_text()
    assert f"would have been deleted, as the source no longer has them, are in {listed}" in page
    pipeline.now += timedelta(minutes=1)
    outcome = pipeline.through(source_file(rows.head(7)), "r2")
    page = Path(outcome["report"]).read_text()
    assert f"were deleted, as the source no longer has them, are in {outcome['deleted_listed']}" in page


def test_once_the_run_has_passed_nothing_says_that_it_was_refused(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules, rows = rules(snapshot="rows"), visits(8)
    pipeline.through(source_file(rows))
    for left in (rows.head(2), rows):
        pipeline.now += timedelta(minutes=1)
        with contextlib.suppress(PermanentError):
            pipeline.through(source_file(left), "r2")
        run = pipeline.run("r2")
        refused = [file.exists() for file in (run.refused, run.refused_corrections, run.refused_deletions)]
        assert refused == [len(left) == 2] * 3


def test_a_list_of_no_deletion_is_not_made(pipeline: Any, visits: Frames, source_file: Files, rules: Any) -> None:
    pipeline.rules, rows = rules(snapshot="rows"), visits(8)
    pipeline.through(source_file(rows))
    pipeline.rules = rules(snapshot="rows", checks={"min_rows": 20})
    pipeline.now += timedelta(minutes=1)
    with pytest.raises(PermanentError) as refused:
        pipeline.through(source_file(rows.assign(created=rows["created"] + timedelta(minutes=1))), "r2")
    assert "would be deleted" not in str(refused.value), "all of them were written anew"


def test_a_snapshot_that_is_refused_for_another_reason_lists_no_deletion_of_an_earlier_try(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules, rows = rules(snapshot="rows", checks={"max_bad_fraction": 0.1}), visits(8)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    with pytest.raises(PermanentError, match="rows that would be deleted"):
        pipeline.through(source_file(rows.head(4)), "r2")
    with pytest.raises(
        PermanentError, match=r"Correct the source, or views\.visits\.checks\.max_bad_fraction"
    ) as refused:
        pipeline.through(source_file(rows.assign(rate=7.0)), "r2")
    assert "deleted are in" not in str(refused.value)
    assert not pipeline.run("r2").refused_deletions.exists()


@pytest.mark.parametrize("allowed", [{"max_deleted_fraction": 1.0}, {"on_failure": "warn"}])
def test_an_empty_source_deletes_nothing_whatever_is_allowed(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, allowed: Any
) -> None:
    pipeline.rules = rules(snapshot="rows", checks=allowed)
    pipeline.through(source_file(visits(8).head(0)), "r0")
    pipeline.through(source_file(visits(8)))
    pipeline.now += timedelta(minutes=1)
    with pytest.raises(PermanentError, match="the snapshot lacks all 8 stored rows, as it has none"):
        pipeline.through(source_file(visits(8).head(0)), "r2")
    assert len(pipeline.stored()) == 8


def test_what_was_set_aside_is_there_all_the_same(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules = rules(snapshot="rows", checks=SNAPSHOT)
    rows = visits(4)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    outcome = pipeline.through(source_file(rows.assign(rate=[7.0, *rows["rate"][1:]]).head(3)), "r2")
    assert outcome["rows_deleted"] == 1
    assert len(pipeline.stored()) == 3, "the stored row of the one that is bad now stays"


def test_while_it_is_unknown_whose_a_row_is_nothing_is_deleted(
    pipeline: Any, visits: Frames, tmp_path: Path, rules: Any
) -> None:
    pipeline.rules = rules(snapshot="keys", checks=SNAPSHOT)
    file, rows = tmp_path / "v.csv", visits(6, shops=3)
    rows.to_csv(file, index=False)
    pipeline.through(file)
    pipeline.now += timedelta(minutes=1)
    rows.astype({"shop": str}).replace({"shop": {"2": "two"}}).to_csv(file, index=False)
    outcome = pipeline.through(file, "r2")
    assert outcome["rows_deleted"] == 0
    assert "2 rows of the snapshot have no readable keys" in " ".join(outcome["warnings"])
    assert len(pipeline.stored()) == 6


def test_while_a_file_of_the_source_can_not_be_read_nothing_is_deleted(
    pipeline: Any, visits: Frames, tmp_path: Path, rules: Any
) -> None:
    pipeline.rules, rows = rules(snapshot="rows", checks=SNAPSHOT), visits(8)
    folder = tmp_path / "export"
    folder.mkdir()
    for number, part in enumerate((rows.head(6), rows.tail(2))):
        part.to_csv(folder / f"{number}.csv", index=False)
    pipeline.through(folder)
    (folder / "1.csv").rename(folder / "1.csv.rar")
    pipeline.now += timedelta(minutes=1)
    outcome = pipeline.through(folder, "r2")
    assert outcome["rows_deleted"] == 0
    assert len(pipeline.stored()) == 8
    assert "1.csv.rar; rows of them may be stored: this run deletes nothing" in " ".join(outcome["warnings"])
    (folder / "1.csv.rar").unlink()
    pipeline.now += timedelta(minutes=1)
    assert pipeline.through(folder, "r3")["rows_deleted"] == 2


def test_rows_that_are_not_there_to_be_compared_stop_the_run(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    """They would count as deleted at the source."""
    pipeline.rules, rows = rules(snapshot="rows", checks=SNAPSHOT), visits(8)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    pipeline.ingest(source_file(rows), "r2")
    pipeline.clean("r2")
    present = pipeline.run("r2").present
    pq.write_table(pq.read_table(present).slice(0, 6), present)
    with pytest.raises(LedgerMismatch, match="snapshot of visits was given 8 rows and accounts for 6"):
        pipeline.validate("r2")
    assert len(pipeline.stored()) == 8


def test_rows_that_are_neither_kept_nor_deleted_are_found(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.rules, rows = rules(snapshot="rows", checks=SNAPSHOT), visits(8)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    write = offline_files.write_day
    monkeypatch.setattr(snapshot, "write_day", lambda view, day, kept, **how: write(view, day, kept.slice(1), **how))
    with pytest.raises(LedgerMismatch, match="snapshot of visits was given 8 rows and accounts for 7: 5 kept, 2 del"):
        pipeline.through(source_file(rows.head(6)), "r2")


def test_rows_that_the_source_writes_anew_are_no_deletions(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    """Updated in place, with another `created`, on a usual day."""
    pipeline.rules, rows = rules(snapshot="rows"), visits(8)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    later = rows["created"] + timedelta(minutes=1)
    anew = rows.assign(created=later.where(rows.index < 5, rows["created"]), rate=0.9)
    outcome = pipeline.through(source_file(anew.head(7)), "r2")
    assert rows_of(pipeline.stored()) == rows_of(anew.head(7))
    assert set(pipeline.stored()["created"]) == set(anew.head(7)["created"])
    assert "the snapshot lacks 1 rows: 12.50% of those stored" in " ".join(outcome["warnings"])
    assert "of 5 more it has another time of writing" in " ".join(outcome["warnings"])


@pytest.mark.parametrize("part", ["another source", "an interval"])
def test_a_part_of_the_source_deletes_nothing(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, part: str
) -> None:
    pipeline.rules = rules(snapshot="rows", checks=SNAPSHOT)
    rows = visits()
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    interval = Interval(rows["created"].min(), rows["created"].max()) if part == "an interval" else None
    pipeline.ingest(source_file(rows.head(20)), "r2", interval, whole=interval is not None)
    pipeline.clean("r2")
    assert pipeline.validate("r2")["rows_deleted"] == 0
    assert len(pipeline.stored()) == 48


def test_an_older_read_published_last_deletes_no_row_that_a_later_one_saw(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    pipeline.rules = rules(snapshot="rows", checks=SNAPSHOT)
    rows = visits(8)
    pipeline.ingest(source_file(rows.head(4)), "early")
    pipeline.now += timedelta(minutes=1)
    pipeline.through(source_file(rows), "late")
    pipeline.clean("early")
    pipeline.validate("early")
    assert len(pipeline.stored()) == 8


def test_as_many_new_rows_as_deleted_ones_still_show_in_the_file(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any
) -> None:
    """Materialize would take a day with as many rows as before for one in which none has gone."""
    pipeline.rules = rules(snapshot="keys", checks=SNAPSHOT)
    rows = visits(4)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    pipeline.through(source_file(rows.replace({"shop": {2: 3}})), "r2")
    (file,) = day_files(pipeline.view).values()
    assert pq.read_metadata(file).num_rows == 4
    assert deletions_of(file) == 1
    pipeline.now += timedelta(minutes=1)
    pipeline.through(source_file(rows.replace({"shop": {2: 3}}).assign(rate=0.5)), "r3")
    assert deletions_of(file) == 1, "a correction deletes nothing, and forgets none"


def test_killed_between_two_days_the_same_run_ends_it(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.rules = rules(snapshot="keys", checks=SNAPSHOT)
    rows = visits(96)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    pipeline.ingest(source_file(rows[rows["shop"] == 1]), "r2")
    pipeline.clean("r2")
    written: list[Any] = []
    write = offline_files.write_day

    def once(*args: Any, **given: Any) -> None:
        if written:
            raise KeyboardInterrupt
        written.append(args)
        write(*args, **given)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(snapshot, "write_day", once)
        pipeline.validate("r2")
    outcome = pipeline.validate("r2")
    assert outcome["rows_deleted"] == 48
    assert pq.read_table(outcome["deleted_listed"]).num_rows == 48
    assert set(pipeline.stored()["shop"]) == {1}


@pytest.mark.parametrize("compared", ["rows", "keys"])
def test_an_older_read_published_last_brings_nothing_back(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, compared: str
) -> None:
    """A run that waited, and one that had ended and is repeated, as by a cleared task of Airflow."""
    pipeline.rules = rules(snapshot=compared, checks=SNAPSHOT)
    rows = visits(8, shops=4)
    pipeline.through(source_file(rows), "ended")
    pipeline.now += timedelta(minutes=1)
    pipeline.ingest(source_file(rows), "waits")
    pipeline.now += timedelta(minutes=1)
    pipeline.through(source_file(rows[rows["shop"] != 2]), "later")
    pipeline.clean("waits")
    for key in ("waits", "ended"):
        outcome = pipeline.validate(key)
        assert set(pipeline.stored()["shop"]) == {1, 3, 4}
        assert outcome["ledger"]["ignored"]["older_read"] == 2
        assert "were gone when all was read later" in " ".join(outcome["warnings"])
    pipeline.now += timedelta(minutes=1)
    pipeline.through(source_file(rows), "back")
    assert set(pipeline.stored()["shop"]) == {1, 2, 3, 4}


def marked(home: Any) -> list[tuple[int, bool]]:
    """The key of each stored row, and whether it says that the key was deleted."""
    stored = home.stored()
    marks = stored[DELETED].notna() if DELETED in stored else [False] * len(stored)
    return sorted(zip(stored["shop"].tolist(), marks, strict=True))


@pytest.mark.parametrize(("compared", "of_shop_1"), [("keys", [(1, False), (1, True)]), ("rows", [(1, True)])])
def test_a_mark_and_a_snapshot_of_one_view(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, compared: str, of_shop_1: list[tuple[int, bool]]
) -> None:
    """A marked row is there for the snapshot as any other; a key without a row at all loses its mark too."""
    pipeline.rules, rows = rules(deleted="gone", snapshot=compared, checks=SNAPSHOT), visits(4, shops=4)
    rows["gone"] = False
    others, one = rows[rows["shop"] > 2], rows[rows["shop"] == 1]
    pipeline.through(source_file(rows))
    deletion = one.assign(event_timestamp=one["event_timestamp"] + timedelta(hours=1), gone=True)
    pipeline.now += timedelta(minutes=1)
    pipeline.ingest(source_file(pd.concat([deletion, others])), "waits")
    outcome = pipeline.through(source_file(pd.concat([deletion, others])), "marked")
    assert marked(pipeline) == [*of_shop_1, (3, False), (4, False)]
    assert (outcome["rows_marked_deleted"], outcome["rows_deleted"]) == (1, 3 - len(of_shop_1))
    pipeline.now += timedelta(minutes=1)
    assert pipeline.through(source_file(others), "purged")["rows_deleted"] == len(of_shop_1)
    pipeline.clean("waits")
    pipeline.validate("waits")
    assert marked(pipeline) == [(3, False), (4, False)]


def killed(*_: Any, **__: Any) -> None:
    raise KeyboardInterrupt


def test_what_a_killed_try_meant_to_delete_and_is_there_again_is_not_told_as_deleted(
    pipeline: Any, visits: Frames, source_file: Files, rules: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.rules, rows = rules(snapshot="rows", checks=SNAPSHOT), visits(8, shops=4)
    pipeline.through(source_file(rows))
    pipeline.now += timedelta(minutes=1)
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(snapshot, "write_day", killed)
        pipeline.through(source_file(rows[rows["shop"] > 2]), "r2")
    pipeline.now += timedelta(minutes=1)
    outcome = pipeline.through(source_file(rows[rows["shop"] != 2]), "r2")
    assert set(pipeline.stored()["shop"]) == {1, 3, 4}
    assert outcome["rows_deleted"] == outcome["updated"]["rows"] == 2
    assert set(pq.read_table(outcome["deleted_listed"])["shop"].to_pylist()) == {2}
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(snapshot, "write_day", killed)
        pipeline.through(source_file(rows[rows["shop"] > 2]), "r3")
    pipeline.now += timedelta(minutes=1)
    outcome = pipeline.through(source_file(rows[rows["shop"] != 2]), "r3")
    assert (outcome["rows_deleted"], outcome["deleted_listed"], outcome["updated"]["rows"]) == (0, None, 0)


SOURCES = st.lists(st.sets(st.tuples(st.integers(1, 3), st.integers(0, 40)), min_size=1), min_size=1, max_size=4)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SOURCES, st.sampled_from(["rows", "keys"]), st.data())
def test_the_store_holds_what_the_reads_say_in_whatever_order_they_are_published(
    tmp_path_factory: Any, pipeline_in: Any, visits: Frames, rules: Any, reads: list[Any], compared: str, data: Any
) -> None:
    home = pipeline_in(tmp_path_factory.mktemp("home"), rules(snapshot=compared, checks=SNAPSHOT))
    expected: set[tuple[int, int]] = set()
    every, numbers = visits(41, shops=1), list(range(len(reads)))
    for number, wanted in enumerate(reads):
        keys = {shop for shop, _ in wanted}
        expected = wanted | {row for row in expected if compared == "keys" and row[0] in keys}
        frame = pd.concat([every.iloc[[hour]].assign(shop=shop) for shop, hour in sorted(wanted)])
        file = home.root / f"{number}.parquet"
        file.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), file)
        home.ingest(file, f"r{number}")
        home.clean(f"r{number}")
        home.now += timedelta(minutes=1)
    again = st.lists(st.sampled_from(numbers), max_size=2)
    for number in [*data.draw(st.permutations(numbers)), *data.draw(again)]:
        home.validate_without_report(f"r{number}")
    hours = {moment: hour for hour, moment in enumerate(every["event_timestamp"].tolist())}
    assert {(shop, hours[moment]) for shop, moment in rows_of(home.stored())} == expected
