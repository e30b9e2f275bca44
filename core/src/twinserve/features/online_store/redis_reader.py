"""Reading features from Feast's layout in Redis, without Feast: one round trip, whatever the number of candidates."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import numpy as np

from twinserve.contract import Contract
from twinserve.features.online_store.feature_reader import OnlineRows
from twinserve.features.online_store.hash_rows import decoded
from twinserve.features.online_store.read_plan import HashPlan, Keys, read_plan


class HashSource(Protocol):
    """Where hashes are read from: one server, or a cluster."""

    async def fetch(self, wanted: list[tuple[HashPlan, Any]], deadline: float) -> list[Any]:
        """The reply to each HMGET, plan by plan and key by key.

        Raises:
            TransientError: no answer by the deadline of the event loop's clock, or an error as answer.
            SomeKeysUnavailable: the same of some servers, while others have answered.
            PermanentError: an error that concerns one key; names its views.
            ValueError: a key that its type can't hold.
        """
        ...

    async def close(self) -> None:
        """Close all connections."""
        ...


class RedisReader:
    """A `FeatureReader` of one contract.

    Args:
        seconds: how long a read may take, all attempts together.
    """

    def __init__(self, contract: Contract, source: HashSource, seconds: float) -> None:
        self._plans = read_plan(contract)
        self._width = len(contract.features)
        self._source, self._seconds = source, seconds
        self._whole = self._plans[0] if self._plans[0].outputs == list(range(self._width)) else None

    async def read(self, keys: Keys, asked: int) -> OnlineRows:
        """As `FeatureReader.read`."""
        rows = _rows(keys)
        if not rows:
            return OnlineRows(np.empty((0, self._width)), np.empty((0, self._width), np.int8), True)
        deadline = asyncio.get_running_loop().time() + self._seconds
        chosen = [plan.distinct(keys) for plan in self._plans]
        wanted = [(plan, found) for plan, (found, _) in zip(self._plans, chosen, strict=True)]
        replies = await self._source.fetch(wanted, deadline)
        if self._whole is not None and chosen[0][1] is None:
            return decoded(self._whole, replies, asked)
        return self._put_together(replies, chosen, rows, asked)

    async def close(self) -> None:
        """As `FeatureReader.close`."""
        await self._source.close()

    def _put_together(self, replies: list[Any], chosen: list[Any], rows: int, asked: int) -> OnlineRows:
        values, status = np.empty((rows, self._width)), np.empty((rows, self._width), np.int8)
        complete, start = True, 0
        absent: list[str] = []
        for plan, (found, places) in zip(self._plans, chosen, strict=True):
            part = decoded(plan, replies[start : start + len(found)], asked)
            start += len(found)
            values[:, plan.outputs] = part.values if places is None else part.values[places]
            status[:, plan.outputs] = part.status if places is None else part.status[places]
            complete = complete and part.complete
            absent += part.absent
        return OnlineRows(values, status, complete, tuple(absent))


def _rows(keys: Keys) -> int:
    counts = {len(values) for values in keys.values()}
    if len(counts) != 1:
        raise ValueError(f"join keys of different lengths: {sorted(counts)}")
    return counts.pop()
