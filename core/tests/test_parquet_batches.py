"""Reading a file of many row groups holds few of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from twinserve.files import parquet_batches as module
from twinserve.files.parquet_batches import parquet_batches


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "AHEAD", 20_000)
    values = np.random.default_rng(1).integers(0, 2**60, 400_000)
    pq.write_table(pa.table({"x": values, "y": values}), tmp_path / "a.parquet", row_group_size=10_000)
    return tmp_path / "a.parquet"


def test_every_row_comes_once_in_order(file: Path) -> None:
    with pq.ParquetFile(file) as parquet:
        batches = list(parquet_batches(parquet, 3_000, ["x"]))
    assert max(batch.num_rows for batch in batches) <= 3_000
    assert pa.Table.from_batches(batches).equals(pq.read_table(file, columns=["x"]))


def test_only_the_row_groups_asked_for_are_read(file: Path) -> None:
    with pq.ParquetFile(file) as parquet:
        batches = list(parquet_batches(parquet, 3_000, ["x"], row_groups=range(38, 40)))
    assert pa.Table.from_batches(batches).equals(pq.read_table(file, columns=["x"]).slice(380_000))


def test_pages_that_were_passed_are_given_up(file: Path) -> None:
    before, held = pa.total_allocated_bytes(), []
    with pq.ParquetFile(file) as parquet:
        for batch in parquet_batches(parquet, 10_000):
            del batch
            held.append(pa.total_allocated_bytes() - before)
    assert max(held) < file.stat().st_size / 4


def test_an_empty_file_gives_no_batch(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": pa.array([], pa.int64())}), tmp_path / "none.parquet")
    with pq.ParquetFile(tmp_path / "none.parquet") as parquet:
        assert sum(batch.num_rows for batch in parquet_batches(parquet)) == 0
