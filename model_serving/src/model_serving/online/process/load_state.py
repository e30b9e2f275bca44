"""How far the supervisor has come with the model: a file that it writes and its workers read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from twinserve.errors import StepMissing
from twinserve.files.atomic import write_atomically
from twinserve.settings import Settings

FILE = "preparation.json"


@dataclass(frozen=True)
class Preparation:
    """What a worker should do.

    Attributes:
        state: wait, say why there is no model, or load it.
        why: it failed.
        retry_after: seconds until it is tried again.
        folder: the bundle to load.
    """

    state: Literal["preparing", "failed", "ready"]
    why: str = ""
    retry_after: int = 1
    folder: str = ""


def service_folder(settings: Settings) -> Path:
    """What a service keeps for as long as it runs; one folder a port, so that two services don't meet."""
    return settings.home / "bentoml" / str(settings.online_port)


def write_preparation(folder: Path, preparation: Preparation) -> None:
    """For the workers of the service whose folder this is."""
    write_atomically(folder / FILE, json.dumps(asdict(preparation)) + "\n")


def read_preparation(folder: Path) -> Preparation:
    """What the supervisor wrote last; in its place, that there is no supervisor."""
    try:
        return Preparation(**json.loads((folder / FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return Preparation("failed", "no model is being prepared. Start the service with `model-serving serve`")


def given_redis_url(settings: Settings) -> str:
    """The Redis that `model-serving serve` found or started, for the processes that it starts.

    Raises:
        StepMissing: the service was started in another way, without one.
    """
    if settings.redis_url is None:
        raise StepMissing("no Redis is named", fix="Start with `model-serving serve`, or set TWINSERVE_REDIS_URL")
    return settings.redis_url.get_secret_value()
