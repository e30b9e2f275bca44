"""What Redis answers instead of doing it, as our errors."""

from __future__ import annotations

from redis.exceptions import AuthenticationError, NoPermissionError, OutOfMemoryError, RedisError, ResponseError

from twinserve.errors import BadInput, TransientError, TwinserveError

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
        return BadInput(f"Redis refuses: {said}", fix="Allow its user HGET, HMGET, HSET, EXPIRE, GET, SET, DEL, EVAL")
    if isinstance(error, AuthenticationError):
        return BadInput(f"Redis refuses: {said}", fix="Correct TWINSERVE_REDIS_URL")
    for sign, kind, what, fix in _SAID:
        if sign in f"{said} ":
            return kind(f"{what}: {said}", fix=fix)
    if isinstance(error, ResponseError):
        return TransientError(f"Redis refuses: {said}", fix="Look into its log")
    return TransientError(f"Redis does not answer: {type(error).__name__}", fix="Is it up?")


def read_refused(said: Exception) -> TransientError:
    """A read that Redis refuses (it loads, it lost its cluster, the user may not): another may succeed."""
    return TransientError(f"Redis refuses: {said}", fix="Look into its log, and at TWINSERVE_REDIS_URL")
