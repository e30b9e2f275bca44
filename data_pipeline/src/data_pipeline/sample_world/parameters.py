"""What makes one sample world: the same parameters give the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from twinserve.errors import BadInput

# int64 ids and the four-digit years of the text that SQLite keeps
LIMITS = {"drivers": 10_000_000, "days": 3_660, "orders": 1_000_000_000, "seed": 2**63 - 1}
FORMAT = 1  # raise it when the same parameters begin to give other bytes


@dataclass(frozen=True)
class WorldParameters:
    """Size, seed and last moment of a world.

    Attributes:
        days: the world covers `[end - days, end)`, one row of statistics an hour and driver.
        dirt: fraction of the statistics rows that get a defect, 0 to 0.5.
        end: aware, UTC, on a full hour.
    """

    drivers: int
    days: int
    orders: int
    seed: int
    dirt: float
    end: datetime

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            least = 0 if name == "seed" else 1
            if not least <= getattr(self, name) <= limit:
                raise BadInput(f"--{name} {getattr(self, name)} is out of range", fix=f"Give {least} to {limit}")
        if not 0 <= self.dirt <= 0.5:  # noqa: PLR2004 - more dirt than data makes no world
            raise BadInput(f"--dirt {self.dirt} is out of range", fix="Give a fraction from 0 to 0.5")

    @property
    def start(self) -> datetime:
        """Time of the first row of statistics."""
        return self.end - timedelta(days=self.days)

    def same_but_end(self, other: WorldParameters) -> bool:
        """Whether both describe a world of the same size, seed and dirt."""
        return asdict(self) | {"end": None} == asdict(other) | {"end": None}

    def to_json(self) -> str:
        """The parameters as one line of JSON, as the manifest keeps them."""
        return json.dumps({**asdict(self), "end": self.end.isoformat(), "format": FORMAT}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> WorldParameters | None:
        """Read a manifest; None for one of another format."""
        fields = json.loads(text)
        if fields.pop("format", None) != FORMAT:
            return None
        return cls(**{**fields, "end": datetime.fromisoformat(fields["end"])})


def world_end(text: str | None, now: datetime) -> datetime:
    """The `--end` of a world: an ISO time (UTC where it names no zone), by default the last midnight UTC.

    Midnight keeps the bytes of a seed the same all day, and the last features fresh.

    Raises:
        BadInput: not a time, not on a full hour, or later than `now`.
    """
    if text is None:
        return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        end = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(f"--end {text!r} is not a time", fix="Write it like 2026-03-01 or 2026-03-01T12:00") from None
    end = end.replace(tzinfo=UTC) if end.tzinfo is None else end.astimezone(UTC)
    if end.replace(minute=0, second=0, microsecond=0) != end:
        raise BadInput(f"--end {text!r} is not on a full hour", fix="The statistics are hourly: leave minutes out")
    if end > now:
        raise BadInput(f"--end {text!r} is in the future", fix="Ingest would set such rows aside: end it earlier")
    return end
