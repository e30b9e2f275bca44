"""The world itself: hidden qualities drift, statistics show them, orders depend on the statistics.

    quality, diligence, demand     hidden, one each per driver, stationary AR(1) walks
    conv_rate = 0.5 + 0.2 quality + momentum + noise
    acc_rate  = 0.6 + 0.18 diligence + noise
    P(trip completed) = sigmoid(weights · statistics of the last full hour)
    momentum  ← 0.6 momentum + 0.12 Σ (completed - P)      over the orders of the hour

The momentum is what a leak would see: the statistics of the hour after an order already know its outcome.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.sample_world.parameters import WorldParameters

HOURS = 24
FIRST_ID = 1001
SECOND = np.timedelta64(1_000_000, "us")
PERSISTENCE = 0.995  # of a hidden walk from one hour to the next: half of it is forgotten in six days
MOMENTUM_KEPT, MOMENTUM_GAIN = 0.6, 0.12
WEIGHTS = {"bias": 0.2, "conv_rate": 6.0, "acc_rate": 3.0, "avg_daily_trips": 0.002}
LATE_SHARE = 0.01

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.datetime64]


@dataclass
class Orders:
    """All orders by time: seconds after the start, index of the driver, the draw that decides."""

    second: npt.NDArray[np.int64]
    driver: npt.NDArray[np.int64]
    luck: Floats


@dataclass
class Hidden:
    """The state of every driver that the statistics only hint at, each an array of one value per driver."""

    walks: Floats  # (3, drivers): quality, diligence, demand
    momentum: Floats
    trip_level: Floats = field(repr=False)


@dataclass(frozen=True)
class Day:
    """One day: tables `driver_stats` (24 rows per driver) and `driver_orders`, times in microseconds UTC."""

    stats: pa.Table
    orders: pa.Table


def simulate(world: WorldParameters) -> Iterator[Day]:
    """The days of a world in order; holds one day and the orders in memory, whatever the number of days."""
    orders = _draw_orders(world)
    hidden = _first_state(world)
    for day in range(world.days):
        yield _one_day(world, day, hidden, orders)


def stream(world: WorldParameters, purpose: int, day: int = 0) -> np.random.Generator:
    """Random numbers of one purpose and day, independent of all others."""
    return np.random.default_rng([world.seed, purpose, day])


def _draw_orders(world: WorldParameters) -> Orders:
    rng = stream(world, 1)
    second = np.sort(rng.integers(0, world.days * HOURS * 3600, world.orders))
    return Orders(second, rng.integers(0, world.drivers, world.orders), rng.random(world.orders))


def _first_state(world: WorldParameters) -> Hidden:
    rng = stream(world, 2)
    return Hidden(
        walks=rng.standard_normal((3, world.drivers)),
        momentum=np.zeros(world.drivers),
        trip_level=rng.uniform(100, 600, world.drivers),
    )


def _one_day(world: WorldParameters, day: int, hidden: Hidden, orders: Orders) -> Day:
    rng = stream(world, 3, day)
    columns: list[dict[str, Floats]] = []
    completed: list[npt.NDArray[np.int64]] = []
    for hour in range(day * HOURS, (day + 1) * HOURS):
        stats = _statistics(hidden, rng)
        columns.append(stats)
        low, high = np.searchsorted(orders.second, [hour * 3600, (hour + 1) * 3600])
        completed.append(_play(hidden, stats, orders.driver[low:high], orders.luck[low:high]))
        _drift(hidden, rng)
    return Day(_stats_table(world, day, columns), _orders_table(world, day, orders, np.concatenate(completed)))


def _statistics(hidden: Hidden, rng: np.random.Generator) -> dict[str, Floats]:
    noise = 0.02 * rng.standard_normal((2, hidden.momentum.size))
    conv = 0.5 + 0.2 * hidden.walks[0] + hidden.momentum + noise[0]
    acc = 0.6 + 0.18 * hidden.walks[1] + noise[1]
    trips = hidden.trip_level * np.exp(0.4 * hidden.walks[2])
    return {
        "conv_rate": np.round(np.clip(conv, 0.01, 0.99), 4),
        "acc_rate": np.round(np.clip(acc, 0.01, 0.99), 4),
        "avg_daily_trips": np.clip(np.round(trips), 0, 5000),
    }


def _play(
    hidden: Hidden, stats: dict[str, Floats], driver: npt.NDArray[np.int64], luck: Floats
) -> npt.NDArray[np.int64]:
    """Decide the orders of one hour from its statistics, and let the outcomes move the momentum."""
    score = (
        WEIGHTS["bias"]
        + WEIGHTS["conv_rate"] * (stats["conv_rate"][driver] - 0.5)
        + WEIGHTS["acc_rate"] * (stats["acc_rate"][driver] - 0.6)
        + WEIGHTS["avg_daily_trips"] * (stats["avg_daily_trips"][driver] - 350)
    )
    chance = 1 / (1 + np.exp(-score))
    completed = luck < chance
    hidden.momentum *= MOMENTUM_KEPT
    np.add.at(hidden.momentum, driver, MOMENTUM_GAIN * (completed - chance))
    np.clip(hidden.momentum, -0.4, 0.4, out=hidden.momentum)
    return completed.astype(np.int64)


def _drift(hidden: Hidden, rng: np.random.Generator) -> None:
    step = np.sqrt(1 - PERSISTENCE**2)
    hidden.walks *= PERSISTENCE
    hidden.walks += step * rng.standard_normal(hidden.walks.shape)


def _stats_table(world: WorldParameters, day: int, columns: list[dict[str, Floats]]) -> pa.Table:
    hours = _start(world) + np.arange(day * HOURS, (day + 1) * HOURS) * 3600 * SECOND
    event = np.repeat(hours, world.drivers)
    return pa.table(
        {
            "event_timestamp": _utc(event),
            "driver_id": np.tile(np.arange(world.drivers) + FIRST_ID, HOURS),
            "conv_rate": np.concatenate([c["conv_rate"] for c in columns]),
            "acc_rate": np.concatenate([c["acc_rate"] for c in columns]),
            "avg_daily_trips": np.concatenate([c["avg_daily_trips"] for c in columns]).astype(np.int64),
            "created": _utc(_written(world, day, event)),
        }
    )


def _written(world: WorldParameters, day: int, event: Times) -> Times:
    """Rows are written minutes after their hour, a few of them hours after; none after the world's end."""
    rng = stream(world, 4, day)
    seconds = rng.integers(30, 600, event.size)
    late = rng.random(event.size) < LATE_SHARE
    seconds[late] = rng.integers(3600, 12 * 3600, int(late.sum()))
    return np.minimum(event + seconds * SECOND, np.datetime64(world.end.replace(tzinfo=None), "us"))


def _orders_table(world: WorldParameters, day: int, orders: Orders, completed: npt.NDArray[np.int64]) -> pa.Table:
    low = int(np.searchsorted(orders.second, day * HOURS * 3600))
    part = slice(low, low + completed.size)
    return pa.table(
        {
            "event_timestamp": _utc(_start(world) + orders.second[part] * SECOND),
            "driver_id": orders.driver[part] + FIRST_ID,
            "trip_completed": completed,
        }
    )


def _start(world: WorldParameters) -> np.datetime64:
    return np.datetime64(world.start.replace(tzinfo=None), "us")


def _utc(times: Times) -> pa.Array:
    return pa.array(times).cast(pa.timestamp("us", "UTC"))
