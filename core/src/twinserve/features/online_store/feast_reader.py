"""Reading features through Feast's SDK, for online stores other than Redis: slower, and always Feast's own answer.

Feast's online read has no limit of age: that of each view is applied here, as it is everywhere else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twinserve.contract import Contract
from twinserve.errors import PermanentError, TransientError, TwinserveError
from twinserve.features.feast_repo.feast_errors import feast_errors
from twinserve.features.online_store.feature_reader import OnlineRows
from twinserve.features.online_store.read_plan import Keys, read_plan
from twinserve.features.redis.value_decoding import number
from twinserve.missing import NO_EVENT, Matrix, Status, cell_status

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

THREADS = 8
QUEUED = 64  # reads under way, or waiting for a thread; more are refused


class FeastReader:
    """A `FeatureReader` over any online store of Feast.

    Args:
        open_store: opens the feature store; called by `open`, or in a thread by the first read.
        seconds: how long a read may take. A thread can't be stopped: it goes on, and counts until it is done.
    """

    def __init__(self, contract: Contract, open_store: Callable[[], FeatureStore], seconds: float) -> None:
        self._contract, self._open_store, self._seconds = contract, open_store, seconds
        self._plans = read_plan(contract)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="feast-online")
        self._under_way = 0
        self._opening = Lock()
        self._opened: tuple[FeatureStore, FeatureService] | None = None

    def open(self) -> None:
        """Open the feature store, which takes seconds, before the first read does.

        Raises:
            TwinserveError: it can't be opened, or lacks the feature service.
        """
        with feast_errors():
            self._at_hand()

    async def read(self, keys: Keys, asked: int) -> OnlineRows:
        """As `FeatureReader.read`."""
        rows = len(next(iter(keys.values())))
        for plan in self._plans:
            plan.request(plan.distinct(keys)[0])  # refuses a key that its type can't hold, as with Redis
        if not rows:
            width = len(self._contract.features)
            return OnlineRows(np.empty((0, width)), np.empty((0, width), np.int8), True)
        if self._under_way >= QUEUED:
            raise TransientError(f"{QUEUED} reads wait for the online store", fix="Try again")
        return await self._answered(keys, rows, asked)

    async def close(self) -> None:
        """As `FeatureReader.close`; does not wait for threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _answered(self, keys: Keys, rows: int, asked: int) -> OnlineRows:
        loop = asyncio.get_running_loop()
        try:
            future = loop.run_in_executor(self._threads, self._read, keys, rows, asked)
        except RuntimeError as error:  # shut down
            raise TransientError("the reader is closed", fix="Try again") from error
        self._under_way += 1
        future.add_done_callback(self._done)
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(future)
        except TimeoutError:
            raise TransientError("the online store does not answer in time", fix="Try again") from None

    def _done(self, future: asyncio.Future[OnlineRows]) -> None:
        self._under_way -= 1
        if not future.cancelled():
            future.exception()  # whoever asked may have gone

    def _read(self, keys: Keys, rows: int, asked: int) -> OnlineRows:
        try:
            with feast_errors():
                answer = self._asked(keys)
        except TwinserveError:
            raise
        except Exception as error:  # each store has errors of its own
            raise TransientError(
                f"the online store does not answer: {type(error).__name__}: {error}", fix="Try again"
            ) from error
        return self._decoded(answer, rows, asked)

    def _asked(self, keys: Keys) -> Any:
        store, service = self._at_hand()
        entity_rows: dict[str, Sequence[Any]] = {name: list(values) for name, values in keys.items()}
        return store.get_online_features(service, entity_rows, full_feature_names=True).proto

    def _at_hand(self) -> tuple[FeatureStore, FeatureService]:
        with self._opening:
            if self._opened is None:
                store = self._open_store()
                self._opened = store, store.get_feature_service(self._contract.feature_service)
            return self._opened

    def _decoded(self, answer: Any, rows: int, asked: int) -> OnlineRows:
        columns = dict(zip(answer.metadata.feature_names.val, answer.results, strict=True))
        found = [columns.get(f"{feature.view}__{feature.name}") for feature in self._contract.features]
        if None in found:
            missing = self._contract.features[found.index(None)]
            raise PermanentError(f"Feast gives no {missing.view}:{missing.name}", fix="Apply the definitions again")
        values = np.column_stack([_numbers(column) for column in found])
        times = np.column_stack([_event_times(column) for column in found])
        status = cell_status(self._contract, values, times, np.full(rows, asked, dtype=np.int64))
        values[status == Status.UNKNOWN] = np.nan
        return OnlineRows(values, status, not status.any())


def _numbers(column: Any) -> Matrix:
    try:
        return np.array([number(value.SerializeToString()) for value in column.values])
    except ValueError as error:
        raise PermanentError(f"the online store holds no number: {error}", fix="Materialize anew") from None


def _event_times(column: Any) -> NDArray[np.int64]:
    """µs since 1970 UTC; `NO_EVENT` where there is no row, which some stores give as a null of 1970."""
    from feast.protos.feast.serving.ServingService_pb2 import FieldStatus

    times = []
    for value, status, time in zip(column.values, column.statuses, column.event_timestamps, strict=True):
        empty = not (time.seconds or time.nanos) and value.WhichOneof("val") is None
        absent = status == FieldStatus.NOT_FOUND or empty
        times.append(NO_EVENT if absent else time.seconds * 1_000_000 + time.nanos // 1_000)
    return np.array(times, dtype=np.int64)
