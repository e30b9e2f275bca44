"""The online reader of a contract, whatever the online store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis
from redis.exceptions import RedisError

from twinserve.contract import Contract
from twinserve.errors import PermanentError, TransientError
from twinserve.features.feature_reader import FeatureReader, OnlineRows
from twinserve.features.online_store import way_to_read
from twinserve.features.read_plan import Keys
from twinserve.features.redis_address import redis_address
from twinserve.features.redis_cluster import ClusterLink
from twinserve.features.redis_layout import (
    Key,
    decode_event_time,
    decode_value,
    event_time_field,
    feature_field,
    redis_key,
)
from twinserve.features.redis_link import RedisLink
from twinserve.features.redis_reader import RedisReader
from twinserve.features.store import store_config
from twinserve.missing import NO_EVENT
from twinserve.settings import Settings

__all__ = ["FeatureReader", "Keys", "OnlineReader", "OnlineRows", "TimedRows", "open_reader"]
CONNECTIONS = 2  # Redis answers one command at a time; a second connection is for what a large reply would hold up


def open_reader(
    contract: Contract,
    settings: Settings,
    redis_url: str,
    *,
    seconds: float,
    cluster: bool | None = None,
    connections: int = CONNECTIONS,
) -> FeatureReader:
    """A reader of the online store that `feature_store.yaml` names; it connects when it is first asked.

    Args:
        redis_url: the Redis to use, where that store is Redis; of a cluster, any node.
        seconds: how long a read may take, all attempts together.
        cluster: whether that Redis is a cluster; None: as `redis_type` in `feature_store.yaml` says.
        connections: to each Redis server, shared by all reads.

    Raises:
        BadInput: no such Redis URL, no valid `feature_store.yaml`.
        PermanentError: the contract can't be read.
    """
    way = way_to_read(store_config(settings, redis_url))
    if way == "feast" and cluster is None:
        return _feast_reader(contract, settings, redis_url, seconds)
    link_of = ClusterLink if (way == "redis_cluster" if cluster is None else cluster) else RedisLink
    link = link_of(redis_address(redis_url), connections=connections, seconds=seconds)
    return RedisReader(contract, link, seconds)


def _feast_reader(contract: Contract, settings: Settings, redis_url: str, seconds: float) -> FeatureReader:
    from twinserve.features.feast_reader import FeastReader
    from twinserve.features.store import open_store

    return FeastReader(contract, lambda: open_store(settings, redis_url), seconds)


@dataclass(frozen=True)
class TimedRows:
    """What the online store holds for a list of keys.

    Attributes:
        values: (keys, features) float64, NaN where there is no value.
        event_times: (keys, features) µs since 1970 UTC, `twinserve.missing.NO_EVENT` where the view has no row.
    """

    values: NDArray[np.float64]
    event_times: NDArray[np.int64]


class OnlineReader:
    """A read plan made once from a contract: which hash fields, in which order, decoded into which columns.

    Raises:
        PermanentError: the contract has several join keys; one candidate list can't name them.
    """

    def __init__(self, contract: Contract, client: Redis) -> None:
        if len(contract.join_keys) != 1:
            names = ", ".join(key.name for key in contract.join_keys)
            raise PermanentError(
                f"online serving takes one join key; the contract has {names}", fix="Serve it in batch"
            )
        self._client = client
        self._project = contract.project
        self._key = contract.join_keys[0]
        views = contract.views
        self._fields = [
            *(feature_field(feature.view, feature.name) for feature in contract.features),
            *(event_time_field(view) for view in views),
        ]
        self._width = len(contract.features)
        self._view_of = [views.index(feature.view) for feature in contract.features]

    async def read(self, keys: Sequence[Key]) -> TimedRows:
        """All features of all keys, in one pipelined round trip.

        Raises:
            TransientError: Redis does not answer in time, or refuses.
            ValueError: a key out of the range of its type.
        """
        names = [redis_key(self._project, {self._key.name: (self._key.dtype, key)}) for key in keys]
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for name in names:
                    pipeline.execute_command("HMGET", name, *self._fields)
                replies = await pipeline.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise TransientError(f"Redis does not answer: {type(error).__name__}: {error}", fix="Try again") from error
        return self._decoded(replies)

    def _decoded(self, replies: list[list[bytes | None]]) -> TimedRows:
        values = np.full((len(replies), self._width), np.nan)
        times = np.full((len(replies), self._width), NO_EVENT, dtype=np.int64)
        for row, reply in enumerate(replies):
            seen = [NO_EVENT if raw is None else decode_event_time(raw) for raw in reply[self._width :]]
            for column, view in enumerate(self._view_of):
                times[row, column] = seen[view]
                raw = reply[column]
                value = None if raw is None else decode_value(raw)
                if value is not None:
                    values[row, column] = value
        return TimedRows(values, times)
