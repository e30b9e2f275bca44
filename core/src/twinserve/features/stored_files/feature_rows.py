"""Stored feature rows, file by file, in the types that their view declares."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twinserve.errors import BadInput, TransientError
from twinserve.features.stored_files.deleted_rows import DELETED
from twinserve.features.stored_files.feast_arrow import cast_column
from twinserve.files.parquet_batches import parquet_batches

READ_ROWS = 131_072


class FeatureFiles:
    """The files of one view that are read, checked against each other.

    Args:
        required: columns that every file must have: keys, event time, created.
        features: other columns → the type to bring them to; None becomes the type of the first file that has it.
        stored: gives all files of the view, sorted as `files` are. Of these the newest that has a feature that no
            other has is read too, and those of its folder: rows from before the feature was added have nulls, whichever
            files are needed.

    Attributes:
        files: those that are read, sorted as they were given.
        has_deleted: whether a file has rows that say that a key was deleted.

    Raises:
        BadInput: a file is damaged, lacks a column that it must have, or one was renamed; names the file.
    """

    def __init__(
        self,
        view: str,
        files: list[Path],
        required: Sequence[str],
        features: dict[str, pa.DataType | None],
        stored: Callable[[], Sequence[Path]] = tuple,
    ) -> None:
        self.view, self.files, self.required, self.features = view, files, required, dict(features)
        self._stored = stored
        self.rows = 0
        self._schemas: dict[Path, pa.Schema] = {}
        self._names: dict[Path, frozenset[str]] = {}  # Arrow makes a list of them anew each time
        self._states: dict[Path, tuple[int, int, int]] = {}
        for file in files:
            self._note(file)
        self.has_deleted = any(DELETED in names for names in self._names.values())
        self._settle_types()
        self._refuse_renamed()

    def _note(self, file: Path) -> None:
        self._states[file] = _state(file)
        with named(file), pq.ParquetFile(file) as parquet:
            schema: pa.Schema = parquet.schema_arrow
            self.rows += parquet.metadata.num_rows
        names = frozenset(schema.names)
        if lost := [name for name in self.required if name not in names]:
            raise BadInput(
                f"{file} has no column {', '.join(lost)}; it has {', '.join(schema.names[:20])}",
                fix="Restore it, or remove the file",
            )
        self._schemas[file], self._names[file] = schema, names

    def first_having(self, column: str) -> Path | None:
        """The first file with this column; None if there are no files at all.

        Raises:
            BadInput: no file has it.
        """
        if not self.files:
            return None
        having = next((file for file, names in self._names.items() if column in names), None)
        return having or self._newest_stored(column)

    def _newest_stored(self, column: str) -> Path:
        stored = self._stored()
        having = next((file for file in reversed(stored) if column in stored_columns(file).names), None)
        if having is None:
            raise BadInput(
                f"feature view {self.view}: no stored file has a column {column}, for example {self.files[-1]}",
                fix="If the feature is new, read it from the source with `data-pipeline ingest --full` and the two "
                "steps after it; otherwise compare the view with its data",
            )
        # with the files beside it: rows of one folder may tie
        beside = [file for file in stored if file.parent == having.parent and file not in self._names]
        for file in beside:
            self._note(file)
        self.has_deleted |= any(DELETED in self._names[file] for file in beside)
        self.files = sorted([*self.files, *beside])
        return having

    def _settle_types(self) -> None:
        for name, kind in self.features.items():
            having = self.first_having(name)
            self.features[name] = kind or (self._schemas[having].field(name).type if having else pa.null())

    def _refuse_renamed(self) -> None:
        """A feature added later is null in older files; one whose place a stranger has taken was renamed."""
        alike: dict[frozenset[str], Path] = {}  # most files have the same columns: one of each kind is looked at
        for file, names in self._names.items():
            alike.setdefault(names, file)
        for name in self.features:
            lacking = [file for names, file in alike.items() if name not in names]
            usual = frozenset().union(*(names for names in alike if name in names)) if lacking else frozenset()
            for file in lacking:
                if strangers := [name for name in self._schemas[file].names if name not in {*usual, DELETED}]:
                    raise BadInput(
                        f"{file} has no column {name} but {', '.join(strangers[:5])}, which files with {name} have "
                        "not: was it renamed?",
                        fix="Rename it back, or in all files and in the feature view",
                    )

    def replaced(self) -> bool:
        """Whether a file is another than when this object was made: what was read may be of the one and of the other.

        Raises:
            TransientError: one has gone.
        """
        return any(_state(file) != before for file, before in self._states.items())

    def batches(self) -> Iterator[tuple[Path, pa.Table]]:
        """Tables of the required columns, as stored, and of the features, typed; always the same rows in one order.

        With `has_deleted`, `DELETED` is a column too.

        Raises:
            BadInput: a file is damaged, or a value does not fit its type; names file and column.
            TransientError: a file was replaced since this object was made.
        """
        for file in self.files:
            there = self._names[file]
            names = dict.fromkeys([*self.required, *(name for name in (*self.features, DELETED) if name in there)])
            with named(file), pq.ParquetFile(file) as parquet:
                if _state(file) != self._states[file]:
                    raise TransientError(f"{file} was replaced while it was read", fix="Run the command again")
                for batch in parquet_batches(parquet, READ_ROWS, list(names)):
                    yield file, self._typed(file, batch)

    def _typed(self, file: Path, batch: pa.RecordBatch) -> pa.Table:
        columns, there = {name: batch[name] for name in self.required}, frozenset(batch.schema.names)
        for name, kind in self.features.items():
            if name not in there:
                columns[name] = pa.nulls(batch.num_rows, kind)
                continue
            with column_of(file, name, kind):
                columns[name] = cast_column(batch[name], kind)
        if self.has_deleted:
            columns[DELETED] = batch[DELETED] if DELETED in there else pa.nulls(batch.num_rows, pa.bool_())
        return pa.table(columns)


def stored_columns(file: Path) -> pa.Schema:
    """The columns of a file that are a view's, or might be: without the mark of deleted keys.

    Raises:
        BadInput, TransientError: see `named`.
    """
    with named(file):
        schema = pq.read_schema(file)
    return pa.schema([field for field in schema if field.name != DELETED])


@contextmanager
def named(file: Path) -> Iterator[None]:
    """What Parquet's reader says, with the file's name.

    Raises:
        BadInput: the file is damaged.
        TransientError: it has gone.
    """
    try:
        yield
    except FileNotFoundError as error:
        raise TransientError(f"{file} went away while it was read", fix="Run the command again") from error
    except (pa.ArrowException, OSError) as error:
        raise BadInput(f"{file} can't be read: {error}", fix="Restore or remove it") from error


@contextmanager
def column_of(file: Path, column: str, kind: object) -> Iterator[None]:
    """Names the file and the column of a value that does not fit.

    Raises:
        BadInput: a value does not fit.
    """
    try:
        yield
    except ValueError as error:
        raise BadInput(f"{file}: column {column} is not {kind}: {error}", fix="Correct the file") from error


def _state(file: Path) -> tuple[int, int, int]:
    with named(file):
        found = file.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns
