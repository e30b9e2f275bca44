"""Feast's and its registry's exceptions as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twinserve.errors import TransientError


@contextmanager
def feast_errors() -> Iterator[None]:
    """What can't be reached, or is locked just now, may be there later.

    Raises:
        TransientError: the database of Feast's registry, or Redis, does not answer or is full.
        BadInput: Redis wants another password, or does not let us write.
    """
    from redis import RedisError
    from sqlalchemy.exc import OperationalError

    from twinserve.features.redis.errors import redis_error

    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).splitlines()[0] if error.orig else "no answer"
        raise TransientError(
            f"Feast's registry database can't be used now: {reason}", fix="Is it up? See TWINSERVE_FEAST_REGISTRY_URL"
        ) from error
    except RedisError as error:
        raise redis_error(error) from error
