"""The batch request file: at several moments, some candidates each."""

from __future__ import annotations

from datetime import timedelta

from data_pipeline.sample_world.parameters import WorldParameters
from data_pipeline.sample_world.simulation import FIRST_ID, stream

MOMENTS, CANDIDATES = 20, 10


def batch_request(world: WorldParameters) -> str:
    """CSV text with `event_timestamp` and `driver_id`: 20 moments of the last day, up to 10 drivers each."""
    rng = stream(world, 5)
    seconds = sorted(rng.choice(86_400, MOMENTS, replace=False).tolist())
    lines = ["event_timestamp,driver_id"]
    for before in reversed(seconds):
        moment = (world.end - timedelta(seconds=before)).isoformat(sep=" ")
        candidates = rng.choice(world.drivers, min(CANDIDATES, world.drivers), replace=False)
        lines += [f"{moment},{FIRST_ID + index}" for index in candidates.tolist()]
    return "\n".join(lines) + "\n"
