"""Who takes part, and how each is started."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from benchmarks.online.world import World
from twinserve.errors import BadInput

BIN = Path(sys.executable).parent
MODULES = "benchmarks.contestants.online"


@dataclass(frozen=True)
class Contestant:
    """One service.

    Attributes:
        name: to pick it, and in the results.
        title: in the table.
        command: port → the words that start it, in a folder that `prepare` has filled.
        ours: what the others are compared with.
        limit: does less than the case: what the machine could do at best.
        environment: more variables of its processes.
    """

    name: str
    title: str
    command: Callable[[int], list[str]]
    ours: bool = False
    limit: bool = False
    environment: dict[str, str] = field(default_factory=dict, hash=False)


def prepare(folder: Path, world: World) -> None:
    """What the services of others read: `model.json`, and a feature repo whose online store is the world's Redis."""
    repo = folder / "feature_repo"
    repo.mkdir()
    plain: dict[str, Any] = yaml.safe_load((Path(world.model["plain_repo"]) / "feature_store.yaml").read_text("utf-8"))
    address = world.redis_url.removeprefix("redis://").partition("/")[0]
    plain["online_store"] = {"type": "redis", "connection_string": address}
    (repo / "feature_store.yaml").write_text(yaml.safe_dump(plain), encoding="utf-8")
    (folder / "model.json").write_text(json.dumps({**world.model, "redis_url": world.redis_url}), encoding="utf-8")


def _ours(port: int) -> list[str]:
    return [str(BIN / "model-serving"), "serve", "--port", str(port)]


def _bentoml(port: int) -> list[str]:
    service = f"{MODULES}.bentoml_plain:Inference"
    return [str(BIN / "bentoml"), "serve", service, "--host", "127.0.0.1", "--port", str(port)]


def _uvicorn(module: str, *more: str) -> Callable[[int], list[str]]:
    def command(port: int) -> list[str]:
        words = [f"{MODULES}.{module}:app", "--host", "127.0.0.1", "--port", str(port), "--no-access-log", *more]
        return [str(BIN / "uvicorn"), *words]

    return command


OURS = Contestant("ours", "Twinserve", _ours, ours=True)
PLAIN = Contestant("bentoml-plain", "BentoML, Feast SDK, pandas, scikit-learn", _bentoml)
FASTAPI = Contestant("fastapi-feast", "FastAPI, Feast SDK, pandas, scikit-learn", _uvicorn("fastapi_feast"))
BARE = Contestant(
    "bare-asgi", "bare ASGI application, the limit of a request by itself",
    _uvicorn("bare_asgi", "--factory", "--loop", "uvloop", "--http", "httptools"), limit=True,
)  # fmt: skip
TWO_WORKERS = Contestant(
    "ours-2", "Twinserve, two workers", _ours, ours=True, environment={"TWINSERVE_ONLINE_WORKERS": "2"}
)
ONE_WORKER = Contestant("ours-1", "Twinserve, one worker", _ours)
ALONE = Contestant(
    "ours-alone", "Twinserve, each request by itself", _ours, environment={"TWINSERVE_ONLINE_BATCH_ROWS": "0"}
)
ALL = (OURS, PLAIN, FASTAPI, BARE)


def chosen(only: str) -> set[str]:
    """The names that are asked for; all for an empty text.

    Raises:
        BadInput: there is no such contestant.
    """
    there = [each.name for each in (*ALL, ALONE, TWO_WORKERS, ONE_WORKER)]
    words = only.replace(",", " ").split()
    if unknown := [word for word in words if word not in there]:
        raise BadInput(f"no contestant {unknown[0]!r}", fix=f"There are {', '.join(there)}")
    return set(words or there)
