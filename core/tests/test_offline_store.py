"""The offline store through Feast's public interface: against brute force, and against Feast's own stores."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore, FeatureView, Field
from feast import types as ft
from feast_stores import OURS, open_feast
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from offline_rows import (
    HOUR,
    INSTANT,
    KEYS,
    START,
    Asked,
    Row,
    at,
    customer,
    definitions,
    entity_frame,
    source,
    stored,
    write_rows,
)

from twinserve.errors import BadInput

pytestmark = pytest.mark.integration
KEYS_OF = {"fresh": ("id",), "forever": ("id",), "pair": ("shop", "item"), "world": ()}
TTL_OF = {"fresh": 6 * HOUR, "forever": None, "pair": 3 * HOUR, "world": 2 * HOUR}


def expected(
    name: str, rows: list[Row], asked: Asked, *, known: bool = False, parts: int = 2
) -> tuple[float | None, int | None]:
    """The values of the row that counts, by trying every one; of equals the last of the last file by name."""
    keys, ttl, moment = KEYS_OF[name], TTL_OF[name], at(asked.hour, asked.edge)
    created = name != "forever"

    def fits(row: Row) -> bool:
        same = all(getattr(row, k) is not None and getattr(row, k) == getattr(asked, k) for k in keys)
        when = at(row.hour, row.edge)
        seen = not (known and created) or (row.made is not None and when + row.made * HOUR <= moment)
        return same and when <= moment and seen

    def rank(numbered: tuple[int, Row]) -> tuple[Any, ...]:
        number, row = numbered
        made = (row.made is not None, row.made or 0) if created else ()
        return at(row.hour, row.edge), made, number % parts, number

    _, best = max(((i, row) for i, row in enumerate(rows) if fits(row)), key=rank, default=(0, None))
    if best is None or (ttl is not None and moment - at(best.hour, best.edge) > ttl):
        return None, None
    return best.a, best.b


# few keys and few moments: ties and duplicates are the rule
some_keys = (st.one_of(st.none(), st.integers(1, 3)), st.sampled_from([None, "x", "y"]), st.integers(1, 2))
edges = st.integers(-1, 1)
feature_rows = st.lists(
    st.builds(
        Row,
        *some_keys,
        st.integers(0, 30),
        edges,
        st.one_of(st.none(), st.integers(0, 3)),
        st.one_of(st.none(), st.floats(-5, 5, width=32)),
        st.one_of(st.none(), st.integers(-3, 3)),
    ),
    min_size=1,
    max_size=30,
)
asking_rows = st.lists(st.builds(Asked, *some_keys, st.integers(-2, 34), edges), min_size=1, max_size=20)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("offline")
    write_rows(home, [Row(1, "x", 1, 0, 0, 0, 1.0, 1)])
    return home


@pytest.fixture(scope="module")
def ours(folder: Path) -> FeatureStore:
    return open_feast(folder, OURS, definitions(folder), piece_rows=7, threads=1)


def cells(values: Any) -> list[Any]:
    """Plain values, null as None."""
    return [None if pd.isna(value) else value for value in values]


REFS = [f"{name}:{feature}" for name in KEYS_OF for feature in ("a", "b")]
EASY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@EASY
@given(
    feature_rows,
    asking_rows,
    st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
    st.booleans(),
    st.integers(1, 3),
)
def test_history_equals_brute_force(
    folder: Path, ours: FeatureStore, rows: list[Row], asked: list[Asked], zone: str, known: bool, parts: int
) -> None:
    write_rows(folder, rows, parts)
    frame = entity_frame(asked, zone)
    job = ours.get_historical_features(frame, REFS, full_feature_names=True, filter_by_created_timestamp=known)
    result = job.to_df()
    assert list(result["n"]) == list(range(len(asked))), "every row, in order"
    for name in KEYS_OF:
        got = list(zip(cells(result[f"{name}__a"]), cells(result[f"{name}__b"]), strict=True))
        assert got == [expected(name, rows, row, known=known, parts=parts) for row in asked], name


# --- against Feast's own stores, where those are right ---------------------------------------------------------------


@st.composite
def where_feast_is_right(draw: st.DrawFn) -> tuple[list[Row], list[Asked]]:
    """No ties, no nulls among keys and times, each entity row once; every key has a fresh row for each view."""
    moments = st.integers(0, 5)
    rows = draw(st.lists(moments, min_size=1, max_size=6, unique=True))
    known = [Row(k, "x", k, 0, 0, 0, float(k), k) for k in (1, 2)]
    known += [Row(k, "x", k, hour, 1, 1, hour + k / 8, hour) for hour in rows for k in (1, 2)]
    asked = draw(st.lists(st.tuples(st.integers(1, 2), st.integers(0, 2)), min_size=1, max_size=6, unique=True))
    return known, [Asked(k, "x", k, hour, 2) for k, hour in asked]


FEAST_REFS = [ref for ref in REFS if not ref.startswith("world")]


def over_one_file(folder: Path) -> list[Any]:
    """Feast's stores take a folder's `day=` for a column; a file has none."""
    objects = definitions(folder)
    for each in objects[3:]:
        each.batch_source.file_options.uri = str(folder / "rows.parquet")
    return objects


@pytest.mark.parametrize("kind", ["file", "duckdb"])
def test_history_equals_feasts_own_store(tmp_path: Path, kind: str) -> None:
    write_rows(tmp_path, [Row(1, "x", 1, 0, 0, 0, 1.0, 1)])
    objects = over_one_file(tmp_path)
    pq.write_table(stored([Row(1, "x", 1, 0, 0, 0, 1.0, 1)]), tmp_path / "rows.parquet")
    stores = [open_feast(tmp_path, name, objects) for name in (OURS, kind)]

    @settings(max_examples=15, deadline=None)
    @given(where_feast_is_right())
    def equal(drawn: tuple[list[Row], list[Asked]]) -> None:
        rows, asked = drawn
        pq.write_table(stored(rows), tmp_path / "rows.parquet")
        frames = []
        for store in stores:
            frame = entity_frame(asked).astype({"id": "int64", "item": "int32"})
            result = store.get_historical_features(frame, FEAST_REFS, full_feature_names=True).to_df()
            frames.append(result.sort_values("n").reset_index(drop=True)[list(frame.columns) + FULL])
        pd.testing.assert_frame_equal(frames[0], frames[1], check_dtype=False)
        assert frames[0][FULL].notna().all().all(), "something was compared"

    equal()


FULL = [ref.replace(":", "__") for ref in FEAST_REFS]


# --- where Feast's stores are wrong: docs/guide/features.md lists these -----------------------------------------------


def ask_both(
    folder: Path, kind: str, rows: list[Row], asked: list[Asked], ref: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(ours, Feast's) answer for one feature, sorted by `n`."""
    pq.write_table(stored(rows), folder / "rows.parquet")
    objects = over_one_file(folder)
    answers = []
    for name in (OURS, kind):
        frame = entity_frame(asked)
        answers.append(open_feast(folder, name, objects).get_historical_features(frame, [ref]).to_df().sort_values("n"))
    return answers[0], answers[1]


