"""Which source column is read for which of ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from twinserve.errors import BadInput


def source_columns(
    wanted: Iterable[str], rename: Mapping[str, str], available: Collection[str], place: str
) -> dict[str, str]:
    """Column → the source column that it is read from; the one of its own name where no entry names another.

    Args:
        rename: source column → column; an entry whose source column is not there is passed over.
        place: table or file, for the message.

    Raises:
        BadInput: two columns that are there are renamed to one.
    """
    found: dict[str, str] = {}
    for source, column in rename.items():
        if source in available and found.setdefault(column, source) != source:
            raise BadInput(
                f"{place} has both {found[column]} and {source}, which `rename` makes {column}",
                fix="Take one of them out of `rename`",
            )
    return {column: found.get(column, column) for column in wanted}
