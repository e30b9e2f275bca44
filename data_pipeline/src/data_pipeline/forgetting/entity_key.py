"""The key that is to be forgotten, and how its rows are known in a table, in JSON and in a report."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from twinserve.errors import BadInput
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.features.materialization.forget_online import key_value
from twinserve.source_values.casting import cast_key

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class KeyColumns:
    """One set of columns that may hold the key: column → (Feast type, value)."""

    columns: Mapping[str, tuple[str, int | str]]

    def are_in(self, names: Iterable[str]) -> bool:
        """Whether a table with these columns has all of them."""
        return self.columns.keys() <= set(names)

    def rows(self, table: pa.Table) -> Flags:
        """Which rows are of the key."""
        flags = np.ones(table.num_rows, bool)
        for name, (kind, value) in self.columns.items():
            read = cast_key(table[name], kind).values
            same = pc.fill_null(pc.equal(read, pa.scalar(value, read.type)), fill_value=False)
            flags &= same.to_numpy(zero_copy_only=False)
        return flags

    def json_rows(self, texts: Sequence[str]) -> Flags:
        """Which of these JSON objects are of the key; one without all the columns is not."""
        rows = [json.loads(text) for text in texts]
        own = np.array([self.are_in(row) for row in rows], bool)
        table = {name: pa.array([_text(row.get(name)) for row in rows], pa.string()) for name in self.columns}
        return self.rows(pa.table(table)) & own if rows else own

    def in_report(self, page: str) -> bool:
        """Whether an HTML page quotes a row of the key."""
        text = html.unescape(page)
        return all(re.search(_quoted(name, value), text) for name, (_, value) in self.columns.items())


def _text(value: Any) -> str | None:
    """As a key of text is made of a number: `7` for 7.0."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value if isinstance(value, str) else None if value is None else json.dumps(value)


def _quoted(name: str, value: int | str) -> str:
    found = re.escape(json.dumps(str(value), ensure_ascii=False)[1:-1])
    return rf'"{re.escape(name)}"\s*:\s*"?{found}(\.0+)?"?\s*[,}}]'


def parse_key(words: Sequence[str], views: Sequence[ViewSpec]) -> tuple[dict[str, str], list[ViewSpec]]:
    """Join key → value as text, and the views that have all these join keys, perhaps with others.

    Raises:
        BadInput: no such join keys, or a value of another type.
    """
    there = "; ".join(f"{view.name}: {', '.join(view.keys) or 'none'}" for view in views)
    pairs = [word.partition("=") for word in words]
    if wrong := [
        word for word, (name, equals, text) in zip(words, pairs, strict=True) if not (name and equals and text)
    ]:
        raise BadInput(f"{wrong[0]!r} is no JOIN_KEY=VALUE", fix=f"The join keys are: {there}")
    texts = {name: text for name, _, text in pairs}
    if len(texts) < len(pairs):
        raise BadInput("a join key is given twice", fix="One key at a time")
    concerned = [view for view in views if texts.keys() <= view.keys.keys()]
    if not concerned:
        raise BadInput(f"no feature view has the join keys {', '.join(texts)}", fix=f"The join keys are: {there}")
    for view in concerned:
        typed(texts, view)
    return texts, concerned


def typed(texts: Mapping[str, str], view: ViewSpec) -> dict[str, int | str]:
    """Join key → value in the view's type.

    Raises:
        BadInput: it is of another type.
    """
    try:
        return {name: key_value(name, text, view.join_keys[view.keys[name]]) for name, text in texts.items()}
    except BadInput as error:
        kinds = ", ".join(f"{name} ({view.join_keys[column]})" for name, column in view.keys.items())
        raise BadInput(f"{error.what}; the join keys of {view.name} are {kinds}", fix=error.fix) from error


def stored_columns(texts: Mapping[str, str], view: ViewSpec) -> KeyColumns:
    """The key as the offline store names it."""
    return _columns(texts, view, {name: view.keys[name] for name in texts})


def source_columns(texts: Mapping[str, str], view: ViewSpec, rename: Mapping[str, str]) -> list[KeyColumns]:
    """The key as the source may name it: under the stored names, or those that are renamed to them."""
    ways: list[dict[str, str]] = [{}]
    for name in texts:
        column = view.keys[name]
        names = [column, *(source for source, stored in rename.items() if stored == column)]
        ways = [{**way, name: each} for way in ways for each in names]
    return [_columns(texts, view, way) for way in ways]


def entity_columns(texts: Mapping[str, str], view: ViewSpec, aliases: Iterable[Mapping[str, str]]) -> list[KeyColumns]:
    """The key as entity rows name it: by its join keys, or by what a feature service calls them."""
    ways = [{}, *aliases]
    return [_columns(texts, view, {name: way.get(name, name) for name in texts}) for way in ways]


def _columns(texts: Mapping[str, str], view: ViewSpec, column_of: Mapping[str, str]) -> KeyColumns:
    values = typed(texts, view)
    return KeyColumns({column_of[name]: (view.join_keys[view.keys[name]], value) for name, value in values.items()})
