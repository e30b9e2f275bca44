"""Candidates that are scored although features are missing: named, counted and logged, online and in batch alike."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow.parquet as pq
import pytest
from batch_run import Batch
from hypothesis import given
from hypothesis import strategies as st
from serving_worlds import FRESH, NOW, NULL, STALE, UNKNOWN, World, classifier_output, fitted_classifier

from model_serving.batch.output import Facts
from model_serving.batch.publishing import done
from model_serving.online.composition import serving_builder
from model_serving.online.http.endpoint import InferenceEndpoint
from model_serving.online.inference.readiness import Readiness
from model_serving.online.telemetry.access_log import AccessLog
from model_serving.online.telemetry.metrics import InferenceMetrics
from model_serving.passed_as_nan import PassedAsNaN, PassedSummary
from model_serving.scoring import NO_SCORE, SCORED
from twinserve.contract import Contract, FeatureColumn, JoinKey, MissingPolicy, Output, Tolerance
from twinserve.missing import REASONS, Status, row_reason

VIEWS = ("stats", "weather", "stats")  # of each feature; those of one view need not stand together
ALL_PASS = MissingPolicy(unknown="pass_as_nan", stale="pass_as_nan", null="pass_as_nan")
MISSING = {UNKNOWN: "unknown", STALE: "stale", NULL: "null"}


def contract(missing: MissingPolicy) -> Contract:
    return Contract(
        project="p",
        feature_service="s",
        join_keys=(JoinKey(name="key", dtype="INT64"),),
        features=tuple(
            FeatureColumn(view=view, name=f"f{place}", dtype="DOUBLE", ttl_seconds=None, join_keys=("key",))
            for place, view in enumerate(VIEWS)
        ),
        output=Output(method="predict", target="t", meaning="m"),
        missing=missing,
        tolerance=Tolerance(absolute=0, relative=0, why="none needed"),
        libraries={},
    )


POLICIES = st.builds(
    MissingPolicy, **{reason: st.sampled_from(["leave_out", "pass_as_nan"]) for reason in REASONS.values()}
)
CELLS = st.lists(
    st.tuples(st.tuples(*[st.sampled_from(list(Status))] * len(VIEWS)), st.booleans()), min_size=1, max_size=20
)


@given(POLICIES, CELLS)
def test_exactly_the_scored_rows_that_lack_something_are_named(
    policy: MissingPolicy, rows: list[tuple[tuple[Status, ...], bool]]
) -> None:
    status = np.array([cells for cells, _ in rows], np.int8)
    left_out = row_reason(policy, status)
    reasons = np.where((left_out == SCORED) & [not finite for _, finite in rows], NO_SCORE, left_out).astype(np.int8)
    passed = PassedAsNaN(contract(policy))
    found = passed.found(status, reasons)
    expected = []
    for (cells, _), reason in zip(rows, reasons, strict=True):
        gravest = {
            view: max(c for c, v in zip(cells, VIEWS, strict=True) if v == view) for view in dict.fromkeys(VIEWS)
        }
        named = {view: REASONS[kind] for view, kind in gravest.items() if kind != Status.PRESENT}
        expected.append(named if reason == SCORED else {})
    assert (found is None) == (not any(expected))
    given_names = [{}] * len(rows) if found is None else [passed.named(row) for row in found]
    assert given_names == expected
    texts = passed.texts(found, len(rows)).to_pylist()
    assert texts == ["; ".join(f"{view}: {why}" for view, why in named.items()) or None for named in expected]
    for lacking in (found, np.zeros((len(rows), 2), np.int8)):  # of a part of the rows there may be nothing to tell
        assert str(passed.texts(lacking, len(rows)).type) == "string"
    summary = passed.summary(found)
    assert summary.rows == sum(map(bool, expected))
    counts = Counter((view, why) for named in expected for view, why in named.items())
    assert {(view, why): n for view, found in summary.views.items() for why, n in found.items()} == counts


def test_summaries_add_up() -> None:
    one = PassedSummary(rows=2, views={"a": {"null": 2}})
    other = PassedSummary(rows=3, views={"a": {"null": 1, "stale": 2}, "b": {"unknown": 1}})
    together = PassedSummary(rows=5, views={"a": {"null": 3, "stale": 2}, "b": {"unknown": 1}})
    assert one.joined(other) == other.joined(one) == together
    assert PassedSummary().joined(one) == one


@pytest.fixture(scope="module")
def forgiving(rides: World) -> World:
    """The world `rides` with a champion that is given NaN for whatever is missing."""
    world = rides.renamed("forgiving")
    if world.registry.champion() is None:
        world.register(fitted_classifier(), world.contract(classifier_output(), missing=ALL_PASS))
    return world


async def answered(world: World, body: dict[str, Any], log: AccessLog) -> tuple[dict[str, Any], str]:
    """The answer of an endpoint that a world's champion stands behind, and its metrics."""
    metrics, readiness = InferenceMetrics(), Readiness()
    settings = type(world.settings)(**world.settings.model_dump() | {"redis_url": world.redis_url})
    readiness.serving = await asyncio.to_thread(serving_builder(settings, metrics))
    endpoint = InferenceEndpoint(readiness, metrics, max_body_bytes=10_000, most_at_once=8, note_access=log)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(endpoint), base_url="http://service") as http:
        response = await http.post("/inference", json=body)
    await readiness.serving.batcher.close()
    from prometheus_client import generate_latest

    return response.json(), generate_latest(metrics.registry).decode()


