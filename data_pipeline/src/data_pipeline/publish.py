"""Good rows into the offline store, day by day; what is there already is not written again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

import pyarrow as pa

from data_pipeline.changes import Changes
from data_pipeline.offline_files import by_day, merge, read_day, write_day
from data_pipeline.quarantine import Quarantine, SetAside
from twinserve.features.views import ViewSpec

CONTRADICTION = "contradicts another row of the same keys and times"


@dataclass
class Published:
    """Rows that came new to the store, rows it had, contradictions set aside; days written and left as they are."""

    rows_new: int = 0
    rows_already_stored: int = 0
    contradictions: int = 0
    days_written: int = 0
    days_unchanged: int = 0

    def to_dict(self) -> dict[str, int]:
        """The counts by name."""
        return asdict(self)


def publish(table: pa.Table, view: ViewSpec, quarantine: Quarantine, run_name: str, changes: Changes) -> Published:
    """Merge rows without contradictions among themselves into the files of their days.

    The result depends on the rows alone, not on the order or the batches in which they came. Each day is
    replaced as a whole, and noted in `changes` before; killed in between, the same call again ends in the same state.
    """
    counts = Published()
    for day, rows in by_day(table, view.timestamp):
        stored = read_day(view, day)
        merged = merge(pa.concat_tables([stored, rows]), view)
        lost = quarantine.new(_set_aside(merged.lost, view), f"{run_name}.{day}")
        quarantine.record(lost, f"{run_name}.{day}")
        counts.contradictions += len(lost)
        added = merged.kept.num_rows - stored.num_rows
        counts.rows_new += added
        counts.rows_already_stored += rows.num_rows - added
        if merged.kept.equals(stored):
            counts.days_unchanged += 1
        else:
            changes.note(day, added)
            write_day(view, day, merged.kept)
            counts.days_written += 1
    return counts


def _set_aside(rows: pa.Table, view: ViewSpec) -> list[SetAside]:
    texts = (json.dumps(row, default=str, sort_keys=True) for row in rows.to_pylist())
    return [SetAside(f"offline store {view.name}", text, [CONTRADICTION]) for text in texts]
