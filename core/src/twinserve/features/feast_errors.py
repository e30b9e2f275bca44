"""Feast's and its registry's exceptions as ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from twinserve.errors import BadInput, TransientError


@contextmanager
def feast_errors() -> Iterator[None]:
    """What can't be reached, or is locked just now, may be there later.

    Raises:
        TransientError: the database of Feast's registry, or Redis, does not answer.
        BadInput: Redis wants another password.
    """
    from redis import AuthenticationError, RedisError
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except OperationalError as error:
        reason = str(error.orig).splitlines()[0] if error.orig else "no answer"
        raise TransientError(
            f"Feast's registry database can't be used now: {reason}", fix="Is it up? See TWINSERVE_FEAST_REGISTRY_URL"
        ) from error
    except AuthenticationError as error:
        raise BadInput(f"Redis refuses: {str(error).rstrip('.')}", fix="Correct TWINSERVE_REDIS_URL") from error
    except RedisError as error:
        raise TransientError(f"Redis does not answer: {type(error).__name__}", fix="Is it up?") from error
