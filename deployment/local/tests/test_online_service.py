"""Finding the example in a service's page, wherever OpenAPI lets it stand."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from twinserve.errors import PermanentError
from twinserve_local.online_service import curl, example_of

REQUEST = {"request_id": "a", "ids": [1]}


def pages(body: dict[str, Any]) -> dict[str, Any]:
    paths = {"/inference": {"post": {"requestBody": {"content": {"application/json": body}}}}}
    return {"paths": paths, "components": {"schemas": {"Request": {"examples": [REQUEST]}}}}


@pytest.mark.parametrize(
    "body",
    [
        {"example": REQUEST},
        {"examples": {"one": {"value": REQUEST}}},
        {"schema": {"example": REQUEST}},
        {"schema": {"examples": [REQUEST]}},
        {"schema": {"$ref": "#/components/schemas/Request"}},
    ],
)
def test_the_example_is_found(body: dict[str, Any]) -> None:
    assert example_of(pages(body)) == REQUEST


@pytest.mark.parametrize("page", [{}, {"paths": {}}, pages({}), pages({"schema": {}})])
def test_no_example_is_an_error(page: dict[str, Any]) -> None:
    with pytest.raises(PermanentError, match="shows no example"):
        example_of(page)


def test_the_curl_line_survives_a_shell() -> None:
    words = shlex.split(curl(8172, {"id": "it's", "ids": [1, 2]}))
    assert json.loads(words[words.index("-d") + 1]) == {"id": "it's", "ids": [1, 2]}
