"""What Redis answers instead of doing it, as our errors."""

from __future__ import annotations

from collections.abc import Sequence

from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, RedisError, ResponseError

from twinserve.errors import BadInput, PermanentError, TransientError, TwinserveError

_SAID = (
    ("LOSTTRACK", TransientError, "Redis was flushed meanwhile, or another run writes the same view", "Try again"),
    ("OOM ", TransientError, "Redis is full", "Raise its maxmemory, or remove what nobody needs"),
    (
        "READONLY",
        BadInput,
        "this Redis is a replica, which takes no writes",
        "Point TWINSERVE_REDIS_URL at its primary",
    ),
    ("WRONGTYPE", BadInput, "Redis holds something else under the name of an entity key", "Use another database of it"),
    ("MISCONF", TransientError, "Redis takes no writes, since it can't save to its disk", "Look into its log"),
)


def redis_error(error: RedisError) -> TwinserveError:
    """The error to raise instead: whether the same call may succeed later, and what to do."""
    said = str(error).rstrip(".")
    if isinstance(error, OutOfMemoryError):
        said = f"OOM {said}"  # the client has cut that off
    if isinstance(error, NoPermissionError):
        return BadInput(
            f"Redis refuses: {said}",
            fix="Allow its user HGET, HMGET, HGETALL, HSET, HSETNX, HDEL, EXPIRE, GET, SET, DEL, SCAN, EVAL",
        )
    if isinstance(error, AuthenticationError):
        return BadInput(f"Redis refuses: {said}", fix="Correct TWINSERVE_REDIS_URL")
    for sign, kind, what, fix in _SAID:
        if sign in f"{said} ":
            return kind(f"{what}: {said}", fix=fix)
    if isinstance(error, ResponseError):
        return TransientError(f"Redis refuses: {said}", fix="Look into its log")
    return TransientError(f"Redis does not answer: {type(error).__name__}", fix="Is it up?")


def read_refused(refused: Sequence[tuple[Exception, str]]) -> TwinserveError:
    """What to raise where Redis refuses some commands of a read.

    Args:
        refused: what it said to each of these commands, and the views that the command reads; at least one.

    Returns:
        PermanentError if all of it concerns single keys: reads of other keys succeed. TransientError otherwise (it
        loads, it lost its cluster, the user may not read at all): the same read may succeed later.
    """
    for error, _ in refused:
        if not concerns_one_key(error):
            said = str(error).rstrip(".")
            return TransientError(f"Redis refuses: {said}", fix="Look into its log, and at TWINSERVE_REDIS_URL")
    error, views = refused[0]
    return PermanentError(f"Redis refuses an entity key of {views}: {error}", fix=_one_keys_fix(str(error)))


def concerns_one_key(error: Exception) -> bool:
    """Whether the same command with another key may succeed."""
    return bool(_one_keys_fix(str(error)))


def _one_keys_fix(said: str) -> str:
    if said.startswith("WRONGTYPE"):
        return "Delete what is there under the key's name, and materialize again"
    if said.startswith("NOPERM") and " key" in said:  # else it is about the command
        return "Allow the user of TWINSERVE_REDIS_URL all keys that end with the project's name"
    return ""
