"""Rows to Redis in chunks, each one script that asks, compares and writes at once.

A script runs alone in Redis, so that no other writer comes between the question which row is newer and the answer.
A row is written when Redis holds none of its key, an older one, or another one of the same event time (a correction).
What became of the others is counted where it is decided: a chunk says how many rows were written, were there as they
are, or gave way to a newer one.
Of a row that says that its key was deleted the event time alone is written, marked, and the features are removed: so an
older row that comes later does not bring them back.
With the rows a chunk notes how many of them are done, so that whoever resumes after a kill skips what is in this
very Redis and nothing else. A chunk is refused where the note is not that of the chunk before it: after one that failed
none of those already on their way is written, nor is the rest into a Redis that was flushed. Layout:
`twinserve.features.redis.layout`.

The next chunks are encoded and sent while Redis works on those before; a chunk keeps Redis from others for about two
milliseconds.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import redis

from twinserve.features.feast_repo.online_view import OnlineView
from twinserve.features.redis.byte_rows import joined, sizes
from twinserve.features.redis.errors import redis_error
from twinserve.features.redis.layout import DELETED_MARK, dummy_key, event_time_field, feature_field
from twinserve.features.redis.value_encoding import encoded_keys, encoded_times, encoded_values
from twinserve.features.stored_files.deleted_rows import DELETED

ROWS = 500
BYTES = 4 << 20
AHEAD = 8  # chunks that Redis has not answered yet
NOTE_SECONDS = 7 * 86_400
HEAD = 6  # arguments of the script before the fields

# KEYS: where progress is noted, then the hashes. ARGV: the note to find (or nothing), the note to leave, its expiry,
# the field of the event time, the hashes' expiry, the number of features, their fields; then for each row its event
# time and values. The event time of a row that says that its key was deleted bears a mark.
SCRIPT = b"""
if ARGV[1] ~= '' and redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('LOSTTRACK of the rows before')
end
local stamp, expiry, width = ARGV[4], tonumber(ARGV[5]), tonumber(ARGV[6])
local STEP, HEAD = 1000, 6

-- a protobuf Timestamp; Lua's numbers keep 53 bits, so the seconds before 1970 are put together from two parts
local function moment(text)
  local seconds, nanos, at = 0, 0, 1
  while at <= #text do
    local tag, low, high, scale, byte = text:byte(at), 0, 0, 1, 128
    while byte >= 128 do
      at = at + 1
      byte = text:byte(at)
      if scale < 2 ^ 49 then low = low + byte % 128 * scale else high = high + byte % 128 * (scale / 2 ^ 49) end
      scale = scale * 128
    end
    if high >= 2 ^ 14 then high = high - 2 ^ 15 end
    if tag == 8 then seconds = high * 2 ^ 49 + low elseif tag == 16 then nanos = low end
    at = at + 1
  end
  return seconds, nanos
end

local function newer(held, given)
  local a, b = moment(held)
  local c, d = moment(given)
  return a > c or (a == c and b > d)
end

local function same(key, at)
  for first = 1, width, STEP do
    local last = math.min(first + STEP - 1, width)
    local held = redis.call('HMGET', key, unpack(ARGV, HEAD + first, HEAD + last))
    for i = first, last do
      if held[i - first + 1] ~= ARGV[at + i] then return false end
    end
  end
  return true
end

local written, as_stored, newer_online, deleted = 0, 0, 0, 0

local function remove(key, time)
  for first = 1, width, STEP do
    redis.call('HDEL', key, unpack(ARGV, HEAD + first, HEAD + math.min(first + STEP - 1, width)))
  end
  redis.call('HSET', key, stamp, time)
  written, deleted = written + 1, deleted + 1
  if expiry > 0 then redis.call('EXPIRE', key, expiry) end
end