def test_entity_rows_that_share_key_and_moment_are_all_kept(tmp_path: Path) -> None:
    ours, feasts = ask_both(
        tmp_path, "file", [Row(1, "x", 1, 0, 0, 0, 1.0, 7)], [Asked(1, "x", 1, 1, 0)] * 3, "fresh:b"
    )
    assert cells(ours["b"]) == [7, 7, 7]
    assert len(feasts) == 1


def test_entity_rows_without_a_fresh_feature_row_are_kept(tmp_path: Path) -> None:
    asked = [Asked(1, "x", 1, 1, 0), Asked(1, "x", 1, 30, 0), Asked(1, "x", 1, -1, 0), Asked(2, "x", 1, 1, 0)]
    ours, feasts = ask_both(tmp_path, "file", [Row(1, "x", 1, 0, 0, 0, 1.0, 7)], asked, "fresh:b")
    assert cells(ours["b"]) == [7, None, None, None]
    assert list(feasts["n"]) == [0, 3], "what is expired or yet to come is gone"


def test_entity_rows_without_a_moment_are_kept(tmp_path: Path) -> None:
    rows, frame = [Row(1, "x", 1, 0, 0, 0, 1.0, 7)], entity_frame([Asked(1, "x", 1, 1, 0), Asked(1, "x", 1, 2, 0)])
    frame.loc[1, "event_timestamp"] = pd.NaT
    write_rows(tmp_path, rows)
    result = open_feast(tmp_path, OURS, definitions(tmp_path)).get_historical_features(frame, ["fresh:b"]).to_df()
    assert cells(result["b"]) == [7, None]
    assert result["event_timestamp"].isna().tolist() == [False, True]


