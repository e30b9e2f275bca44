"""Overlapped work keeps its order, its bounds and its errors."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor

import pytest

from twinserve.steps.overlap import in_order, read_ahead


def test_results_come_in_the_order_of_the_items() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number % 3 == 0 else 0)
        return number

    with ThreadPoolExecutor(3) as pool:
        assert list(in_order(pool, slow_first, range(20), 4)) == list(range(20))


def test_no_more_than_so_many_items_are_taken_ahead() -> None:
    taken: list[int] = []

    def items() -> Generator[int, None, None]:
        for number in range(100):
            taken.append(number)
            yield number

    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, str, items(), 3)
        assert next(results) == "0"
        assert len(taken) == 4
        results.close()


def test_an_error_of_the_work_comes_at_its_turn() -> None:
    with ThreadPoolExecutor(2) as pool:
        results = in_order(pool, lambda n: 1 // (n - 2), range(10), 2)
        assert [next(results), next(results)] == [-1, -1]
        with pytest.raises(ZeroDivisionError):
            next(results)


class Source:
    """Counts how far it was read, and in which thread it was closed."""

    def __init__(self, size: int, *, breaks: bool = False) -> None:
        self.size, self.breaks, self.taken, self.closed_in = size, breaks, 0, 0

    def items(self) -> Generator[int, None, None]:
        try:
            for number in range(self.size):
                self.taken += 1
                yield number
            if self.breaks:
                raise ValueError("broken")
        finally:
            self.closed_in = threading.get_ident()


def test_reading_ahead_gives_all_items_in_order() -> None:
    with read_ahead(Source(1000).items(), 2) as items:
        assert list(items) == list(range(1000))


def test_reading_ahead_is_bounded_and_ends_with_the_block() -> None:
    source = Source(10**9)
    with pytest.raises(KeyError), read_ahead(source.items(), 2) as items:
        assert next(items) == 0
        raise KeyError
    assert source.taken <= 6
    assert source.closed_in not in (0, threading.get_ident())


def test_an_error_of_the_source_comes_after_its_items() -> None:
    seen = []
    with pytest.raises(ValueError, match="broken"), read_ahead(Source(3, breaks=True).items(), 2) as items:
        for item in items:
            seen.append(item)  # noqa: PERF402 - what was seen before the error counts
    assert seen == [0, 1, 2]
