"""The Swagger page in a real chromium, which may reach nothing but the service."""

from __future__ import annotations

import html
import json
import re
import subprocess
from pathlib import Path

import pytest
from serving_worlds import Server, World

pytestmark = [pytest.mark.browser, pytest.mark.integration]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=10000",
]


def test_the_page_shows_inference_with_its_example_filled_in(rides: World, tmp_path: Path) -> None:
    server = Server(rides, tmp_path / "server.log")
    try:
        server.await_ready()
        done = subprocess.run(
            ["chromium", *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
             "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", f"http://127.0.0.1:{server.port}/"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
    finally:
        server.stop()
    filled = re.search(r"<textarea[^>]*body-param__text[^>]*>(.*?)</textarea>", done.stdout, re.DOTALL)
    assert filled is not None
    example = json.loads(html.unescape(filled[1]))
    assert example == {"request_id": "uuid-1", "driver_ids": [1001, 1002, 1003, 1004, 1005]}
    assert "Execute" in done.stdout
    assert "Serves ranker, version 1." in done.stdout
    assert "Errors" not in done.stdout
