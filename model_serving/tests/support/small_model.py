"""A model of three columns and an online store of a few rows in memory, for tests of what stands over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model_serving.online.inference.schemas import InferenceRequest
from twinserve.contract import Contract, FeatureColumn, JoinKey, MissingPolicy, Output, Tolerance
from twinserve.features.online_store.feature_reader import OnlineRows
from twinserve.features.online_store.read_plan import Keys
from twinserve.missing import Status
from twinserve.registry import ServedModel

VIEWS = ("stats", "weather", "stats")  # of each feature
Row = tuple[Sequence[float], Sequence[Status]]  # values and statuses


def small_contract(missing: MissingPolicy, best: str = "highest") -> Contract:
    return Contract(
        project="p",
        feature_service="s",
        join_keys=(JoinKey(name="key", dtype="INT64"),),
        features=tuple(
            FeatureColumn(view=view, name=f"f{place}", dtype="DOUBLE", ttl_seconds=None, join_keys=("key",))
            for place, view in enumerate(VIEWS)
        ),
        output=Output.model_validate({"method": "predict", "target": "t", "meaning": "m", "best": best}),
        missing=missing,
        tolerance=Tolerance(absolute=0, relative=0, why="none needed"),
        libraries={},
    )


def small_model(missing: MissingPolicy | None = None, best: str = "highest") -> ServedModel:
    """Scores with the sum of what is there; a sum beyond 100 is no finite number."""

    def score(rows: NDArray[np.float64]) -> NDArray[np.float64]:
        sums = np.nansum(rows, axis=1)
        return np.where(sums > 100, np.inf, sums)

    return ServedModel("small", "7", small_contract(missing or MissingPolicy(), best), score)


class StoredRows:
    """A reader of rows by key, which tells what it was asked for, and fails once it is given a fault."""

    def __init__(self, rows: Mapping[Any, Row], absent: tuple[str, ...] = ()) -> None:
        self.rows, self.absent = rows, absent
        self.fault: Exception | None = None
        self.asked: list[tuple[list[Any], int]] = []
        self.closed = False

    async def read(self, keys: Keys, asked: int) -> OnlineRows:
        self.asked.append((list(keys["key"]), asked))
        if self.fault:
            raise self.fault
        found = [self.rows[key] for key in keys["key"]]
        status = np.array([row[1] for row in found], np.int8)
        values = np.where(status == Status.PRESENT, np.array([row[0] for row in found], float), np.nan)
        return OnlineRows(values, status, not status.any(), self.absent)

    async def close(self) -> None:
        self.closed = True


def request_of(name: str, keys: Sequence[int], top_k: int | None = None) -> InferenceRequest:
    return InferenceRequest(name, list(keys), {"key": list(keys)}, top_k)
