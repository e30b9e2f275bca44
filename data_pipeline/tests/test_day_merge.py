"""The rows of a day, stored and read, against a model that takes one row after the other."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.clean import LAST, ROW, clean_schema, stored_schema
from data_pipeline.publishing.contradictions import settle
from data_pipeline.publishing.corrections import corrections
from data_pipeline.publishing.day_merge import merge_day
from data_pipeline.publishing.offline_files import StoredDay
from data_pipeline.sources import Rule
from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec

DAY = date(2026, 3, 10)
NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
VIEW = ViewSpec(
    "visits",
    {"shop": "INT64"},
    {"rate": "DOUBLE", "count": "INT64"},
    Path("offline"),
    "event_timestamp",
    "created",
    None,
)
RULES: list[Rule] = ["latest_read", "keep_first", "refuse"]
IDENTITIES = st.tuples(st.integers(1, 2), st.integers(0, 1), st.integers(0, 1))
VALUES = st.tuples(st.sampled_from([0.5, 1.5, None]), st.sampled_from([7, 8, None]))


def statement(identity: tuple[int, int, int], values: tuple[Any, ...]) -> dict[str, Any]:
    shop, event, created = identity
    times = {"event_timestamp": NOON + timedelta(hours=event), "created": NOON + timedelta(hours=event + created)}
    return {"shop": shop, "rate": values[0], "count": values[1], **times}


def table(rows: list[dict[str, Any]], schema: pa.Schema | None = None) -> pa.Table:
    return pa.Table.from_pylist(rows, schema or stored_schema(VIEW))


def decision(
    old: tuple[Any, ...], new: tuple[Any, ...], absent: frozenset[str], rule: Rule, *, later: bool, retyped: bool
) -> str:
    if old == new:
        return "already"
    if retyped:
        return "replaced"
    if later:
        return "older_read"
    if all(one == other or name in absent for one, other, name in zip(old, new, VIEW.features, strict=True)):
        return "filled"
    return {"latest_read": "replaced", "keep_first": "keep_first", "refuse": "refused"}[rule]


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=40)
@given(
    stored=st.dictionaries(IDENTITIES, VALUES),
    read=st.dictionaries(IDENTITIES, st.tuples(VALUES, st.booleans())),
    absent=st.sampled_from([frozenset(), frozenset({"rate"}), frozenset({"rate", "count"})]),
    retyped=st.sampled_from([{}, {"count": pa.string()}]),
)
def test_a_day_is_merged_as_if_row_by_row(
    stored: dict[Any, Any], read: dict[Any, Any], rule: Rule, absent: frozenset[str], retyped: dict[str, Any]
) -> None:
    stored = {
        key: tuple(None if name in absent else v for v, name in zip(values, VIEW.features, strict=True))
        for key, values in stored.items()
    }
    held = {key: statement(key, values) | {"note": str(key)} for key, values in stored.items()}
    day = StoredDay(
        table(list(held.values()), stored_schema(VIEW).append(pa.field("note", pa.string()))), absent, retyped
    )
    rows = table([statement(key, values) for key, (values, _) in read.items()])
    flags = np.array([later for _, later in read.values()], bool)

    counts: Counter[str] = Counter()
    listed = []
    for key, (values, later) in read.items():
        if key not in stored:
            held[key] = statement(key, values) | {"note": None}
            counts["new"] += 1
            continue
        done = decision(stored[key], values, absent, rule, later=later, retyped=bool(retyped))
        counts[done] += 1
        if done != "already":
            before, after = (table([statement(key, each)]) for each in (stored[key], values))
            listed += corrections(before, after, VIEW, done)  # type: ignore[arg-type]
        if done in ("replaced", "filled"):
            held[key] |= statement(key, values)

    merged = merge_day(DAY, day, rows, VIEW, rule, flags)
    assert merged.day == DAY
    assert merged.rows.to_pylist() == [held[key] for key in sorted(held)]
    assert merged.counts == counts
    assert {"new", "already"} <= set(merged.counts)
    assert all(count for name, count in merged.counts.items() if name not in ("new", "already"))
    assert sorted(merged.found) == sorted(listed)
    taken = counts["new"] + counts["replaced"] + counts["filled"]
    assert merged.changed is bool(taken or retyped or (absent and set(stored) <= set(read)))
    assert all(column.num_chunks <= 1 for column in merged.rows.columns)


def test_stored_rows_of_the_same_keys_and_times_are_refused() -> None:
    rows = [statement((1, 0, 0), (0.5, 7)), statement((1, 0, 0), (1.5, 7)), statement((2, 0, 0), (1.5, 7))]
    town = stored_schema(VIEW).append(pa.field("town", pa.string()))
    for day, told in (
        (StoredDay(table(rows)), r"of the same shop, event_timestamp, created\."),
        (StoredDay(table([row | {"town": "x"} for row in rows], town)), "created, told apart by town"),
    ):
        with pytest.raises(BadInput, match=rf"part-0\.parquet was written .* holds 1 rows more .*{told}"):
            merge_day(DAY, day, table([]), VIEW, "latest_read", np.zeros(0, bool))


def test_rows_of_a_view_without_created_are_told_apart_by_keys_and_event_time() -> None:
    view = replace(VIEW, created=None)
    schema = stored_schema(view)
    old, new = (
        table([statement((1, 0, created), (rate, 7))]).select(schema.names) for created, rate in ((0, 0.5), (1, 1.5))
    )
    merged = merge_day(DAY, StoredDay(old), new, view, "latest_read", np.zeros(1, bool))
    assert merged.rows.equals(new)
    assert merged.counts == Counter(replaced=1)


@pytest.mark.parametrize("rule", RULES)
@settings(deadline=None, max_examples=40)
@given(
    rows=st.lists(st.tuples(IDENTITIES, VALUES), max_size=8, unique=True),
    data=st.data(),
)
def test_of_rows_that_contradict_each_other_the_order_decides_or_none_is_kept(
    rows: list[Any], rule: Rule, data: st.DataObject
) -> None:
    first = data.draw(st.permutations(range(10, 10 + len(rows))))
    last = data.draw(st.permutations(range(20, 20 + len(rows))))
    unordered = data.draw(st.sets(st.sampled_from(first))) if rows else set()
    given_rows = [statement(*row) | {ROW: one, LAST: other} for row, one, other in zip(rows, first, last, strict=True)]
    read = table(given_rows, clean_schema(VIEW).append(pa.field(LAST, pa.int64())))

    kept, superseded, contradicting = [], [], []
    for identity in sorted({identity for identity, _ in rows}):
        group = [row for row, (own, _) in zip(given_rows, rows, strict=True) if own == identity]
        if len(group) > 1 and any(row[ROW] in unordered for row in group):
            contradicting += [row[ROW] for row in group]
            continue
        best = min(group, key=lambda row: row[ROW]) if rule == "keep_first" else max(group, key=lambda row: row[LAST])
        kept.append({name: best[name] for name in VIEW.columns})
        for row in group:
            if row is not best:
                pair = [row, best] if rule != "keep_first" else [best, row]
                before, after = (table([{name: each[name] for name in VIEW.columns}]) for each in pair)
                said = {"latest_read": "superseded", "keep_first": "keep_first", "refuse": "refused"}[rule]
                superseded += corrections(before, after, VIEW, said)  # type: ignore[arg-type]

    settled = settle(read, VIEW, rule, np.array(sorted(unordered), np.int64))
    assert settled.kept.to_pylist() == kept
    assert settled.kept.column_names == list(VIEW.columns)
    assert sorted(settled.superseded) == sorted(superseded)
    assert sorted(settled.contradicting.tolist()) == sorted(contradicting)
