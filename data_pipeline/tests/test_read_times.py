"""When rows were last read, against a dictionary."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline.publishing.read_times import NEVER, ReadTimes, marks
from twinserve.errors import PermanentError

DAY = date(2026, 3, 10)
START = datetime(2026, 3, 10, 12, tzinfo=UTC)
MARKS = st.sets(st.integers(0, 5) | st.just(2**64 - 1)).flatmap(lambda found: st.permutations(sorted(found)))
ALL = np.array([2**64 - 1, *range(6)], np.uint64)


def array(numbers: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.array(numbers, np.uint64)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.tuples(MARKS, MARKS, st.integers(0, 3)), max_size=4))
def test_the_latest_read_of_each_stored_row_is_known(steps: list[tuple[list[int], list[int], int]]) -> None:
    with TemporaryDirectory() as folder:
        times, model = ReadTimes(Path(folder) / "visits"), dict[int, int]()
        for stored, read, hours in steps:
            at = START + timedelta(hours=hours)
            micros = int(at.timestamp()) * 1_000_000
            times.note(DAY, array(stored), array(read), at)
            seen = {mark: max(model.get(mark, micros), micros) for mark in read}
            model = {mark: time for mark, time in (model | seen).items() if mark in stored}
            assert times.of(DAY, ALL).tolist() == [model.get(mark, NEVER) for mark in ALL.tolist()]
            held = pq.read_table(times.folder / "day=2026-03-10.parquet", partitioning=None)
            assert held["mark"].to_pylist() == sorted(model), "a row of which nothing is known takes no room"
        assert times.of(date(2026, 3, 11), ALL).tolist() == [NEVER] * 7


def test_a_folder_that_looks_like_a_column_is_none(tmp_path: Path) -> None:
    times = ReadTimes(tmp_path / "mark=5" / "visits")
    times.note(DAY, array([7]), array([7]), START)
    assert times.of(DAY, array([5, 7])).tolist() == [NEVER, int(START.timestamp()) * 1_000_000]
    (file,) = times.folder.iterdir()
    assert pq.ParquetFile(file).metadata.row_group(0).column(0).compression == "ZSTD"


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    times = ReadTimes(tmp_path)
    file = tmp_path / "day=2026-03-10.parquet"
    for content in (pa.table({"mark": [1]}), pa.table({"read_at": [1]})):
        pq.write_table(content, file)
        with pytest.raises(PermanentError, match=r"day=2026-03-10\.parquet is damaged"):
            times.of(DAY, ALL)
    file.write_bytes(b"PAR1")
    with pytest.raises(PermanentError, match="is damaged") as damaged:
        times.of(DAY, ALL)
    assert "Delete it" in str(damaged.value.fix)


def test_rows_with_the_same_values_have_one_mark_and_others_another() -> None:
    rows = pa.table({"shop": [1, 1, 2, 1], "town": ["a", "a", "a", "b"], "rate": [0.1, 0.2, 0.1, 0.1]})
    one, same, *others = marks(rows, ["shop", "town"]).tolist()
    assert one == same
    assert len({one, *others}) == 3
    assert marks(rows.slice(2), ["shop", "town"]).tolist() == others, "wherever they stand"
    assert marks(rows, ["shop"]).dtype == np.uint64