def test_a_null_key_matches_nothing(tmp_path: Path) -> None:
    rows = [Row(None, "x", 1, 0, 0, 0, 1.0, 7), Row(2, "x", 1, 0, 0, 0, 1.0, 8)]
    ours, feasts = ask_both(tmp_path, "file", rows, [Asked(None, "x", 1, 1, 0), Asked(2, "x", 1, 1, 0)], "fresh:b")
    assert cells(ours["b"]) == [None, 8]
    assert cells(feasts["b"]) == [7, 8], "a row of nobody is given to everybody unknown"


def test_nanosecond_moments_are_answered(tmp_path: Path) -> None:
    write_rows(tmp_path, [Row(1, "x", 1, 0, 0, 0, 1.0, 7)])
    frame = entity_frame([Asked(1, "x", 1, 1, 0)]).astype({"event_timestamp": "datetime64[ns, UTC]"})
    result = open_feast(tmp_path, OURS, definitions(tmp_path)).get_historical_features(frame, ["fresh:b"]).to_arrow()
    assert result["b"].to_pylist() == [7]
    assert result.schema.field("event_timestamp").type == pa.timestamp("ns", tz="UTC"), "entity columns are untouched"


def test_of_rows_of_one_moment_the_last_created_counts(tmp_path: Path) -> None:
    rows = [Row(key, "x", 1, 0, 0, (7 * made) % 60, 1.0, (7 * made) % 60) for made in range(60) for key in (1, 2, 3)]
    ours, feasts = ask_both(tmp_path, "file", rows, [Asked(key, "x", 1, 5, 0) for key in (1, 2, 3)], "fresh:b")
    assert cells(ours["b"]) == [59, 59, 59]
    assert cells(feasts["b"]) != [59, 59, 59], "sorted twice, by a sort that does not keep the order of equals"


def test_rows_come_in_the_order_in_which_they_were_given(tmp_path: Path) -> None:
    rows = [Row(1, "x", 1, 0, 0, 0, 1.0, 7), Row(2, "x", 1, 2, 0, 0, 1.0, 8)]
    pq.write_table(stored(rows), tmp_path / "rows.parquet")
    frame = entity_frame([Asked(2, "x", 1, 3, 0), Asked(1, "x", 1, 4, 0)])
    orders = [
        list(open_feast(tmp_path, kind, objects).get_historical_features(frame, ["fresh:b"]).to_df()["n"])
        for objects in [over_one_file(tmp_path)]
        for kind in (OURS, "file")
    ]
    assert orders == [[0, 1], [1, 0]], "Feast's come by the time of the feature row"


def test_start_date_without_entity_rows_leaves_out_keys_without_a_row_since(tmp_path: Path) -> None:
    rows = [Row(1, "x", 1, 0, 0, 0, 1.0, 7), Row(2, "x", 1, 4, 0, 0, 1.0, 8)]
    pq.write_table(stored(rows), tmp_path / "rows.parquet")
    objects, refs = over_one_file(tmp_path), ["fresh:b"]
    found = [
        open_feast(tmp_path, kind, objects)
        .get_historical_features(features=refs, start_date=at(2), end_date=at(5))
        .to_df()
        for kind in (OURS, "file")
    ]
    assert [sorted(answer["id"]) for answer in found] == [[2], [1, 2]]


