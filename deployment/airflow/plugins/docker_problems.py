"""What the Docker engine answers when it can't, as one line and a decision: try again or not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from airflow.sdk.exceptions import AirflowException, AirflowFailException
from docker.errors import APIError, DockerException, ImageNotFound
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError

# a conflict or a lock passes
PERMANENT = {HTTPStatus.BAD_REQUEST, HTTPStatus.FORBIDDEN, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}


@contextmanager
def engine_problems(engine: str, image: str) -> Iterator[None]:
    """Turn the Docker client's errors into Airflow's.

    Args:
        engine: URL of the engine, for messages.
        image: that the task wants to run.

    Raises:
        AirflowFailException: the image is not there, or the call is not allowed.
        AirflowException: anything else may pass.
    """
    try:
        yield
    except ImageNotFound:
        message = f"no image {image} on the Docker engine. Run `make build`, or pull it, then `make deploy`"
        raise AirflowFailException(message) from None
    except APIError as error:
        said = " ".join(str(error.explanation or error).split())
        if error.status_code in PERMANENT:
            raise AirflowFailException(f"refused by {engine} (status {error.status_code}): {said}") from None
        raise AirflowException(f"the Docker engine failed (status {error.status_code}): {said}") from None
    except (DockerException, RequestException, HTTPError, OSError) as error:
        raise AirflowException(f"no answer from the Docker engine at {engine}: {error}") from None
