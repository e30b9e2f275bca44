"""What whole reads of a source lacked: an older read that is published after them does not bring it back."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.publishing.offline_files import identity
from data_pipeline.publishing.read_times import NEVER, Marks, Numbers, marks
from data_pipeline.sources import Snapshot
from twinserve.errors import PermanentError
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.files.atomic import atomic_file
from twinserve.values.times import as_micros

Flags = npt.NDArray[np.bool_]
READ_AT = b"read_at"


def compared_columns(view: ViewSpec, compared: Snapshot) -> list[str]:
    """The columns by which a snapshot knows what is gone."""
    return list(view.join_keys) if compared == "keys" else identity(view)


class _Known(NamedTuple):
    """Attributes:
    read_at: when the latest whole read began, in microseconds since 1970 UTC.
    present: marks of what it had, ascending.
    lacked: for each of them, when the latest read began that had it not; `NEVER`.
    """

    read_at: int
    present: Marks
    lacked: Numbers

    def of(self, wanted: Marks, otherwise: int) -> Numbers:
        """When each was lacked last; `otherwise` where the latest read had it not."""
        if not len(self.present):
            return np.full(len(wanted), otherwise)
        places = np.minimum(np.searchsorted(self.present, wanted), len(self.present) - 1)
        return np.where(self.present[places] == wanted, self.lacked[places], otherwise)


NOTHING = _Known(NEVER, np.array([], np.uint64), np.array([], np.int64))


class WholeReads:
    """One file for each kind of snapshot, `<folder>/whole-<kind>.parquet`: `mark` and `lacked_at` of what the latest
    whole read had. Of what it had not, nothing need be kept: that was lacking when it began."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def lacking_after(self, view: ViewSpec, read_at: datetime) -> Callable[[pa.Table], Flags]:
        """Tells of each row whether a whole read that began after `read_at` had not such a one.

        Raises:
            PermanentError: a file is damaged.
        """
        at = as_micros(read_at)
        files: dict[Snapshot, _Known] = {compared: self._read(compared) for compared in get_args(Snapshot)}
        later = {compared: known for compared, known in files.items() if known.read_at > at}

        def lacking(rows: pa.Table) -> Flags:
            found = np.zeros(rows.num_rows, bool)
            for compared, known in later.items():
                found |= known.of(marks(rows, compared_columns(view, compared)), known.read_at) > at
            return found

        return lacking

    def note(self, compared: Snapshot, present: Marks, at: datetime) -> None:
        """A whole read that began at `at` had these, in whatever order reads are noted, and however often.

        Raises:
            PermanentError: the file is damaged.
        """
        before, read_at, there = self._read(compared), as_micros(at), np.unique(present)
        if read_at > before.read_at:
            self._write(compared, _Known(read_at, there, before.of(there, before.read_at)))
        elif not (had := np.isin(before.present, there)).all():
            self._write(
                compared, before._replace(lacked=np.where(had, before.lacked, np.maximum(before.lacked, read_at)))
            )

    def forget(self, view: ViewSpec, rows: pa.Table) -> None:
        """Keep no marks of these rows, nor of their keys: for older reads they are as good as lacking."""
        for compared in get_args(Snapshot):
            known = self._read(compared)
            kept = ~np.isin(known.present, marks(rows, compared_columns(view, compared)))
            if not kept.all():
                self._write(compared, known._replace(present=known.present[kept], lacked=known.lacked[kept]))

    def _read(self, compared: Snapshot) -> _Known:
        file = self._file(compared)
        if not file.exists():
            return NOTHING
        try:
            table = pq.read_table(file, partitioning=None)
            read_at = int(table.schema.metadata[READ_AT])
            return _Known(read_at, table["mark"].to_numpy(), table["lacked_at"].to_numpy())
        except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
            raise PermanentError(
                f"{file} is damaged: {error}",
                fix="Delete it, and publish no run that was begun before the last whole one",
            ) from error

    def _write(self, compared: Snapshot, known: _Known) -> None:
        table = pa.table({"mark": known.present, "lacked_at": known.lacked})
        with atomic_file(self._file(compared)) as draft:
            pq.write_table(table.replace_schema_metadata({READ_AT: str(known.read_at)}), draft, compression="zstd")

    def _file(self, compared: Snapshot) -> Path:
        return self.folder / f"whole-{compared}.parquet"