local function write(key, at)
  local row = {key, stamp, ARGV[at]}
  for i = 1, width do
    row[#row + 1] = ARGV[HEAD + i]
    row[#row + 1] = ARGV[at + i]
    if #row > 2 * STEP then
      redis.call('HSET', unpack(row))
      row = {key}
    end
  end
  if #row > 1 then redis.call('HSET', unpack(row)) end
  written = written + 1
  if expiry > 0 then redis.call('EXPIRE', key, expiry) end
end

local at = HEAD + width + 1
for i = 2, #KEYS do
  local held, time = redis.call('HGET', KEYS[i], stamp), ARGV[at]
  local gone = time:sub(-2) == '\\24\\1'
  if held == time and (gone or same(KEYS[i], at)) then
    as_stored = as_stored + 1
  elseif held and held ~= time and newer(held, time) then
    newer_online = newer_online + 1
  elseif gone then
    remove(KEYS[i], time)
  else
    write(KEYS[i], at)
  end
  at = at + 1 + width
end
redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
return {written, as_stored, newer_online, deleted}
"""


@dataclass(frozen=True)
class Note:
    """Where a run notes how far it is.

    Attributes:
        key: of a string in Redis.
        run: tells the rows of one run from those of another.
    """

    key: str
    run: str

    def rows(self, client: redis.Redis) -> int:
        """How many of the run's rows this Redis has been given."""
        held: bytes | None = client.execute_command("GET", self.key)  # type: ignore[no-untyped-call]
        run, _, rows = (held or b"").decode().partition(" ")
        return int(rows) if run == self.run else 0

    def text(self, rows: int) -> bytes:
        """What is noted after so many rows."""
        return f"{self.run} {rows}".encode()


class Told(NamedTuple):
    """What became of rows, as Redis says.

    Attributes:
        as_stored: Redis held the same row.
        newer_online: it held one with a later event time.
        deleted: of those written, rows that say that their key was deleted.
    """

    written: int = 0
    as_stored: int = 0
    newer_online: int = 0
    deleted: int = 0

    def and_of(self, other: Told) -> Told:
        """Of both."""
        return Told(*(one + more for one, more in zip(self, other, strict=True)))


def write_rows(
    client: redis.Redis,
    view: OnlineView,
    batches: Iterable[pa.RecordBatch],
    note: Note,
    done: int,
    tell: Callable[[int], object],
) -> Told:
    """Write stored rows, one a key.

    Args:
        batches: columns as `view` names them; no key is null.
        done: rows of the run that came before these.
        tell: called with the number of rows of each chunk that Redis has.

    Raises:
        TransientError: Redis is gone or full.
        BadInput: Redis does not let us write, or a value does not fit its type.
    """
    told = Told()
    with _pipelined(client) as replies:
        for parts, rows in _commands(view, batches, note, done):
            for found, size in replies.after_sending(parts, rows):
                told = told.and_of(found)
                tell(size)
        for found, size in replies.outstanding():
            told = told.and_of(found)
            tell(size)
    return told


class _Replies:
    """One connection, with several commands on their way."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._sent: deque[int] = deque()

    def after_sending(self, parts: list[Any], rows: int) -> Iterator[tuple[Told, int]]:
        """Send a command; the answers (what became of how many rows) that must have come before it may go."""
        while len(self._sent) >= AHEAD:
            yield self._answer()
        self._connection.send_packed_command(parts, check_health=False)
        self._sent.append(rows)

    def outstanding(self) -> Iterator[tuple[Told, int]]:
        """The answers that are still to come."""
        while self._sent:
            yield self._answer()

    def _answer(self) -> tuple[Told, int]:
        told = Told(*self._connection.read_response())
        return told, self._sent.popleft()


@contextmanager
def _pipelined(client: redis.Redis) -> Iterator[_Replies]:
    pool = client.connection_pool
    try:
        connection: Any = pool.get_connection()
    except redis.RedisError as error:
        raise redis_error(error) from error
    try:
        yield _Replies(connection)
    except BaseException as error:
        connection.disconnect()  # what else Redis may answer is for nobody
        if isinstance(error, redis.RedisError):
            raise redis_error(error) from error
        raise
    finally:
        pool.release(connection)


def _commands(
    view: OnlineView, batches: Iterable[pa.RecordBatch], note: Note, done: int
) -> Iterator[tuple[list[Any], int]]:
    """Each chunk as the buffers of one command, and its number of rows."""
    fields = [feature_field(view.name, feature) for feature in view.features]
    constant = _words(event_time_field(view.name), b"%d" % view.expiry, b"%d" % len(fields), *fields)
    for batch in batches:
        keys, rows = _framed([hash_names(view, batch)]), _framed(_row_values(view, batch))
        for first, last in _chunks(sizes(keys) + sizes(rows), 2 + len(fields)):
            count, before = last - first, note.text(done) if done else b""
            done += count
            words = [b"EVAL", SCRIPT, b"%d" % (count + 1), note.key.encode()]
            head = b"*%d\r\n" % (len(words) + count + HEAD + len(fields) + count * (1 + len(fields))) + _words(*words)
            notes = _words(before, note.text(done), b"%d" % NOTE_SECONDS)
            yield [head, _bytes(keys, first, last), notes + constant, _bytes(rows, first, last)], count


def hash_names(view: OnlineView, batch: pa.RecordBatch) -> pa.Array:
    """The name of each row's hash, as binary."""
    if not view.keys:
        return pa.array([dummy_key(view.project)] * batch.num_rows, pa.binary())
    return encoded_keys(view.project, {key: (kind, batch[column]) for key, (column, kind) in view.keys.items()})


def _row_values(view: OnlineView, batch: pa.RecordBatch) -> list[pa.Array]:
    values = [encoded_values(batch[column], kind) for column, kind in view.features.values()]
    times = encoded_times(batch[view.timestamp])
    if DELETED in batch.schema.names:
        times = pc.if_else(pc.fill_null(batch[DELETED], fill_value=False), joined(times, DELETED_MARK), times)
    return [times, *values]


def _framed(columns: list[pa.Array]) -> pa.Array:
    """Row by row, each value as a bulk string of Redis's protocol."""
    parts: list[pa.Array | bytes] = []
    for column in columns:
        lengths = sizes(column)
        if len(lengths) and lengths.min() == lengths.max():
            parts += [b"$%d\r\n" % lengths[0], column, b"\r\n"]
        else:
            parts += [b"$", pa.array(lengths).cast(pa.string()).cast(pa.binary()), b"\r\n", column, b"\r\n"]
    return joined(*parts)


def _words(*words: bytes) -> bytes:
    return b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def _chunks(weights: Any, words_a_row: int) -> Iterator[tuple[int, int]]:
    """Ranges of rows that are neither too many nor too heavy for one script."""
    most = max(1, min(ROWS, 500_000 // words_a_row))
    ends, first = np.cumsum(weights), 0
    while first < len(ends):
        before = int(ends[first - 1]) if first else 0
        light = int(np.searchsorted(ends, before + BYTES, side="right"))
        last = min(max(light, first + 1), first + most, len(ends))
        yield first, last
        first = last


def _bytes(column: pa.Array, first: int, last: int) -> Any:
    """The bytes of these rows, one behind the other, uncopied."""
    offsets = np.frombuffer(column.buffers()[1], dtype=np.int32)
    return column.buffers()[2].slice(int(offsets[first]), int(offsets[last] - offsets[first]))
