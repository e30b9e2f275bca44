"""Which source column feeds which stored column."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from data_pipeline.sources import SourceRules
from twinserve.errors import BadInput, did_you_mean
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.source_values.renaming import source_columns

COLUMNS_NAMED = 20


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
        BadInput: a column is missing; names it, the rule that asks for it, and what is there. Or `deleted` names one
            that is something else.
    """
    source_of = source_columns(view.columns, rules.rename, available, place)
    if view.created:
        # without a time of writing, a row counts as written when it happened
        source_of[view.created] = rules.created or source_of[view.timestamp]
    if rules.deleted:
        _refuse_double(view, rules.deleted, source_of)
        source_of[DELETED] = rules.deleted
    free = set(available) - set(source_of.values())
    asked_by = {source: name for name, source in reversed(source_of.items()) if source not in available}
    if missing := [_lack(view, rules, name, source, free) for source, name in reversed(asked_by.items())]:
        more = f" and {len(available) - COLUMNS_NAMED} more" if len(available) > COLUMNS_NAMED else ""
        raise BadInput(
            f"{place} has no column {', '.join(lack.column for lack in missing)} for the feature view {view.name}; "
            f"it has {', '.join(sorted(available)[:COLUMNS_NAMED])}{more}",
            fix=". ".join(dict.fromkeys(lack.fix for lack in missing)),
        )
    return ColumnMap(source_of, source_of[view.created or view.timestamp])


def _refuse_double(view: ViewSpec, deleted: str, source_of: dict[str, str]) -> None:
    """A key is often 1, and a time never null: each row would say that its key was deleted."""
    if fed := sorted({name for name, source in source_of.items() if source == deleted and name != DELETED}):
        raise BadInput(
            f"sources.yaml: {view.name}.deleted names {deleted}, from which {', '.join(fed)} is read",
            fix="Name a column that says of a row that its key was deleted, and nothing else",
        )


class _Lack(NamedTuple):
    """A column that is not at the source, with the rule that asks for it; what to do."""

    column: str
    fix: str


def _lack(view: ViewSpec, rules: SourceRules, name: str, source: str, free: Collection[str]) -> _Lack:
    where, near = f"views.{view.name}", did_you_mean(source, free)
    if name == DELETED:
        return _Lack(f"{source} (named by {where}.deleted)", f"Correct `deleted` in sources.yaml{near}")
    if name == view.created and rules.created:
        none = "write null if the source does not tell when a row was written"
        return _Lack(
            f"{source} (named by {where}.created)", f"Name the right one as `created` in sources.yaml{near}, or {none}"
        )
    if others := [old for old, new in rules.rename.items() if new == name]:
        near = did_you_mean(others[0], free)
        return _Lack(
            f"{source} ({where}.rename reads it from {', '.join(others)}: not there either)",
            f"Correct `rename` in sources.yaml{near}",
        )
    return _Lack(source, "Add it at the source, or a `rename` in sources.yaml")
