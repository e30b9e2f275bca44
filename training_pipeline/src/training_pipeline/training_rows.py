"""Label rows joined with their features, as arrays, each cell with what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training_pipeline.labels import EVENT_TIME
from twinserve.contract import Contract
from twinserve.errors import ContractMismatch
from twinserve.features.offline_store.point_in_time import EVENT_TIME_SUFFIX
from twinserve.missing import REASONS, Matrix, Status, cell_status, model_input, row_reason
from twinserve.model.feature_matrix import feature_event_times, feature_values, micros
from twinserve.values.arrow_types import ARROW_TYPES
from twinserve.values.times import INSTANT


@dataclass(frozen=True)
class TrainingRows:
    """The result of the point-in-time join.

    Attributes:
        table: keys, `event_timestamp`, target, features, `<view>__event_timestamp`.
    """

    table: pa.Table
    contract: Contract

    @cached_property
    def asked(self) -> NDArray[np.int64]:
        """(rows,), µs since 1970 UTC."""
        return micros(self.table[EVENT_TIME])

    @cached_property
    def values(self) -> Matrix:
        """(rows, features), NaN where there is none."""
        return feature_values(self.table, self.contract)

    @cached_property
    def status(self) -> NDArray[np.int8]:
        """(rows, features): the `Status` of each cell."""
        event_times = feature_event_times(self.table, self.contract)
        return cell_status(self.contract, self.values, event_times, self.asked)

    @cached_property
    def reason(self) -> NDArray[np.int8]:
        """(rows,): the `Status` for which the contract's policy leaves the row out, `PRESENT` where it doesn't."""
        return row_reason(self.contract.missing, self.status)

    @property
    def model_input(self) -> Matrix:
        """(rows, features): what the model sees."""
        return model_input(self.values, self.status)

    def missing_cells(self) -> dict[str, int]:
        """Rows by the gravest thing that is missing in them, whatever the policy says; complete rows first."""
        worst = self.status.max(axis=1, initial=Status.PRESENT)
        by_reason = {name: int((worst == kind).sum()) for kind, name in REASONS.items()}
        return {"complete": int((worst == Status.PRESENT).sum()), **by_reason}

    def passed_as_nan(self, chosen: NDArray[np.bool_]) -> dict[str, dict[str, int]]:
        """Column → kind → chosen rows in which the model is given NaN for it; columns that none of them lacks are not
        in it.

        Args:
            chosen: (rows,), of rows that the policy does not leave out.
        """
        status = self.status[chosen]
        counts = {name: (status == kind).sum(axis=0) for kind, name in REASONS.items()}
        found = {
            column: {name: int(count[place]) for name, count in counts.items() if count[place]}
            for place, column in enumerate(self.contract.columns)
        }
        return {column: kinds for column, kinds in found.items() if kinds}

    def left_out(self) -> dict[str, int]:
        """Rows that the contract's policy leaves out, by reason."""
        return {name: int((self.reason == kind).sum()) for kind, name in REASONS.items()}


def read_training_rows(file: Path, contract: Contract) -> TrainingRows:
    """Read what data-extraction wrote.

    Raises:
        ContractMismatch: a column is missing or has another type than its feature is declared with.
    """
    table = pq.read_table(file)
    if found := schema_problems(table.schema, contract):
        raise ContractMismatch(f"{file}: {'; '.join(found)}", fix="Run data-extraction again")
    return TrainingRows(table, contract)


def schema_problems(schema: pa.Schema, contract: Contract) -> list[str]:
    """Columns that are missing or of another type than the contract's features are declared with."""
    wanted = {name: ARROW_TYPES[f.dtype] for name, f in zip(contract.columns, contract.features, strict=True)}
    times = [EVENT_TIME, *(view + EVENT_TIME_SUFFIX for view in contract.views)]
    wanted |= dict.fromkeys(times, INSTANT)
    have = {field.name: field.type for field in schema}
    needed = [*wanted, contract.output.target]
    found = [f"column {name} is missing" for name in needed if name not in have]
    return found + [
        f"column {name} is {have[name]}, not {kind}" for name, kind in wanted.items() if have.get(name, kind) != kind
    ]
