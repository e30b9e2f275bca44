"""The list of forgotten keys: salted digests, by which ingest knows their rows without the list naming anybody."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twinserve.errors import PermanentError
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.files.atomic import write_atomically
from twinserve.files.locks import one_at_a_time
from twinserve.source_values.casting import cast_key

Value = int | str
Flags = npt.NDArray[np.bool_]


class Entry(NamedTuple):
    """One forgotten key: its join keys, sorted; the view it is forgotten in, None for all; its digest."""

    keys: tuple[str, ...]
    view: str | None
    digest: str


@dataclass(frozen=True)
class ForgottenKeys:
    """`<home>/forgotten.json`. Whoever has that file can find a key by trying all there are: it belongs to no backup
    that outlives the home."""

    home: Path
    salt: str
    entries: tuple[Entry, ...] = ()

    @classmethod
    def read(cls, home: Path) -> ForgottenKeys:
        """What is kept; a new salt where nothing is.

        Raises:
            PermanentError: the file is damaged.
        """
        file = home / "forgotten.json"
        if not file.exists():
            return cls(home, secrets.token_hex(16))
        try:
            held = json.loads(file.read_text(encoding="utf-8"))
            entries = tuple(Entry(tuple(e["keys"]), e["view"], e["digest"]) for e in held["forgotten"])
            return cls(home, held["salt"], entries)
        except (ValueError, KeyError, TypeError) as error:
            raise PermanentError(
                f"{file} is damaged: {error}", fix="Restore it: without it forgotten rows would come back"
            ) from error

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return self.home / "forgotten.json"

    def entry(self, values: Mapping[str, Value], view: str | None) -> Entry:
        """What is kept of a key."""
        return Entry(tuple(sorted(values)), view, self._digest(values))

    def rows(self, table: pa.Table, view: ViewSpec, column_of: Mapping[str, str]) -> Flags:
        """Which rows are of a forgotten key.

        Args:
            column_of: stored column → column of `table`.
        """
        flags = np.zeros(table.num_rows, bool)
        entries = [e for e in self.entries if e.view in (None, view.name) and set(e.keys) <= view.keys.keys()]
        for names in sorted({entry.keys for entry in entries}):
            digests = {entry.digest for entry in entries if entry.keys == names}
            kinds = {name: view.join_keys[view.keys[name]] for name in names}
            columns = [cast_key(table[column_of[view.keys[name]]], kinds[name]).values.to_pylist() for name in names]
            keys = list(zip(*columns, strict=True))
            lost = {key for key in set(keys) if self._digest(dict(zip(names, key, strict=True))) in digests}
            flags |= np.fromiter((key in lost for key in keys), bool, len(keys))
        return flags

    def _digest(self, values: Mapping[str, Value]) -> str:
        """The same for the number and its text: one person may be an integer in one view and a string in another."""
        text = json.dumps([[name, str(values[name])] for name in sorted(values)])
        return hashlib.sha256(f"{self.salt}\n{text}".encode()).hexdigest()


def put_on_list(home: Path, keys: Iterable[Mapping[str, Value]], view: str | None) -> ForgottenKeys:
    """Keep the rows of a key from coming back. Idempotent."""
    with one_at_a_time(home / "locks" / "forgotten"):
        known = ForgottenKeys.read(home)
        entries = {*known.entries, *(known.entry(values, view) for values in keys)}
        return _write(ForgottenKeys(home, known.salt, _ordered(entries)))


def take_off_list(home: Path, keys: Iterable[Mapping[str, Value]], view: str | None) -> bool:
    """Let the rows of keys come again; whether one was on the list."""
    with one_at_a_time(home / "locks" / "forgotten"):
        known = ForgottenKeys.read(home)
        kept = set(known.entries) - {known.entry(values, view) for values in keys}
        if len(kept) < len(known.entries):
            _write(ForgottenKeys(home, known.salt, _ordered(kept)))
        return len(kept) < len(known.entries)


def _ordered(entries: set[Entry]) -> tuple[Entry, ...]:
    return tuple(sorted(entries, key=lambda entry: (entry.keys, entry.view or "", entry.digest)))


def _write(listed: ForgottenKeys) -> ForgottenKeys:
    held = {"salt": listed.salt, "forgotten": [entry._asdict() for entry in listed.entries]}
    write_atomically(listed.file, json.dumps(held, indent=1) + "\n")
    return listed
