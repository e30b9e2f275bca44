"""Ranges, nulls and future times, checked with pandera."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pandas as pd
import pandera.pandas as pandera
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.bad_rows import BadRows
from data_pipeline.clean import ROW
from data_pipeline.sources import Checks, ColumnCheck
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED

PANDAS_TYPES = {
    pa.int32(): pd.Int32Dtype(),
    pa.int64(): pd.Int64Dtype(),
    pa.float32(): pd.Float32Dtype(),
    pa.float64(): pd.Float64Dtype(),
    pa.string(): pd.StringDtype(),
    pa.bool_(): pd.BooleanDtype(),
}


def find_bad_rows(table: pa.Table, view: ViewSpec, checks: Checks, now: datetime) -> BadRows:
    """The rows of a clean table that break a rule.

    Args:
        table: stored columns and `ROW`.
        now: aware; times later than this and the allowed skew are in the future.

    A row that says that its key was deleted may lack every feature.
    """
    if DELETED not in table.column_names:
        return _broken(table, view, checks, now)
    gone = pc.fill_null(table[DELETED], fill_value=False)
    no_nulls_asked = {name: rules.model_copy(update={"nullable": True}) for name, rules in checks.columns.items()}
    of_gone = checks.model_copy(update={"columns": no_nulls_asked})
    return BadRows.merged(
        [
            _broken(table.filter(pc.invert(gone)), view, checks, now),
            _broken(table.filter(gone), view, of_gone, now),
        ]
    )


def _broken(table: pa.Table, view: ViewSpec, checks: Checks, now: datetime) -> BadRows:
    frame = to_frame(table).set_index(ROW)
    bad = BadRows()
    try:
        row_schema(table.schema, view, checks, now).validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as error:
        cases = error.failure_cases
        if cases["index"].isna().any():  # a failure of the whole column: clean has left a wrong type
            raise
        reasons = cases["column"].astype(str) + ": " + cases["check"].astype(str)
        for reason, rows in cases["index"].groupby(reasons.str.replace("not_nullable", "null")):
            bad.add(np.unique(rows.to_numpy(dtype=np.int64)), str(reason))
    return bad


def to_frame(table: pa.Table) -> pd.DataFrame:
    """A data frame whose types keep nulls apart from NaN."""
    frame: pd.DataFrame = table.to_pandas(types_mapper=PANDAS_TYPES.get)
    return frame


def row_schema(schema: pa.Schema, view: ViewSpec, checks: Checks, now: datetime) -> pandera.DataFrameSchema:
    """The rules as a pandera schema: each failing check is named by the reason that the row gets."""
    columns = {}
    for field in schema:
        if field.name == ROW:
            continue
        rules = checks.columns.get(field.name, ColumnCheck())
        is_time = pa.types.is_timestamp(field.type)
        columns[field.name] = pandera.Column(
            None if is_time else PANDAS_TYPES[field.type],
            checks=_not_future(checks, now) if is_time and field.name not in view.features else _bounds(rules),
            nullable=rules.nullable and field.name in view.features,
        )
    return pandera.DataFrameSchema(columns, strict=True)


def _bounds(rules: ColumnCheck) -> list[pandera.Check]:
    found = []
    if rules.min is not None:
        found.append(pandera.Check.ge(rules.min, error=f"below {_written(rules.min)}"))
    if rules.max is not None:
        found.append(pandera.Check.le(rules.max, error=f"above {_written(rules.max)}"))
    return found


def _written(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:.15g}"


def _not_future(checks: Checks, now: datetime) -> list[pandera.Check]:
    limit = pd.Timestamp(now) + pd.Timedelta(minutes=checks.clock_skew_minutes)
    return [pandera.Check.le(limit, error="in the future")]
