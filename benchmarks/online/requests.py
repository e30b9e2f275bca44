"""What is asked: bodies made once, from a seed, with keys drawn at random from all that the world has."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from benchmarks.fixtures.online_items import FIRST_KEY
from benchmarks.online.repo import KEY
from benchmarks.online.world import Plan
from twinserve.files.atomic import write_atomically

BODIES = 1_000
SEED = 7


def bodies(plan: Plan, candidates: int) -> list[bytes]:
    """Requests, no key twice in one of them."""
    rng = np.random.default_rng([SEED, candidates])
    return [
        json.dumps({"request_id": f"r-{number}", f"{KEY}s": _keys(rng, plan, candidates)}).encode()
        for number in range(BODIES)
    ]


def write_bodies(file: Path, asked: list[bytes]) -> Path:
    """One a line."""
    write_atomically(file, b"".join(body + b"\n" for body in asked).decode())
    return file


def _keys(rng: np.random.Generator, plan: Plan, candidates: int) -> list[int]:
    drawn = rng.choice(plan.keys, candidates, replace=False)
    return [int(key) for key in drawn + FIRST_KEY]
