"""Work that overlaps: reading, computing and writing at once, with few items in flight and their order kept.

Threads do, since Arrow, NumPy, DuckDB and ONNX Runtime let go of Python's lock while they work.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from queue import Empty, Queue
from threading import Event
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def processors() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Generator[Result, None, None]:
    """`work` of each item, by the pool's threads, in the items' order.

    Args:
        ahead: so many items may be done or under way before their turn.
    """
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


@contextmanager
def read_ahead(items: Generator[Item, None, None], ahead: int) -> Iterator[Iterator[Item]]:
    """The items, taken by a thread while the block works on earlier ones.

    The generator runs in that thread alone, and is closed there when the block ends, however it ends.

    Args:
        ahead: so many items may wait.
    """
    queue: Queue[Item | BaseException | None] = Queue(ahead)
    stop = Event()

    def produce() -> None:
        try:
            with closing(items):
                for item in items:
                    if stop.is_set():
                        return
                    queue.put(item)
            queue.put(None)
        except BaseException as error:
            queue.put(error)

    with ThreadPoolExecutor(1) as thread:
        producer = thread.submit(produce)
        try:
            yield _taken(queue)
        finally:
            stop.set()
            while not producer.done():  # it may wait for room
                _emptied(queue)


def _taken(queue: Queue[Item | BaseException | None]) -> Iterator[Item]:
    while (item := queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def _emptied(queue: Queue[Item | BaseException | None]) -> None:
    with suppress(Empty):
        queue.get(timeout=0.05)
