"""How many rows a second a form of a model scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from twinserve.contract import Score
from twinserve.missing import Matrix
from twinserve.model.onnx_scorer import CHUNK
from twinserve.steps.overlap import in_order

SMALL = (5, 100)  # candidates of a request
SECONDS, FEWEST, MOST = 0.5, 2, 20  # passes of one measurement: the fewest, then until either limit is reached
Speeds = dict[str, float]


def measured_speeds(score: Score, known: Matrix, threads: int) -> Speeds:
    """Rows per second by size of a batch, the best of several passes.

    The largest size is measured on a few chunks, so many at once as there are threads.

    Args:
        known: rows to score, repeated as needed.
        threads: that call `score` at once.
    """
    small = {str(size): _rate(partial(score, _sample(known, size)), size) for size in SMALL}
    chunks = np.split(_sample(known, CHUNK * 2 * threads), 2 * threads)
    with ThreadPoolExecutor(threads) as pool:
        large = _rate(lambda: list(in_order(pool, score, chunks, threads)), CHUNK * len(chunks))
    return {**small, str(CHUNK): large}


def _sample(known: Matrix, size: int) -> Matrix:
    """In an order of no meaning: sorted rows are scored faster than those that will come."""
    rng = np.random.default_rng(0)
    return known[rng.integers(len(known), size=size)]


def _rate(call: Callable[[], object], rows: int) -> float:
    call()
    took: list[float] = []
    while len(took) < FEWEST or (len(took) < MOST and sum(took) < SECONDS):
        began = time.perf_counter()
        call()
        took.append(time.perf_counter() - began)
    return float(round(rows / min(took)))
