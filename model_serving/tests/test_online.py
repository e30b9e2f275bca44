"""The service in this process: pages, data plane, a real registered model and a real Redis. No BentoML around it."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NoReturn

import httpx
import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from serving_worlds import (
    FRESH,
    FRESH_SHOPS,
    NULL,
    STALE,
    UNKNOWN,
    OwnRedis,
    World,
    classifier_output,
    fitted_classifier,
)

from model_serving.online.application import OnlineApplication
from model_serving.online.composition import serving_builder
from model_serving.online.http.openapi import openapi
from model_serving.online.inference.batcher import Batcher
from model_serving.online.inference.data_plane import Choice, InferencePlane
from model_serving.online.inference.readiness import Readiness
from model_serving.online.inference.refusals import CODES, Refusal
from model_serving.online.inference.schemas import InferenceRequest
from model_serving.online.process.load_state import Preparation
from model_serving.online.telemetry.metrics import InferenceMetrics
from twinserve.contract import Contract
from twinserve.errors import ContractMismatch
from twinserve.features.materialization.materialize import materialize
from twinserve.features.online_store.feature_reader import OnlineRows, SomeKeysUnavailable
from twinserve.missing import Status
from twinserve.registry import ServedModel

pytestmark = pytest.mark.integration
JSON = {"content-type": "application/json"}


class Client:
    """Posts to `/inference` of an application in this process."""

    def __init__(self, application: OnlineApplication, http: httpx.AsyncClient) -> None:
        self.application, self.http = application, http

    async def ask(self, body: Any) -> httpx.Response:
        return await self.http.post("/inference", content=json.dumps(body), headers=JSON)

    async def refused(self, body: Any) -> str:
        """The error code, after a look at the form of the answer."""
        return checked(await self.ask(body))


def checked(response: httpx.Response) -> str:
    answer = response.json()
    assert set(answer) == {
        "request_id",
        "prediction",
        "score",
        "error",
        "model",
        "left_out",
        "passed_as_nan",
        "ranking",
    }
    assert answer["prediction"] is None
    assert answer["score"] is None
    assert response.status_code == CODES[answer["error"]["code"]][0]
    assert "Traceback" not in response.text
    return str(answer["error"]["code"])


async def client_of(world: World, url: str | None = None) -> AsyncIterator[Client]:
    application = OnlineApplication(world.settings)
    settings = type(world.settings)(**world.settings.model_dump() | {"redis_url": url or world.redis_url})
    serving = await asyncio.to_thread(serving_builder(settings, InferenceMetrics()))
    application.readiness.serving = serving
    transport = httpx.ASGITransport(application.pages, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        yield Client(application, http)
    await serving.batcher.close()


@pytest.fixture
async def client(rides: World) -> AsyncIterator[Client]:
    async for made in client_of(rides):
        yield made


@pytest.fixture
async def shop_client(shops: World) -> AsyncIterator[Client]:
    async for made in client_of(shops):
        yield made


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[OwnRedis]:
    server = OwnRedis(tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture
async def breakable(rides: World, own_redis: OwnRedis) -> AsyncIterator[Client]:
    """A client whose Redis a test may break."""
    materialize(rides.settings, own_redis.url)
    async for made in client_of(rides, own_redis.url):
        yield made


def body(*ids: object, **more: object) -> dict[str, object]:
    return {"request_id": "r", "driver_ids": list(ids), **more}


async def test_the_best_is_named_and_the_others_are_explained(client: Client) -> None:
    response = await client.ask(body(UNKNOWN, *FRESH, STALE, NULL, UNKNOWN))
    answer = response.json()
    assert response.status_code == 200
    assert answer["request_id"] == "r"
    assert answer["error"] is None
    assert answer["model"] == {"name": "ranker", "version": "1"}
    assert answer["left_out"] == [
        {"id": UNKNOWN, "reason": "unknown"},
        {"id": STALE, "reason": "stale"},
        {"id": NULL, "reason": "null"},
    ]
    alone = {key: (await client.ask(body(key))).json()["score"] for key in FRESH}
    assert answer["prediction"] == max(alone, key=lambda key: alone[key])
    assert answer["score"] == alone[answer["prediction"]]


async def test_a_text_key_two_views_and_a_regression_whose_lowest_is_best(shop_client: Client) -> None:
    response = await shop_client.ask({"request_id": "r", "shops": [*FRESH_SHOPS, "nowhere"]})
    assert response.json()["prediction"] == "Köln"  # level 0.1 and 1, the lowest of both
    assert response.json()["left_out"] == [{"id": "nowhere", "reason": "unknown"}]


async def test_none_left_is_a_404_that_lists_them(client: Client) -> None:
    response = await client.ask(body(STALE, NULL, UNKNOWN, -1, 2**63 - 1))
    assert checked(response) == "no_candidate"
    assert [entry["reason"] for entry in response.json()["left_out"]] == ["stale", "null", *["unknown"] * 3]
    assert response.json()["model"] == {"name": "ranker", "version": "1"}
    assert response.json()["request_id"] == "r"


async def test_bad_requests(client: Client) -> None:
    assert await client.refused(body()) == "empty_list"
    assert await client.refused(body("1001")) == "wrong_type"
    assert await client.refused(body(2**63)) == "out_of_range"
    assert await client.refused(body(1, debug=1)) == "unknown_field"
    assert await client.refused(body(*range(1001))) == "too_many_candidates"
    form = await client.http.post("/inference", content="a=1", headers={"content-type": "text/plain"})
    assert checked(form) == "unsupported_media_type"
    small = await client.http.post("/inference", content=b"\x1f\x8b", headers=JSON | {"content-encoding": "gzip"})
    assert checked(small) == "unsupported_media_type"
    assert "not compressed" in small.json()["error"]["message"]
    assert checked(await client.http.get("/inference")) == "method_not_allowed"


async def test_a_body_over_the_limit_is_not_read_to_its_end(client: Client) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 100_000_000:
            sent += 65_536
            yield b" " * 65_536

    response = await client.http.post("/inference", content=endless(), headers=JSON)
    assert checked(response) == "body_too_large"
    assert sent < 3_000_000
    declared = await client.http.post("/inference", content=b"{}", headers=JSON | {"content-length": "9" * 30})
    assert checked(declared) == "body_too_large"


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
BODIES = (
    st.binary()
    | NESTED.map(lambda document: json.dumps(document).encode())
    | st.lists(st.integers(), max_size=8).map(lambda ids: json.dumps(body(*ids)).encode())
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(BODIES, min_size=5, max_size=20), st.sampled_from(["application/json", "text/plain", "", "a/b+json"]))
async def test_no_body_makes_a_fault_of_the_server(client: Client, bodies: list[bytes], media: str) -> None:
    for content in bodies:
        response = await client.http.post("/inference", content=content, headers={"content-type": media})
        assert response.status_code == 200 or 400 <= response.status_code < 500
        if response.status_code != 200:
            checked(response)


async def test_redis_gone_is_a_503_within_a_second_and_heals_by_itself(breakable: Client, own_redis: OwnRedis) -> None:
    assert (await breakable.ask(body(*FRESH))).status_code == 200
    own_redis.kill()
    began = time.monotonic()
    response = await breakable.ask(body(*FRESH))
    assert time.monotonic() - began < 1  # the promise itself
    assert checked(response) == "feature_store_unavailable"
    assert response.headers["retry-after"] == "1"
    assert response.json()["request_id"] == "r"
    own_redis.start()
    assert (await breakable.ask(body(*FRESH))).status_code == 200


async def test_redis_that_hangs_is_a_503_within_a_second(breakable: Client, own_redis: OwnRedis) -> None:
    before = (await breakable.ask(body(*FRESH))).json()
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        responses = await asyncio.gather(*(breakable.ask(body(*FRESH)) for _ in range(100)))
        assert time.monotonic() - began < 1.5  # a hundred wait side by side, not one after the other
        assert {checked(response) for response in responses} == {"feature_store_unavailable"}
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    # no late reply to an abandoned request may be taken for the answer to a new one
    later = [r.json() for r in await asyncio.gather(*(breakable.ask(body(*FRESH)) for _ in range(100)))]
    # a busy machine may not open all connections anew within the time of a read: refused, never answered wrongly
    refused = [answer for answer in later if answer["error"] and answer["error"]["code"] == "feature_store_unavailable"]
    assert [answer for answer in later if answer not in refused] == [before] * (100 - len(refused))
    assert (await breakable.ask(body(*FRESH))).json() == before


async def test_a_restart_of_redis_between_two_requests_costs_no_error(breakable: Client, own_redis: OwnRedis) -> None:
    await asyncio.gather(*(breakable.ask(body(*FRESH)) for _ in range(10)))  # ten pooled connections
    own_redis.kill()
    own_redis.start()
    responses = await asyncio.gather(*(breakable.ask(body(*FRESH)) for _ in range(10)))
    assert {response.status_code for response in responses} == {200}


async def test_a_fault_of_ours_is_a_500_without_a_stack_trace(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    def broken(_: np.ndarray) -> np.ndarray:
        raise ZeroDivisionError("the secret of the model")

    serving = client.application.readiness.needed()
    plane = serving.batcher.plane
    plane._model = ServedModel("m", "1", plane._model.contract, broken)
    response = await client.ask(body(*FRESH))
    assert checked(response) == "internal"
    assert "secret" not in response.text
    assert "the secret of the model" in caplog.text


class Shelf:
    """Features at hand, in place of an online store."""

    def __init__(self, values: list[float], status: list[Status]) -> None:
        self.rows = OnlineRows(np.array(values)[:, None], np.array(status, np.int8)[:, None], not any(status))

    async def read(self, _keys: object, _asked: int) -> OnlineRows:
        return self.rows

    async def close(self) -> None:
        pass


def plane_of(contract: Contract, best: str, shelf: Shelf) -> InferencePlane:
    """A plane whose model gives the one feature as the score."""
    output = classifier_output().model_copy(update={"method": "predict", "positive_class": None, "best": best})
    one = Contract.model_validate(
        contract.model_dump() | {"features": [contract.features[0].model_dump()], "output": output.model_dump()}
    )
    return InferencePlane(
        ServedModel("m", "1", one, lambda rows: rows[:, 0]), shelf, lambda: 0, InferenceMetrics().note_stage
    )


@pytest.mark.parametrize(
    ("best", "expected", "order"), [("highest", "b", ["b", "c", "a"]), ("lowest", "a", ["a", "d", "b"])]
)
async def test_among_equals_the_first_of_the_request_wins(
    rides: World, best: str, expected: str, order: list[str]
) -> None:
    here, null, unknown = Status.PRESENT, Status.NULL, Status.UNKNOWN
    shelf = Shelf([1, 2, 2, 1, np.nan, 9], [here, here, here, here, null, unknown])
    plane = plane_of(rides.contract(classifier_output()), best, shelf)
    keys = ("a", "b", "c", "d", "e", "f")
    (choice,) = await plane.answer([InferenceRequest("r", keys, {"k": keys}, top_k=3)])
    assert isinstance(choice, Choice)
    assert choice.prediction == expected
    assert [key for key, _ in choice.ranking or ()] == order
    assert choice.left_out == [("e", "null"), ("f", "unknown")]


@pytest.mark.parametrize("best", ["highest", "lowest"])
@pytest.mark.parametrize("candidates", [17, 100, 1000])  # NumPy's other sorts keep the order of up to sixteen
async def test_many_equals_stay_in_the_order_of_the_request(rides: World, best: str, candidates: int) -> None:
    values = [float(place % 3) if place % 7 else np.nan for place in range(candidates)]
    ids = [(place * 7919) % candidates for place in range(candidates)]  # not in the order of their size
    plane = plane_of(
        rides.contract(classifier_output()),
        best,
        Shelf(values, [Status.NULL if np.isnan(value) else Status.PRESENT for value in values]),
    )
    (choice,) = await plane.answer([InferenceRequest("r", ids, {"k": ids}, top_k=candidates)])
    assert isinstance(choice, Choice)
    sign = -1 if best == "highest" else 1
    expected = sorted((place for place in range(candidates) if place % 7), key=lambda place: sign * values[place])
    assert [key for key, _ in choice.ranking or ()] == [ids[place] for place in expected]
    assert choice.prediction == ids[expected[0]]


async def test_features_that_rows_are_written_without_are_named_in_the_log(
    rides: World, caplog: pytest.LogCaptureFixture
) -> None:
    shelf = Shelf([1, np.nan], [Status.PRESENT, Status.UNKNOWN])
    shelf.rows = dataclasses.replace(shelf.rows, absent=("rides:conv_rate",))
    plane = plane_of(rides.contract(classifier_output()), "highest", shelf)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            (choice,) = await plane.answer([InferenceRequest("r", ("a", "b"), {"k": ("a", "b")})])
    assert isinstance(choice, Choice)
    assert choice.left_out == [("b", "unknown")]
    (line,) = [record.getMessage() for record in caplog.records if "definitions have changed" in record.getMessage()]
    assert "rides:conv_rate" in line


@given(
    st.lists(st.lists(st.sampled_from([0.0, 1.0, -2.5, 7.0, np.nan]), min_size=1, max_size=6), min_size=1, max_size=5),
    st.sampled_from(["highest", "lowest"]),
)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
async def test_requests_answered_together_get_what_each_gets_alone(
    rides: World, lists: list[list[float]], best: str
) -> None:
    contract = rides.contract(classifier_output())

    def shelf(values: list[float]) -> Shelf:
        return Shelf(values, [Status.NULL if np.isnan(value) else Status.PRESENT for value in values])

    def request(values: list[float]) -> InferenceRequest:
        ids = list(range(len(values)))
        return InferenceRequest("r", ids, {"k": ids}, top_k=4)

    def facts(outcome: Choice | Refusal) -> object:
        if isinstance(outcome, Refusal):
            return outcome.code, outcome.left_out
        return outcome.prediction, outcome.score, outcome.left_out, outcome.ranking

    together = await plane_of(contract, best, shelf([*chain(*lists)])).answer([request(values) for values in lists])
    alone = [(await plane_of(contract, best, shelf(values)).answer([request(values)]))[0] for values in lists]
    assert [facts(outcome) for outcome in together] == [facts(outcome) for outcome in alone]


async def test_a_fault_with_one_request_is_not_the_others_concern(rides: World) -> None:
    def poisoned(rows: np.ndarray) -> np.ndarray:
        if (rows == 13).any():
            raise ZeroDivisionError
        return np.array(rows[:, 0])

    class ByKey(Shelf):
        async def read(self, keys: Any, _asked: int) -> OnlineRows:
            values = np.array(keys["k"], float)[:, None]
            return OnlineRows(values, np.zeros(values.shape, np.int8), True)

    plane = plane_of(rides.contract(classifier_output()), "highest", ByKey([], []))
    plane._model = ServedModel("m", "1", plane._model.contract, poisoned)
    sizes: list[int] = []
    batcher = Batcher(plane, 100, 5.0, sizes.append)
    asked = [batcher.answer(InferenceRequest(str(n), [n], {"k": [n]})) for n in (11, 12, 13, 14)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sizes[0] == 4
    assert [getattr(answer, "prediction", None) for answer in answers] == [11, 12, None, 14]
    assert isinstance(answers[2], Refusal)
    assert (answers[2].code, answers[2].request_id) == ("internal", "13")


class Gated(Shelf):
    """Gives key as value; each read of keys in `held` waits for its gate."""

    def __init__(self, *held: int) -> None:
        super().__init__([], [])
        self.gates = {key: asyncio.Event() for key in held}

    async def read(self, keys: Any, _asked: int) -> OnlineRows:
        for key in keys["k"]:
            if key in self.gates:
                await self.gates[key].wait()
        values = np.array(keys["k"], float)[:, None]
        return OnlineRows(values, np.zeros(values.shape, np.int8), True)


def asking(batcher: Batcher, *keys: int) -> list[asyncio.Task[Choice]]:
    return [asyncio.ensure_future(batcher.answer(InferenceRequest(str(key), [key], {"k": [key]}))) for key in keys]


async def under_way(batcher: Batcher, key: int) -> list[asyncio.Task[Choice]]:
    """As `asking`, once its batch has begun to read."""
    asked = asking(batcher, key)
    await asyncio.sleep(0)  # it joins those that wait
    await asyncio.sleep(0)  # their batch begins
    return asked


async def test_what_comes_while_a_batch_is_under_way_is_the_next_batch(rides: World) -> None:
    shelf, sizes = Gated(1), list[int]()
    batcher = Batcher(plane_of(rides.contract(classifier_output()), "highest", shelf), 100, 5.0, sizes.append)
    first = await under_way(batcher, 1)
    later = [task for key in (2, 3, 4) for task in asking(batcher, key)]
    await asyncio.sleep(0)
    shelf.gates[1].set()
    assert [(await task).prediction for task in [*first, *later]] == [1, 2, 3, 4]
    assert sizes == [1, 3]


async def test_a_slow_batch_does_not_stand_in_the_way(rides: World) -> None:
    shelf = Gated(1)
    batcher = Batcher(plane_of(rides.contract(classifier_output()), "highest", shelf), 100, 5.0, lambda _: None)
    slow = await under_way(batcher, 1)
    others = [await asyncio.gather(*asking(batcher, key)) for key in (2, 3)]
    assert [choice.prediction for (choice,) in others] == [2, 3]
    assert not slow[0].done()
    shelf.gates[1].set()
    assert (await slow[0]).prediction == 1


async def test_with_batch_rows_0_nobody_waits_for_another(rides: World) -> None:
    shelf, sizes = Gated(1), list[int]()
    batcher = Batcher(plane_of(rides.contract(classifier_output()), "highest", shelf), 0, 5.0, sizes.append)
    first = await under_way(batcher, 1)
    loop = asyncio.get_running_loop()
    timers: list[object] = []
    loop.call_later = lambda *arguments: timers.append(arguments)  # type: ignore[assignment, method-assign]
    try:
        assert [choice.prediction for choice in await asyncio.gather(*asking(batcher, 2, 3))] == [2, 3]
    finally:
        del loop.call_later
    shelf.gates[1].set()
    assert (await first[0]).prediction == 1
    assert (sizes, timers) == ([1, 1, 1], [])


async def test_a_part_of_the_store_that_is_away_refuses_those_alone_who_need_it(rides: World) -> None:
    class PartAway(Gated):
        async def read(self, keys: Any, asked: int) -> OnlineRows:
            if 13 in keys["k"]:
                raise SomeKeysUnavailable("a node does not answer", fix="Try again")
            return await super().read(keys, asked)

    batcher = Batcher(plane_of(rides.contract(classifier_output()), "highest", PartAway()), 100, 5.0, lambda _: None)
    answers = await asyncio.gather(*asking(batcher, 11, 13, 14), return_exceptions=True)
    assert [getattr(answer, "prediction", None) for answer in answers] == [11, None, 14]
    assert isinstance(answers[1], Refusal)
    assert answers[1].code == "feature_store_unavailable"


async def test_a_batch_done_again_has_the_rest_of_its_time(rides: World) -> None:
    class Faulty(Gated):
        async def read(self, keys: Any, asked: int) -> OnlineRows:
            await asyncio.sleep(0.06)
            if len(keys["k"]) > 1:
                raise ZeroDivisionError
            return await super().read(keys, asked)

    batcher = Batcher(plane_of(rides.contract(classifier_output()), "highest", Faulty()), 100, 0.1, lambda _: None)
    answers = await asyncio.gather(*asking(batcher, 1, 2), return_exceptions=True)
    assert [answer.code for answer in answers if isinstance(answer, Refusal)] == ["deadline_exceeded"] * 2


async def test_nobody_waits_for_an_answer_that_will_not_come(rides: World) -> None:
    class OneTooFew(InferencePlane):
        async def answer(self, requests: Any) -> list[Choice | Refusal]:
            return (await super().answer(requests))[1:]

    whole = plane_of(rides.contract(classifier_output()), "highest", Gated())
    plane = OneTooFew(whole._model, whole._reader, whole._clock, whole._note)
    sizes: list[int] = []
    batcher = Batcher(plane, 100, 5.0, sizes.append)
    answers = await asyncio.gather(*asking(batcher, 1, 2), return_exceptions=True)
    assert [answer.code for answer in answers if isinstance(answer, Refusal)] == ["internal"] * 2
    assert sizes == [2]


async def test_who_waits_for_a_batch_under_way_is_answered_before_the_end(rides: World) -> None:
    shelf = Gated(1)
    batcher = Batcher(plane_of(rides.contract(classifier_output()), "highest", shelf), 100, 5.0, lambda _: None)
    first = await under_way(batcher, 1)
    later = asking(batcher, 2)
    await asyncio.sleep(0)
    shelf.gates[1].set()
    await batcher.close()
    assert [task.done() for task in [*first, *later]] == [True, True]
    assert [(await task).prediction for task in [*first, *later]] == [1, 2]


async def test_a_batch_that_takes_too_long_is_given_up(rides: World) -> None:
    class Never(Shelf):
        async def read(self, _keys: object, _asked: int) -> OnlineRows:
            await asyncio.Event().wait()
            return self.rows

    plane = plane_of(rides.contract(classifier_output()), "highest", Never([1.0], [Status.PRESENT]))
    batcher = Batcher(plane, 100, 0.01, lambda _: None)
    with pytest.raises(Refusal) as refused:
        await batcher.answer(InferenceRequest("r", [1], {"k": [1]}))
    assert (refused.value.code, refused.value.retry_after) == ("deadline_exceeded", 1)


async def test_more_requests_at_once_than_allowed_are_refused_at_once(client: Client) -> None:
    endpoint = client.application.inference
    endpoint.under_way = client.application.settings.online_max_concurrency
    response = await client.ask(body(*FRESH))
    assert checked(response) == "overloaded"
    assert response.headers["retry-after"] == "1"
    endpoint.under_way = 0
    assert (await client.ask(body(*FRESH))).status_code == 200


async def test_a_ranking_where_it_is_asked_for(client: Client) -> None:
    assert (await client.ask(body(*FRESH))).json()["ranking"] is None
    answer = (await client.ask(body(*FRESH, UNKNOWN, top_k=3))).json()
    alone = {key: (await client.ask(body(key))).json()["score"] for key in FRESH}
    best = sorted(FRESH, key=lambda key: -alone[key])[:3]
    assert answer["ranking"] == [{"id": key, "score": alone[key]} for key in best]
    assert len((await client.ask(body(*FRESH, UNKNOWN, top_k=1000))).json()["ranking"]) == len(FRESH)
    for bad in (0, -1, 1001, 1.5, "1", True):
        assert (await client.ask(body(*FRESH, top_k=bad))).status_code == 422


async def test_the_stages_are_timed(client: Client) -> None:
    timing = (await client.ask(body(*FRESH))).headers["server-timing"]
    assert [part.split(";dur=")[0].strip() for part in timing.split(",")] == ["parse", "read", "score", "rank"]
    assert all(float(part.split("=")[1]) >= 0 for part in timing.split(","))


async def test_not_ready_says_why_and_when_to_come_back() -> None:
    readiness = Readiness()
    with pytest.raises(Refusal) as refused:
        readiness.needed()
    assert (refused.value.code, refused.value.retry_after) == ("model_not_ready", 1)


async def test_readiness_says_what_the_supervisor_says_and_loads_when_told_to() -> None:
    readiness, told = Readiness(), [Preparation("preparing"), Preparation("failed", "no champion. Train one", 7)]
    built = asyncio.Event()
    loop = asyncio.get_running_loop()

    def build(folder: Path) -> NoReturn:
        loop.call_soon_threadsafe(built.set)
        raise ContractMismatch(f"{folder} is damaged")

    following = asyncio.create_task(readiness.follow(lambda: told[0], build))
    await asyncio.sleep(0.2)
    assert readiness.why == "the model is being loaded"
    told.pop(0)
    async with asyncio.timeout(30):
        await readiness.first_try(3600)
    assert (readiness.why, readiness.retry_after) == ("no champion. Train one", 7)
    told[0] = Preparation("ready", folder="/bundle")
    async with asyncio.timeout(30):
        await built.wait()
        await asyncio.sleep(0.1)
    assert readiness.why == "/bundle is damaged"
    assert not following.done(), "it goes on looking"
    following.cancel()


@pytest.mark.parametrize(
    ("damage", "why"), [("file", "is not the one that was registered"), ("service", "does not fit feature service")]
)
async def test_what_does_not_fit_is_refused_with_its_reason(rides: World, damage: str, why: str) -> None:
    world = rides.renamed(f"online-{damage}")
    contract = world.contract(classifier_output())
    if damage == "service":
        first = contract.features[0].model_copy(update={"ttl_seconds": 7})
        contract = contract.model_copy(update={"features": (first, *contract.features[1:])})
    version = world.register(fitted_classifier(), contract)
    if damage == "file":
        corrupt_artifact(world, version)
    settings = type(world.settings)(**world.settings.model_dump() | {"redis_url": world.redis_url})
    with pytest.raises(ContractMismatch, match=why):
        await asyncio.to_thread(serving_builder(settings, InferenceMetrics()))


def corrupt_artifact(world: World, version: str) -> None:
    """Flip one byte of the model itself."""
    from mlflow import MlflowClient

    source = MlflowClient().get_model_version_download_uri(world.settings.model_name, version)
    file = next(Path(source.removeprefix("file://")).rglob("*.skops"))
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)


async def test_the_document_tells_of_every_answer(client: Client) -> None:
    response = await client.http.get("/docs.json")
    document = response.json()
    operation = document["paths"]["/inference"]["post"]
    content = operation["requestBody"]["content"]["application/json"]
    assert content["example"] == {"request_id": "uuid-1", "driver_ids": [1001, 1002, 1003, 1004, 1005]}
    assert set(document["components"]["schemas"]["InferenceRequest"]["properties"]) == {
        "request_id",
        "driver_ids",
        "top_k",
    }
    told = {
        (int(status), code)
        for status, answer in operation["responses"].items()
        for code in answer["content"]["application/json"]["examples"]
    }
    assert told == {(200, "ok"), (200, "passed_as_nan")} | {
        (s, code) for code, (s, _) in CODES.items() if code != "method_not_allowed"
    }
    assert (await client.ask(content["example"])).status_code == 200


async def test_answers_are_as_the_document_says(client: Client) -> None:
    document = openapi(client.application.readiness)
    schema = {"$ref": "#/components/schemas/Answer", "components": document["components"]}
    for asked in (body(*FRESH), body(UNKNOWN), body(), body("x"), {}):
        jsonschema.validate((await client.ask(asked)).json(), schema)


async def test_the_page_loads_nothing_from_elsewhere(client: Client) -> None:
    page = await client.http.get("/")
    assert page.status_code == 200
    assert "//" not in page.text.replace("<!DOCTYPE html>", "")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("static_content/swagger-ui.css", "static_content/swagger-ui-bundle.js", "docs.js"):
        assert name in page.text
        assert (await client.http.get(f"/{name}")).status_code == 200


async def test_the_document_of_an_unready_service_says_so() -> None:
    document = openapi(Readiness())
    assert document["info"]["description"] == "Not ready: the model is being loaded"
    assert "InferenceRequest" not in document["components"]["schemas"]
