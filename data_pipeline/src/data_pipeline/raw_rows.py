"""The rows that ingest wrote, numbered through from 0 over all its files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.run_folder import ViewRun
from twinserve.source_values.plain_columns import plain_table
from twinserve.source_values.shown import python_value


class RawPart(NamedTuple):
    """One file of raw rows: number of its first row, its source's name, stored column → source column."""

    first: int
    source: str
    source_of: dict[str, str]
    table: pa.Table


class RawRow(NamedTuple):
    """One row as the source has it: the source's name, and column → value as JSON text."""

    source: str
    original: str


def read_raw(run: ViewRun) -> Iterator[RawPart]:
    """The files of raw rows, one at a time.

    Raises:
        StepMissing: ingest was not run.
    """
    first = 0
    for pull in run.outcome("ingest")["sources"]:
        for name in pull["parts"]:
            table = pq.read_table(run.raw / name)
            yield RawPart(first, pull["name"], pull["columns"], table)
            first += table.num_rows


def without_order(run: ViewRun) -> npt.NDArray[np.int64]:
    """The numbers of the rows from sources whose rows have no order: database tables."""
    ends = [0, *accumulate(pull["rows"] for pull in run.outcome("ingest")["sources"])]
    pulls = zip(pairwise(ends), run.outcome("ingest")["sources"], strict=True)
    ranges = [np.arange(*limits) for limits, pull in pulls if not pull.get("ordered", False)]
    return np.concatenate([np.array([], np.int64), *ranges])


def originals(run: ViewRun, rows: npt.NDArray[np.int64]) -> dict[int, RawRow]:
    """The raw rows of these numbers."""
    found: dict[int, RawRow] = {}
    for part in read_raw(run):
        mine = rows[(rows >= part.first) & (rows < part.first + part.table.num_rows)]
        taken = plain_table(part.table).take(mine - part.first)
        for at, row in enumerate(mine.tolist()):
            values = {name: python_value(taken[name][at]) for name in taken.column_names}
            found[row] = RawRow(part.source, _as_json(values))
    return found


def _as_json(values: dict[str, Any]) -> str:
    return json.dumps(values, default=str, sort_keys=True, ensure_ascii=False)
