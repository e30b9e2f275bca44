"""Who answers which path."""

from __future__ import annotations

import httpx
import pytest
from starlette.responses import PlainTextResponse

from model_serving.online.application import paths, swagger_files
from model_serving.online.http.dispatcher import Dispatcher


@pytest.mark.parametrize(
    ("path", "who"),
    [
        ("/inference", "ours"),
        ("/inference?x=1", "ours"),
        ("/", "bentoml"),
        ("/readyz", "bentoml"),
        ("/metrics", "bentoml"),
        ("/static_content/swagger-ui.css", "bentoml"),
        ("/static_content/made-up.css", "Not Found"),
        ("/inference/", "Not Found"),
        ("/Inference", "Not Found"),
        ("/a1", "Not Found"),
    ],
)
async def test_a_path_that_does_not_exist_never_reaches_bentoml(path: str, who: str) -> None:
    front = Dispatcher(PlainTextResponse("ours"), PlainTextResponse("bentoml"), paths())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=front), base_url="http://x") as client:
        answer = await client.get(httpx.URL("http://x", raw_path=path.encode()))
    assert (answer.text, answer.status_code) == (who, 404 if who == "Not Found" else 200)


def test_every_file_of_the_page_is_known() -> None:
    assert {f"/static_content/{file.name}" for file in swagger_files().iterdir()} <= paths()