def test_feasts_own_stores_take_data_frames_only(tmp_path: Path) -> None:
    pq.write_table(stored([Row(1, "x", 1, 0, 0, 0, 1.0, 7)]), tmp_path / "rows.parquet")
    entity_frame([Asked(1, "x", 1, 1, 0)]).to_parquet(tmp_path / "asked.parquet")
    for kind in ("file", "duckdb"):
        store = open_feast(tmp_path, kind, over_one_file(tmp_path))
        with pytest.raises((ValueError, AttributeError)):
            store.get_historical_features(str(tmp_path / "asked.parquet"), ["fresh:b"]).to_df()
    with pytest.raises((TypeError, AttributeError)):
        store.get_historical_features(features=["fresh:b"], end_date=at(5)).to_df()


# --- types -----------------------------------------------------------------------------------------------------------

MAP = pa.map_(pa.string(), pa.string())
STRUCT = pa.struct([("x", pa.int64()), ("y", pa.string())])
TYPES: dict[str, tuple[Any, pa.DataType, list[Any]]] = {
    "bytes": (ft.Bytes, pa.binary(), [b"", b"\x00\xff"]),
    "string": (ft.String, pa.string(), ["", "ä"]),
    "int32": (ft.Int32, pa.int32(), [-(2**31), 2**31 - 1]),
    "int64": (ft.Int64, pa.int64(), [-(2**63), 2**63 - 1]),
    "float32": (ft.Float32, pa.float32(), [0.5, float("inf")]),
    "float64": (ft.Float64, pa.float64(), [0.1, -0.0]),
    "bool": (ft.Bool, pa.bool_(), [True, False]),
    "timestamp": (ft.UnixTimestamp, INSTANT, [at(0), at(1, 1)]),
    "zoned": (ft.ZonedTimestamp, INSTANT, [at(0), at(1, 1)]),
    "pdf": (ft.PdfBytes, pa.binary(), [b"%PDF", b""]),
    "image": (ft.ImageBytes, pa.binary(), [b"\x89PNG", b""]),
    "uuid": (ft.Uuid, pa.string(), ["0f8fad5b-d9cb-469f-a165-70867728950e", ""]),
    "time_uuid": (ft.TimeUuid, pa.string(), ["0f8fad5b-d9cb-469f-a165-70867728950e", ""]),
    "decimal": (ft.Decimal, pa.decimal128(20, 4), [Decimal("1.5000"), Decimal("-2.2500")]),
    "decimal_text": (ft.Decimal, pa.string(), ["1.5", "-2.25"]),
    "json": (ft.Json, pa.string(), ['{"a": 1}', "[]"]),
    "map": (ft.Map, MAP, [[("k", "v")], []]),
    "scalar_map": (ft.ScalarMap, pa.map_(pa.string(), pa.int64()), [[("k", 1)], []]),
    "struct": (ft.Struct({"x": ft.Int64, "y": ft.String}), STRUCT, [{"x": 1, "y": "a"}, {"x": None, "y": None}]),
    "floats": (ft.Array(ft.Float32), pa.list_(pa.float32()), [[1.0, None], []]),
    "strings": (ft.Array(ft.String), pa.list_(pa.string()), [["a", "b"], []]),
    "bytes_list": (ft.Array(ft.Bytes), pa.list_(pa.binary()), [[b"a"], []]),
    "times": (ft.Array(ft.UnixTimestamp), pa.list_(INSTANT), [[at(0)], []]),
    "maps": (ft.Array(ft.Map), pa.list_(MAP), [[[("k", "v")]], []]),
    "structs": (ft.Array(ft.Struct({"x": ft.Int64})), pa.list_(pa.struct([("x", pa.int64())])), [[{"x": 1}], []]),
    "nested": (ft.Array(ft.Array(ft.Int64)), pa.list_(pa.list_(pa.int64())), [[[1], []], []]),
    "int_set": (ft.Set(ft.Int64), pa.list_(pa.int64()), [[1, 2], []]),
    "string_set": (ft.Set(ft.String), pa.list_(pa.string()), [["a"], []]),
}


