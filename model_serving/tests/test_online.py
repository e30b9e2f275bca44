"""The service in this process: pages, data plane, a real registered model and a real Redis. No BentoML around it."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
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
from model_serving.online.composition import redis_client, serving_builder
from model_serving.online.documentation import openapi
from model_serving.online.metrics import InferenceMetrics
from model_serving.online.plane import InferencePlane
from model_serving.online.preparation import Preparation
from model_serving.online.readiness import Readiness
from model_serving.online.refusal import CODES, Refusal
from model_serving.online.wire import InferenceRequest
from twinserve.contract import Contract
from twinserve.errors import BadInput, ContractMismatch
from twinserve.features.materialize import materialize
from twinserve.features.online import OnlineRows
from twinserve.missing import NO_EVENT
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
    assert set(answer) == {"request_id", "prediction", "score", "error", "model", "left_out"}
    assert answer["prediction"] is None
    assert answer["score"] is None
    assert response.status_code == CODES[answer["error"]["code"]][0]
    assert "Traceback" not in response.text
    return str(answer["error"]["code"])


async def client_of(world: World, url: str | None = None) -> AsyncIterator[Client]:
    settings = world.settings.model_copy(update={"redis_url": None})
    application = OnlineApplication(settings)
    redis = redis_client(url or world.redis_url, settings.online_redis_timeout_ms)
    with_redis = type(settings)(**settings.model_dump() | {"redis_url": url or world.redis_url})
    application.readiness.serving = await asyncio.to_thread(serving_builder(with_redis, redis, InferenceMetrics()))
    transport = httpx.ASGITransport(application.pages, raise_app_exceptions=False)
    async with redis, httpx.AsyncClient(transport=transport, base_url="http://service") as http:
        yield Client(application, http)


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
    serving.plane._model = ServedModel("m", "1", serving.plane._model.contract, broken)
    response = await client.ask(body(*FRESH))
    assert checked(response) == "internal"
    assert "secret" not in response.text
    assert "the secret of the model" in caplog.text


class Shelf:
    """Features at hand, in place of an online store."""

    def __init__(self, values: list[float], times: list[int]) -> None:
        self.rows = OnlineRows(np.array(values)[:, None], np.array(times)[:, None])

    async def read(self, _keys: object) -> OnlineRows:
        return self.rows


@pytest.mark.parametrize(("best", "expected"), [("highest", "b"), ("lowest", "a")])
async def test_among_equals_the_first_of_the_request_wins(rides: World, best: str, expected: str) -> None:
    output = classifier_output().model_copy(update={"method": "predict", "positive_class": None, "best": best})
    contract = rides.contract(classifier_output()).model_copy(update={"output": output})
    one = Contract.model_validate(contract.model_dump() | {"features": [contract.features[0].model_dump()]})
    shelf: Any = Shelf([1, 2, 2, 1, np.nan, 9], [0, 0, 0, 0, 0, NO_EVENT])
    plane = InferencePlane(ServedModel("m", "1", one, lambda rows: rows[:, 0]), shelf, lambda: 0, 1.0)
    answer = await plane.answer(InferenceRequest("r", ("a", "b", "c", "d", "e", "f")))
    assert answer.prediction == expected
    assert [(entry.id, entry.reason) for entry in answer.left_out] == [("e", "null"), ("f", "unknown")]


def test_a_redis_url_that_is_none_is_refused_without_repeating_it() -> None:
    for url in ("http://:secret@host:1/0", "redis://:secret@host:port/0"):
        with pytest.raises(BadInput, match="TWINSERVE_REDIS_URL can't be used") as refused:
            redis_client(url, 400)
        assert "secret" not in str(refused.value)


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
    async with redis_client(world.redis_url, 400) as redis:
        with pytest.raises(ContractMismatch, match=why):
            await asyncio.to_thread(serving_builder(settings, redis, InferenceMetrics()))


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
    assert set(document["components"]["schemas"]["InferenceRequest"]["properties"]) == {"request_id", "driver_ids"}
    told = {
        (int(status), code)
        for status, answer in operation["responses"].items()
        for code in answer["content"]["application/json"]["examples"]
    }
    assert told == {(200, "ok")} | {(s, code) for code, (s, _) in CODES.items() if code != "method_not_allowed"}
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
