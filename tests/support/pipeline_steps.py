"""Every step of all pipelines that writes, in an order in which they can be run, over a small world."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import yaml
from platform_under_test import ROOT, TRAINING

SCRIPTS = ("data-pipeline", "training-pipeline", "model-serving")


@dataclass(frozen=True)
class Step:
    """One command.

    Attributes:
        name: of it in this order.
        arguments: `{key}` stands for the run key.
        before: what happens to the home's source before it is run.
        told: a second one of the same run key is told that the first is at work; else it waits for its turn.
    """

    name: str
    script: str
    arguments: tuple[str, ...]
    key: str = ""
    before: Callable[[Path], None] | None = None
    told: bool = True

    def words(self, key: str = "") -> tuple[str, ...]:
        """The arguments, of another run key if one is given."""
        return tuple(word.format(key=key or self.key) for word in self.arguments)


def change_source(home: Path) -> None:
    """An hour after the world's end: a new row for each key, some earlier rows corrected."""
    with closing(sqlite3.connect(home / "source" / "source.db")) as database, database:
        (end,) = database.execute("SELECT max(created) FROM driver_stats").fetchone()
        moments = {f"after_{minutes}": _minutes_after(end, minutes) for minutes in (60, 65, 70)}
        database.execute(
            "INSERT INTO driver_stats (driver_id, event_timestamp, conv_rate, acc_rate, avg_daily_trips, created) "
            "SELECT DISTINCT driver_id, :after_60, 0.5, 0.25, 100 + driver_id % 7, :after_70 FROM driver_stats",
            moments,
        )
        database.execute("UPDATE driver_stats SET acc_rate = 0.75, created = :after_65 WHERE rowid % 97 = 0", moments)


def _minutes_after(moment: str, minutes: int) -> str:
    return f"{datetime.fromisoformat(moment) + timedelta(minutes=minutes):%Y-%m-%d %H:%M:%S}"


def data_steps(key: str, before: Callable[[Path], None] | None = None) -> list[Step]:
    """From the source to both stores."""
    names = ("ingest", "clean", "explore-and-validate")
    runs = [Step(f"{name} {key}", "data-pipeline", (name, "--run-key", "{key}"), key) for name in names]
    first = Step(runs[0].name, runs[0].script, runs[0].arguments, key, before)
    return [first, *runs[1:], Step(f"materialize {key}", "data-pipeline", ("materialize",), key, told=False)]


def training_steps(key: str) -> list[Step]:
    """From labels to a champion."""
    return [Step(f"{name} {key}", "training-pipeline", (name, "--run-key", "{key}"), key) for name in TRAINING]


def batch_steps(key: str) -> list[Step]:
    """From keys to predictions."""
    names = ("feature-store-init", "data-extraction", "batch-prediction")
    return [Step(f"batch {name} {key}", "model-serving", ("batch", name, "--run-key", "{key}"), key) for name in names]


def generate(end: str) -> Step:
    """A small world, up to midnight before the day `end`."""
    size = ("--drivers", "40", "--days", "3", "--orders", "900", "--seed", "3")
    return Step("generate", "data-pipeline", ("generate", *size, "--end", end), told=False)


GENERATE = generate("2026-03-01")
APPLY = Step("apply", "data-pipeline", ("apply",), told=False)
FORGET = Step("forget", "data-pipeline", ("forget", "driver_id=1003", "--yes"))
DATA = [GENERATE, *data_steps("first"), APPLY, *data_steps("second", change_source)]
EVERY = [
    GENERATE, APPLY, *data_steps("first"), *training_steps("first"), *batch_steps("first"),
    *data_steps("second", change_source), *training_steps("second"), *batch_steps("second"), FORGET,
]  # fmt: skip


def write_params(file: Path) -> Path:
    """The example's parameters with limits that a small world passes."""
    params = yaml.safe_load((ROOT / "training_pipeline" / "params.yaml").read_text(encoding="utf-8"))
    params["model"] = {"estimator": "elastic_net", "params": {}}
    params["data_checks"] |= {"min_rows": 100, "min_rows_per_class": 10, "max_psi": 5.0, "on_failure": "warn"}
    params["model_checks"] |= {
        "limit": 0.2, "min_test_rows": 20, "min_test_rows_per_class": 5, "better_than_constant_by": -1.0,
        "better_than_one_feature_by": None, "worse_than_champion_by": 1.0,
    }  # fmt: skip
    file.write_text(yaml.safe_dump(params), encoding="utf-8")
    return file
