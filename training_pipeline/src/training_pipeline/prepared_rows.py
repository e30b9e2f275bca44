"""Rows as the estimator sees them: a part of the training set, its file, and the digest of both parts."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from training_pipeline.labels import EVENT_TIME
from training_pipeline.targets import Targets
from training_pipeline.training_rows import TrainingRows
from twinserve.files.atomic import atomic_file
from twinserve.missing import Matrix, Status
from twinserve.values.times import INSTANT

TARGET = "__target"


@dataclass(frozen=True)
class PreparedRows:
    """One part, ordered by time.

    Attributes:
        features: (rows, features) float64; NaN only where the policy passes it.
        target: (rows,), classes or numbers.
        times: (rows,), µs since 1970 UTC.
    """

    columns: list[str]
    features: Matrix
    target: NDArray[np.generic]
    times: NDArray[np.int64]

    def part(self, chosen: NDArray[np.bool_]) -> PreparedRows:
        """The chosen rows."""
        return PreparedRows(self.columns, self.features[chosen], self.target[chosen], self.times[chosen])

    def to_table(self) -> pa.Table:
        """Columns `event_timestamp`, the features, `__target`."""
        features = {name: self.features[:, i] for i, name in enumerate(self.columns)}
        return pa.table({EVENT_TIME: pa.array(self.times, INSTANT), **features, TARGET: self.target})


def usable_mask(rows: TrainingRows, targets: Targets) -> NDArray[np.bool_]:
    """Rows with a good target that the policy for missing features lets pass; (rows,)."""
    usable: NDArray[np.bool_] = targets.usable & (rows.reason == Status.PRESENT)
    return usable


def usable_rows(rows: TrainingRows, targets: Targets) -> PreparedRows:
    """Rows with a good target that the policy for missing features lets pass, ordered by time.

    Rows of one moment keep their order.
    """
    chosen = np.flatnonzero(usable_mask(rows, targets))
    ordered = chosen[np.argsort(rows.asked[chosen], kind="stable")]
    columns = rows.contract.columns
    return PreparedRows(columns, rows.model_input[ordered], targets.values[ordered], rows.asked[ordered])


def write_prepared(file: Path, rows: PreparedRows) -> None:
    """Write a part as Parquet."""
    with atomic_file(file) as draft:
        pq.write_table(rows.to_table(), draft, compression="zstd")


def read_prepared(file: Path, columns: list[str]) -> PreparedRows:
    """Read a part back."""
    table = pq.read_table(file)
    features = np.column_stack([table[name].to_numpy() for name in columns])
    target = table[TARGET]
    values = np.array(target.to_pylist()) if pa.types.is_string(target.type) else target.to_numpy()
    return PreparedRows(columns, features, values, table[EVENT_TIME].cast(pa.int64()).to_numpy())


def digest(*parts: PreparedRows) -> str:
    """32 hexadecimal digits (MLflow takes 36) over the contents; the same on every machine of one byte order."""
    total = hashlib.sha256()
    for part in parts:
        total.update(f"{part.columns}{part.features.shape}".encode())
        for array in (part.features, part.times):
            total.update(np.ascontiguousarray(array).tobytes())
        total.update("\0".join(str(value) for value in part.target.tolist()).encode())
    return total.hexdigest()[:32]
