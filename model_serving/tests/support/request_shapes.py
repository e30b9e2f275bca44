"""Shapes of requests, and what is said to a body that is not of one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from model_serving.online.http.parsing import parse_request
from model_serving.online.inference.refusals import Refusal
from model_serving.online.inference.schemas import RequestShape, request_shape
from twinserve.contract import Contract, FeatureColumn, JoinKey, Output, Tolerance

MOST = 5


def shape(name: str = "driver_id", dtype: Any = "INT64", **others: Any) -> RequestShape:
    keys = {name: dtype, **others}
    contract = Contract(
        project="p",
        feature_service="s",
        join_keys=tuple(JoinKey(name=key, dtype=kind) for key, kind in keys.items()),
        features=(FeatureColumn(view="v", name="f", dtype="DOUBLE", ttl_seconds=None, join_keys=tuple(keys)),),
        output=Output(method="predict", target="t", meaning="m"),
        tolerance=Tolerance(absolute=0, relative=0, why="none needed"),
        libraries={},
    )
    return request_shape(contract, MOST)


DRIVERS, SHOPS = shape(), shape("shop", "STRING")
TRIPS = shape("driver_id", "INT64", city="STRING")


def refusal(body: bytes | object, of: RequestShape = DRIVERS) -> Refusal:
    with pytest.raises(Refusal) as caught:
        parse_request(body if isinstance(body, bytes) else json.dumps(body).encode(), of)
    return caught.value
