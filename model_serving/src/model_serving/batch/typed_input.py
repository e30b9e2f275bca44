"""The input file, checked and typed, on its way into the run's folder while something else goes on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from pathlib import Path
from threading import Event

import pyarrow as pa

from model_serving.batch import output
from model_serving.batch.run import TIMESTAMP, BatchRun, digest_as_of, file_digest
from model_serving.batch.shards import CHUNK, scratch_writer, write_shards
from twinserve.contract import Contract
from twinserve.errors import BadInput
from twinserve.features.offline_store.point_in_time import EVENT_TIME_SUFFIX
from twinserve.files.atomic import atomic_file
from twinserve.values.entity_rows import EntityRowReader

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TypedInput:
    """An input that is in the run's folder, whole.

    Attributes:
        digest: of the file's bytes, and of the moment that rows without a time were given, if there are any.
        columns: in the file's order.
        rows: their number.
        notes: what was assumed on the way.
    """

    digest: str
    columns: tuple[str, ...]
    rows: int
    notes: tuple[str, ...]


class InputWriter:
    """Writes keys and times into `run.asked`, which the join reads: what else the file carries can't disturb it.
    The other columns go to `run.further`."""

    def __init__(self, run: BatchRun, source: Path, contract: Contract, shard_rows: int, identity: str) -> None:
        self._run, self._source, self._contract = run, source, contract
        self._shard_rows, self._identity = shard_rows, identity

    def check(self, moment: datetime | None) -> None:
        """Refuse a file that is not there or has other columns than are needed, before anything gives way to it.

        Raises:
            BadInput: says what is missing.
        """
        refuse_reserved_columns(self._source, self._reader(moment).schema.names, self._contract)

    @contextmanager
    def beside(self, moment: datetime | None) -> Iterator[Future[TypedInput]]:
        """Write while the block runs; nothing is left running after it.

        Args:
            moment: the time of rows that name none; without it they are refused.

        Raises:
            BadInput: the file can't be read. What is wrong with its content is raised by the future.
        """
        before, stop = _stamp(self._source), Event()
        with ThreadPoolExecutor(2) as threads:
            hashing = threads.submit(file_digest, self._source)
            try:
                yield threads.submit(self._write, moment, hashing, before, stop)
            finally:
                stop.set()

    def _write(self, moment: datetime | None, hashing: Future[str], before: tuple[int, ...], stop: Event) -> TypedInput:
        reader, asked = self._reader(moment), [*(key.name for key in self._contract.join_keys), TIMESTAMP]
        columns = tuple(reader.schema.names)
        refuse_reserved_columns(self._source, columns, self._contract)
        self._split(takewhile(lambda _: not stop.is_set(), reader.batches()), reader.schema, asked)
        digest = hashing.result()
        if _stamp(self._source) != before:
            raise BadInput(
                f"{self._source} was changed while it was read", fix="Run the command again when it is whole"
            )
        for note in reader.notes:
            logger.warning("%s", note)
        digest = digest_as_of(digest, moment) if moment and reader.undated else digest
        return TypedInput(digest, columns, reader.rows, tuple(reader.notes))

    def _reader(self, moment: datetime | None) -> EntityRowReader:
        kinds: dict[str, str] = {key.name: key.dtype for key in self._contract.join_keys}
        return EntityRowReader(self._source, kinds, timestamp=TIMESTAMP, moment=moment)

    def _split(self, batches: Iterable[pa.RecordBatch], schema: pa.Schema, asked: list[str]) -> None:
        asked_schema = pa.schema([schema.field(name) for name in asked])
        further = [name for name in schema.names if name not in asked]
        with atomic_file(self._run.asked) as draft, scratch_writer(draft, asked_schema) as writer:

            def others() -> Iterator[pa.RecordBatch]:
                for batch in batches:
                    writer.write_batch(batch.select(asked), row_group_size=CHUNK)
                    yield batch.select(further)

            if further:
                further_schema = pa.schema([schema.field(name) for name in further])
                write_shards(others(), further_schema, self._run.further, self._shard_rows, self._identity)
            else:
                sum(batch.num_rows for batch in others())


def refuse_reserved_columns(source: Path, columns: Iterable[str], contract: Contract) -> None:
    """Columns that would be taken for a feature or for our own; upper and lower case count as one.

    Raises:
        BadInput: names them.
    """
    event_times = [view + EVENT_TIME_SUFFIX for view in contract.views]
    reserved = {name.casefold() for name in [*contract.columns, *event_times, *output.COLUMNS]}
    if bad := [name for name in columns if name.casefold() in reserved]:
        raise BadInput(
            f"{source} has a column {', '.join(bad)}: the name of a feature or of an output column",
            fix="Rename or remove it",
        )


def _stamp(source: Path) -> tuple[int, ...]:
    try:
        found = source.stat()
    except OSError as error:
        raise BadInput(
            f"{source} can't be read: {error.strerror}", fix="Check --input; it is seen from where the command runs"
        ) from None
    return found.st_ino, found.st_size, found.st_mtime_ns