@pytest.mark.integration
async def test_online_names_counts_and_logs_each_of_them(forgiving: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    ids = [UNKNOWN, *FRESH, STALE, NULL]
    answer, metrics = await answered(forgiving, {"request_id": "r", "driver_ids": ids, "top_k": 8}, AccessLog(1.0))
    assert answer["left_out"] == []
    assert answer["passed_as_nan"] == [{"id": key, "missing": {"driver_stats": why}} for key, why in MISSING.items()]
    assert [entry["id"] for entry in answer["ranking"]] != ids
    assert {entry["id"] for entry in answer["ranking"]} == set(ids)  # the score alone decides their places
    for why in MISSING.values():
        assert f'twinserve_inference_passed_as_nan_total{{reason="{why}",view="driver_stats"}} 1.0' in metrics
    (line,) = [vars(record)["answer"] for record in caplog.records if record.message == "answered"]
    assert line["passed_as_nan"] == {"driver_stats": {"unknown": 1, "stale": 1, "null": 1}}
    assert "left_out" not in line


@pytest.mark.integration
async def test_an_unknown_key_that_comes_out_best_is_named(forgiving: World) -> None:
    answer, _ = await answered(forgiving, {"request_id": "r", "driver_ids": [UNKNOWN]}, AccessLog(0))
    assert answer["prediction"] == UNKNOWN
    assert answer["passed_as_nan"] == [{"id": UNKNOWN, "missing": {"driver_stats": "unknown"}}]


@pytest.mark.integration
async def test_what_is_left_out_or_complete_is_not_named(rides: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    body = {"request_id": "r", "driver_ids": [*FRESH, *MISSING]}
    answer, metrics = await answered(rides, body, AccessLog(1.0))
    assert answer["passed_as_nan"] == []
    assert len(answer["left_out"]) == len(MISSING)
    assert "twinserve_inference_passed_as_nan_total{" not in metrics
    (line,) = [vars(record)["answer"] for record in caplog.records if record.message == "answered"]
    assert line["left_out"] == {"unknown": 1, "stale": 1, "null": 1}
    assert "passed_as_nan" not in line


def request_file(folder: Path) -> Path:
    file = folder / "request.csv"
    keys = [UNKNOWN, *FRESH, STALE, NULL]
    file.write_text("driver_id,event_timestamp\n" + "".join(f"{key},{NOW.isoformat()}\n" for key in keys))
    return file


@pytest.mark.integration
async def test_batch_names_the_same_rows_in_its_output_and_counts_them(forgiving: World, tmp_path: Path) -> None:
    batch = Batch(forgiving, "forgiving").sharded(3)  # counts of several files add up
    result = batch.all(request_file(tmp_path))
    rows = batch.table.to_pydict()
    assert rows["reason"] == [None] * len(rows["driver_id"])
    named = dict(zip(rows["driver_id"], rows["passed_as_nan"], strict=True))
    assert named == dict.fromkeys(FRESH) | {key: f"driver_stats: {why}" for key, why in MISSING.items()}
    expected = {"rows": 3, "views": {"driver_stats": {"null": 1, "stale": 1, "unknown": 1}}}
    assert (result["predicted"], result["left_out"], result["passed_as_nan"]) == (8, {}, expected)
    assert batch.predict()["passed_as_nan"] == expected  # finished before
    answer, _ = await answered(forgiving, {"request_id": "r", "driver_ids": rows["driver_id"]}, AccessLog(0))
    assert [entry["id"] for entry in answer["passed_as_nan"]] == [k for k, why in named.items() if why]


@pytest.mark.integration
def test_an_output_of_the_last_version_is_read_and_its_unfinished_file_made_again(
    forgiving: World, tmp_path: Path
) -> None:
    batch = Batch(forgiving, "of-the-last-version").sharded(4)
    batch.init()
    batch.extract(request_file(tmp_path))
    batch.predict(0)
    (part,) = batch.run.unfinished.glob("part-*")
    age(part)
    assert done(batch.run, facts_of(part)) is None
    batch.predict()
    assert "passed_as_nan" in batch.table.column_names
    for file in batch.run.output.iterdir():
        age(file)
    result = batch.predict()
    assert (result["finished_before"], result["rows"], result["passed_as_nan"]) == (True, 8, None)
    shutil.rmtree(batch.run.output)


def facts_of(file: Path) -> Facts:
    found = Facts.read(file)
    assert found is not None
    return found


def age(file: Path) -> None:
    """Rewrite a file as the last version would have written it."""
    table, facts = pq.read_table(file), json.loads(pq.read_metadata(file).metadata[b"twinserve"])
    del facts["passed_as_nan"]
    with pq.ParquetWriter(file, table.drop_columns(["passed_as_nan"]).schema) as writer:
        writer.write_table(table.drop_columns(["passed_as_nan"]))
        writer.add_key_value_metadata({"twinserve": json.dumps(facts)})
