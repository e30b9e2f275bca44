"""Files as people really send them."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinserve.errors import BadInput
from twinserve.files import text_table
from twinserve.values import entity_rows
from twinserve.values.entity_rows import EntityRowReader, read_entity_rows
from twinserve.values.times import INSTANT

KEYS = {"shop_id": "INT64"}
NOON = datetime(2024, 1, 31, 12, tzinfo=UTC)
GOOD = "event_timestamp\tshop_id\tnote\n2021-04-16 20:29:28+00:00\t1001\ta\n2021-04-17 04:29:28+02:00\t1002\t\n"


def write(folder: Path, text: str, name: str = "rows.csv", encoding: str = "utf-8") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


@pytest.mark.parametrize("separator", ["\t", ",", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_text_files(tmp_path: Path, separator: str, encoding: str) -> None:
    rows = read_entity_rows(write(tmp_path, GOOD.replace("\t", separator), encoding=encoding), KEYS)
    assert rows.table.column_names == ["event_timestamp", "shop_id", "note"]
    assert rows.table["shop_id"].to_pylist() == [1001, 1002]
    assert rows.table["event_timestamp"].to_pylist()[1] == datetime(2021, 4, 17, 2, 29, 28, tzinfo=UTC)
    assert rows.table.schema.field("event_timestamp").type == INSTANT
    assert rows.notes == ()


@pytest.mark.parametrize("text", ["000123", "1.50", "true", "2024-01-01", " a ", "1e3", "NA"])
def test_what_else_a_text_file_carries_stays_as_it_is(tmp_path: Path, text: str) -> None:
    file = write(tmp_path, f"order,event_timestamp,shop_id\n{text},2024-01-01T00:00Z,1\n,2024-01-01T00:00Z,2\n")
    column = read_entity_rows(file, KEYS).table["order"]
    assert (column.type, column.to_pylist()) == (pa.string(), [text, None])


def test_what_else_a_parquet_file_carries_keeps_its_type(tmp_path: Path) -> None:
    note = pa.array([[1.5]], pa.list_(pa.float32()))
    pq.write_table(pa.table({"shop_id": [1], "event_timestamp": ["2024-01-01"], "note": note}), tmp_path / "a.parquet")
    assert read_entity_rows(tmp_path / "a.parquet", KEYS).table["note"].combine_chunks() == note


def test_gzip_and_crlf(tmp_path: Path) -> None:
    file = tmp_path / "rows.csv.gz"
    file.write_bytes(gzip.compress(GOOD.replace("\n", "\r\n").encode()))
    assert read_entity_rows(file, KEYS).table["note"].to_pylist() == ["a", None]


MOMENT = datetime(2024, 5, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "column",
    [
        None,
        pa.nulls(2),
        pa.nulls(2, pa.string()),
        pa.array([None, None], pa.date32()),
        pa.array([None, None], pa.timestamp("ns")),
        pa.array([None, None], pa.int64()),
    ],
)
def test_rows_that_name_no_time_get_the_moment(tmp_path: Path, column: pa.Array | None) -> None:
    columns = {"shop_id": pa.array([1, 2])} | ({} if column is None else {"event_timestamp": column})
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    rows = read_entity_rows(tmp_path / "a.parquet", KEYS, moment=MOMENT)
    assert rows.table["event_timestamp"].to_pylist() == [MOMENT, MOMENT]
    assert rows.table.schema.field("event_timestamp").type == INSTANT
    assert (rows.undated, rows.notes) == (2, (f"a.parquet: 2 rows name no time; taken as of {MOMENT}",))
    with pytest.raises(BadInput, match="event_timestamp"):
        read_entity_rows(tmp_path / "a.parquet", KEYS)


def test_what_is_no_time_gets_no_moment(tmp_path: Path) -> None:
    file = write(tmp_path, "shop_id,event_timestamp\n1,\n2,soon\n")
    with pytest.raises(BadInput, match=r"line 3: event_timestamp is 'soon'.*\(1 such rows\)"):
        read_entity_rows(file, KEYS, moment=MOMENT)
    pq.write_table(pa.table({"shop_id": [1, 2], "event_timestamp": [None, 17]}), tmp_path / "a.parquet")
    with pytest.raises(BadInput, match=r"row 2: event_timestamp is '17'"):
        read_entity_rows(tmp_path / "a.parquet", KEYS, moment=MOMENT)


def test_rows_with_a_time_keep_it(tmp_path: Path) -> None:
    rows = read_entity_rows(write(tmp_path, GOOD), KEYS, moment=MOMENT)
    assert rows == read_entity_rows(write(tmp_path, GOOD), KEYS)


def test_naive_times_are_utc_and_said(tmp_path: Path) -> None:
    rows = read_entity_rows(write(tmp_path, GOOD.replace("+00:00", "")), KEYS)
    assert rows.table["event_timestamp"].to_pylist()[0] == datetime(2021, 4, 16, 20, 29, 28, tzinfo=UTC)
    assert rows.notes == ("rows.csv: 1 times in event_timestamp have no zone; taken as UTC",)


@pytest.mark.parametrize("zone", ["Z", "+02", "+0200", "+02:00", "-05"])
def test_a_zone_in_any_spelling_is_one(tmp_path: Path, zone: str) -> None:
    assert read_entity_rows(write(tmp_path, GOOD.replace("+00:00", zone)), KEYS).notes == ()


def test_a_bare_date_has_no_zone(tmp_path: Path) -> None:
    (note,) = read_entity_rows(write(tmp_path, "shop_id,event_timestamp\n1,2024-01-31\n"), KEYS).notes
    assert "1 times in event_timestamp have no zone" in note


def times_file(folder: Path, times: pa.Array) -> Path:
    file = folder / "rows.parquet"
    pq.write_table(pa.table({"shop_id": range(len(times)), "event_timestamp": times}), file)
    return file


@pytest.mark.parametrize("zone", [None, "UTC", "Asia/Saigon"])
def test_nanoseconds_are_cut_to_microseconds(tmp_path: Path, zone: str | None) -> None:
    file = times_file(tmp_path, pa.array([1_700_000_000_123_456_789, -1], pa.timestamp("ns", zone)))
    found = read_entity_rows(file, KEYS).table["event_timestamp"].cast(pa.int64())
    assert found.to_pylist() == [1_700_000_000_123_456, -1]


@pytest.mark.parametrize(
    "times",
    [
        pa.array([0, 2**50], pa.timestamp("s")),
        pa.array([0, -(2**62)], pa.timestamp("ms", "UTC")),
        pa.array([0, 2**62], pa.timestamp("us")),
        pa.array([0, 2**31 - 1], pa.date32()),
    ],
)
def test_a_time_out_of_range_is_named(tmp_path: Path, times: pa.Array) -> None:
    with pytest.raises(BadInput, match=r"rows\.parquet, row 2: event_timestamp is .*which is no time \(1 such"):
        read_entity_rows(times_file(tmp_path, times), KEYS)


def test_a_number_is_no_time(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"row 1: event_timestamp is '1700000000', which is no time \(2 such"):
        read_entity_rows(times_file(tmp_path, pa.array([1_700_000_000, 0])), KEYS)


def test_parquet_of_every_kind_of_time(tmp_path: Path) -> None:
    moment = pd.Timestamp("2024-03-31T01:30:00", tz="Europe/Berlin")
    for number, column in enumerate(
        [
            pd.Series([moment]),
            pd.Series([moment.tz_convert("UTC").tz_localize(None)]),
            pd.Series([moment.tz_convert("UTC")]).astype("datetime64[ms, UTC]"),
            pd.Series([moment.isoformat()]),
        ]
    ):
        file = tmp_path / f"{number}.parquet"
        pd.DataFrame({"shop_id": [1], "event_timestamp": column}).to_parquet(file)
        assert read_entity_rows(file, KEYS).table["event_timestamp"].to_pylist() == [moment.to_pydatetime()]


def test_string_keys_stay_strings(tmp_path: Path) -> None:
    file = write(tmp_path, "shop_id,event_timestamp\n007,2024-01-01T00:00Z\n,2024-01-01T00:00Z\n")
    assert read_entity_rows(file, {"shop_id": "STRING"}).table["shop_id"].to_pylist() == ["007", None]
    assert read_entity_rows(file, KEYS).table["shop_id"].to_pylist() == [7, None]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("event_timestamp,shop_id\n", "header but no rows"),
        ("event_timestamp,id\n2024-01-01,1\n", "no column shop_id; it has event_timestamp, id"),
        ("event_timestamp,shop_id\n2024-01-01,1\nyesterday,2\n", r"rows.csv, line 3: event_timestamp is 'yesterday'"),
        ("event_timestamp,shop_id\n\n2024-01-01,1\n\n,2\n", "line 5: event_timestamp is 'None'"),
        ('event_timestamp,shop_id,n\n2024-01-01,1,"a\nb"\nx,2,c\n', "line 4: event_timestamp is 'x'"),
        ("event_timestamp,shop_id\n2024-01-01,1\n2024-01-01,one\n", "line 3: shop_id is 'one', which is no INT64"),
        ("event_timestamp,shop_id\n2024-01-01,1.5\n", "line 2: shop_id is '1.5'"),
        ("event_timestamp,shop_id\n2024-01-01,9223372036854775808\n", "line 2: shop_id"),
        ("event_timestamp,shop_id,shop_id\n2024-01-01,1,2\n", "two columns named shop_id"),
        ("event_timestamp,shop_id\n2024-01-01\n", r"rows.csv, line 2: 1 fields, where the header has 2"),
        ('event_timestamp,shop_id,n\n\n2024-01-01,1,"a\nb"\n\nx,2,c,d\n', r"rows.csv, line 6: 4 fields, .* has 3"),
        ("event_timestamp,shop_id\n" + "2024-01-01,1\n" * 200_000 + "2024-01-01\n", "line 200002: 1 fields"),
    ],
)
def test_bad_files_name_file_column_and_line(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=says) as raised:
        read_entity_rows(write(tmp_path, text), KEYS)
    assert "rows.csv" in str(raised.value)


def test_no_file_a_folder_and_no_text(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no file .*nowhere\.csv"):
        read_entity_rows(tmp_path / "nowhere.csv", KEYS)
    with pytest.raises(BadInput, match="no file"):
        read_entity_rows(tmp_path, KEYS)
    with pytest.raises(BadInput, match="can't be read"):
        read_entity_rows(write(tmp_path, "não,shop_id\n", encoding="latin-1"), KEYS)
    with pytest.raises(BadInput, match="can't be read"):
        read_entity_rows(write(tmp_path, "PAR1", name="rows.parquet"), KEYS)


def test_a_parquet_key_of_another_kind(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pd.DataFrame({"shop_id": [1.0, 2.5], "event_timestamp": ["2024-01-01"] * 2}).to_parquet(file)
    with pytest.raises(BadInput, match=r"row 2: shop_id is '2\.5'"):
        read_entity_rows(file, KEYS)
    pd.DataFrame({"shop_id": [True], "event_timestamp": ["2024-01-01"]}).to_parquet(file)
    pq.write_table(pa.table({"shop_id": [[1]], "event_timestamp": ["2024-01-01"]}), file)
    with pytest.raises(BadInput, match="shop_id holds list"):
        read_entity_rows(file, KEYS)


rows = st.lists(
    st.tuples(st.integers(-(2**63), 2**63 - 1), st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1))),
    min_size=1,
    max_size=20,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rows)
def test_rows_come_back_in_order(tmp_path: Path, rows: list[tuple[int, datetime]]) -> None:
    text = "shop_id,event_timestamp\n" + "".join(f"{key},{moment.isoformat()}Z\n" for key, moment in rows)
    table = read_entity_rows(write(tmp_path, text), KEYS).table
    assert list(zip(*table.to_pydict().values(), strict=True)) == [(k, m.replace(tzinfo=UTC)) for k, m in rows]


fields = st.tuples(
    st.sampled_from(["1", "2", " 3 ", "", "x", "1.5", "9" * 20]),
    st.sampled_from(["2024-01-01T00:00Z", "2024-01-01", "2024-01-01 00:00+07", "", "soon", "2024-02-30"]),
    st.sampled_from(["a", "", '"b\nc"']),
)


def outcome(file: Path, moment: datetime | None) -> object:
    try:
        rows = read_entity_rows(file, KEYS, moment=moment)
    except BadInput as error:
        return str(error)
    return rows.table, rows.notes, rows.undated


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(fields, max_size=30), st.sampled_from([None, MOMENT]), st.booleans(), st.integers(60, 200))
def test_in_pieces_as_in_one(
    tmp_path: Path, lines: list[tuple[str, str, str]], moment: datetime | None, ragged: bool, size: int
) -> None:
    """The same rows, notes and errors whatever the size of the batches, in text and in Parquet."""
    text = "shop_id,event_timestamp,note\n" + "".join(f"{','.join(line)}\n" for line in lines) + "1\n" * ragged
    columns = list(zip(*lines, strict=True)) or [(), (), ()]
    names = ("shop_id", "event_timestamp", "note")
    table = pa.table({name: pa.array(values, pa.string()) for name, values in zip(names, columns, strict=True)})
    pq.write_table(table, tmp_path / "rows.parquet")
    for file in (write(tmp_path, text), tmp_path / "rows.parquet"):
        whole = outcome(file, moment)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(entity_rows, "BATCH_ROWS", size // 20)
            patch.setattr(text_table, "BLOCK_BYTES", size)
            assert outcome(file, moment) == whole


def test_a_bad_row_is_told_after_the_last_batch_and_no_batch_follows_it(tmp_path: Path) -> None:
    keys = pa.array(["1"] * 300_000 + ["x"] + ["2"] * 300_000)
    pq.write_table(pa.table({"shop_id": keys, "event_timestamp": pa.repeat(NOON, 600_001)}), tmp_path / "a.parquet")
    reader = EntityRowReader(tmp_path / "a.parquet", KEYS)
    seen = 0
    with pytest.raises(BadInput, match="row 300001: shop_id is 'x'"):
        for batch in reader.batches():
            seen += batch.num_rows
    assert 0 < seen < 300_000
    assert reader.rows == 600_001


def test_a_parquet_file_that_is_cut_off_or_damaged_is_named(tmp_path: Path) -> None:
    rows = 1_000_000
    table = pa.table({"shop_id": np.random.default_rng(0).integers(0, 2**60, rows), "event_timestamp": [NOON] * rows})
    file = tmp_path / "a.parquet"
    pq.write_table(table, file, compression="zstd", row_group_size=100_000)
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"a\.parquet can't be read"):
        read_entity_rows(file, KEYS)
    middle = len(whole) // 2
    file.write_bytes(whole[:middle] + bytes(200_000) + whole[middle + 200_000 :])
    with pytest.raises(BadInput, match=r"a\.parquet can't be read"):
        read_entity_rows(file, KEYS)
