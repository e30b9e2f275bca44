"""Which source column feeds which stored column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from data_pipeline.sources import SourceRules
from twinserve.errors import BadInput
from twinserve.features.deleted_rows import DELETED
from twinserve.features.views import ViewSpec
from twinserve.source_values.renaming import source_columns


@dataclass(frozen=True)
class ColumnMap:
    """How the columns of one source become those of a view.

    Attributes:
        source_of: stored column → source column, in stored order.
        arrival: the source column that tells new rows from old: when a row was written, else when it happened.
    """

    source_of: dict[str, str]
    arrival: str

    @property
    def pulled(self) -> list[str]:
        """Source columns to read, each once."""
        return list(dict.fromkeys(self.source_of.values()))


def map_columns(view: ViewSpec, rules: SourceRules, available: Collection[str], place: str) -> ColumnMap:
    """Find the source column of every stored one.

    Args:
        available: columns of the source.
        place: the table or file, for the message.

    Raises:
        BadInput: a column is missing; names it and what is there. Or `deleted` names one that is something else.
    """
    source_of = source_columns(view.columns, rules.rename, available, place)
    if view.created:
        # without a time of writing, a row counts as written when it happened
        source_of[view.created] = rules.created or source_of[view.timestamp]
    if rules.deleted:
        _refuse_double(view, rules.deleted, source_of)
        source_of[DELETED] = rules.deleted
    if missing := [source for source in source_of.values() if source not in available]:
        there = ", ".join(sorted(available)[:20])
        raise BadInput(
            f"{place} has no column {', '.join(missing)} for the feature view {view.name}; it has {there}",
            fix="Add it at the source, or a `rename` in sources.yaml",
        )
    return ColumnMap(source_of, source_of[view.created or view.timestamp])


def _refuse_double(view: ViewSpec, deleted: str, source_of: dict[str, str]) -> None:
    """A key is often 1, and a time never null: each row would say that its key was deleted."""
    if fed := sorted({name for name, source in source_of.items() if source == deleted and name != DELETED}):
        raise BadInput(
            f"sources.yaml: {view.name}.deleted names {deleted}, from which {', '.join(fed)} is read",
            fix="Name a column that says of a row that its key was deleted, and nothing else",
        )