def typed_view(folder: Path, types: dict[str, tuple[Any, pa.DataType, list[Any]]]) -> list[Any]:
    schema = [KEYS[0], *(Field(name=name, dtype=kind) for name, (kind, _, _) in types.items())]
    return [
        customer,
        FeatureView(name="typed", entities=[customer], ttl=timedelta(0), source=source(folder, ""), schema=schema),
    ]


def test_every_feast_type_comes_back_as_it_was_stored(tmp_path: Path) -> None:
    ids = [1, 2, 3, 3]  # the third has nulls, twice: ties of every type are broken
    columns = {name: pa.array([*values, None, None], kind) for name, (_, kind, values) in TYPES.items()}
    table = pa.table({"id": ids, "ts": pa.array([at(0)] * 4, INSTANT), **columns})
    (tmp_path / "rows").mkdir()
    pq.write_table(table, tmp_path / "rows" / "a.parquet")
    store = open_feast(tmp_path, OURS, typed_view(tmp_path, TYPES))
    asked = entity_frame([Asked(key, None, 1, 1, 0) for key in (2, 9, 1, 3, 1)])
    result = store.get_historical_features(asked, [f"typed:{name}" for name in TYPES]).to_arrow()
    for name, (_, kind, values) in TYPES.items():
        assert result.schema.field(name).type == kind, name
        assert result[name].equals(pa.chunked_array([pa.array([values[1], None, values[0], None, values[0]], kind)]))


@pytest.mark.parametrize(
    ("declared", "stored_as", "value", "expected_value"),
    [
        (ft.Float32, pa.float64(), 0.5, 0.5),
        (ft.Int64, pa.int32(), 7, 7),
        (ft.Int64, pa.float64(), 7.0, 7),
        (ft.Float64, pa.int64(), 2**53, float(2**53)),
        (ft.String, pa.dictionary(pa.int8(), pa.string()), "a", "a"),
        (ft.String, pa.large_string(), "a", "a"),
        (ft.UnixTimestamp, pa.timestamp("ns"), at(1).replace(tzinfo=None), at(1)),
        (ft.UnixTimestamp, pa.date32(), START.date(), START),
        (ft.Array(ft.Float32), pa.large_list(pa.float64()), [0.5], [0.5]),
    ],
)
def test_values_come_in_the_type_that_the_view_declares(
    tmp_path: Path, declared: Any, stored_as: pa.DataType, value: Any, expected_value: Any
) -> None:
    (tmp_path / "rows").mkdir()
    table = pa.table({"id": [1], "ts": pa.array([at(0)], INSTANT), "x": pa.array([value]).cast(stored_as)})
    pq.write_table(table, tmp_path / "rows" / "a.parquet")
    store = open_feast(tmp_path, OURS, typed_view(tmp_path, {"x": (declared, stored_as, [])}))
    result = store.get_historical_features(entity_frame([Asked(1, None, 1, 1, 0)]), ["typed:x"]).to_arrow()
    assert result["x"].to_pylist() == [expected_value]


def test_a_value_that_does_not_fit_its_type_names_file_and_column(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    table = pa.table({"id": [1], "ts": pa.array([at(0)], INSTANT), "x": [1.5]})
    pq.write_table(table, tmp_path / "rows" / "a.parquet")
    store = open_feast(tmp_path, OURS, typed_view(tmp_path, {"x": (ft.Int64, pa.int64(), [])}))
    with pytest.raises(BadInput, match=r"a\.parquet: column x is not int64"):
        store.get_historical_features(entity_frame([Asked(1, None, 1, 1, 0)]), ["typed:x"]).to_df()
