"""Real HTTP clients, straight to a worker and through the gateway's HAProxy: `make test-clients`.

One whose program is not on the PATH is skipped with its name. There is none of .NET's: nothing brings it in here.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from serving_worlds import FRESH, Server, World, free_port
from waiting import until

pytestmark = [pytest.mark.clients, pytest.mark.integration]
HERE = Path(__file__).parent / "clients"
GATEWAY = Path(__file__).parents[2] / "deployment" / "gateway" / "haproxy.cfg"
CURL = ["curl", "-sS", "-H", "Content-Type: application/json", "-w", r" %{http_code}\n", "--data-binary"]
PROGRAMS: dict[str, list[str]] = {
    "the JDK's": ["java", "Jdk.java", "{url}", "{folder}", "as it comes"],
    "the JDK's, told HTTP/1.1": ["java", "Jdk.java", "{url}", "{folder}", "http1"],
    "OkHttp": ["java", "-cp", "{jars}/*", "okhttp/Ok.java", "{url}", "{folder}"],
    "Go's": ["go", "run", "net_http.go", "{url}", "{folder}"],
    "Node's fetch": ["node", "fetch.mjs", "{url}", "{folder}"],
    "Node's http": ["node", "http.mjs", "{url}", "{folder}"],
} | {
    f"Python's {name}": [sys.executable, "by_python.py", "{url}", "{folder}", name]
    for name in ("requests", "httpx", "aiohttp", "urllib3", "urllib", "http.client")
}
WORDS_OF_CURL = {
    "as it comes": [],
    "HTTP/2": ["--http2"],
    "HTTP/1.0": ["--http1.0"],
    "in chunks": ["-H", "Transfer-Encoding: chunked"],
    "expecting": ["-H", "Expect: 100-continue"],
    "HTTP/2, in chunks": ["--http2", "-H", "Transfer-Encoding: chunked"],
    "HTTP/2, expecting": ["--http2", "-H", "Expect: 100-continue"],
}


@pytest.fixture(scope="module")
def service(rides: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = Server(rides, tmp_path_factory.mktemp("service") / "log")
    try:
        server.await_ready()
        yield f"http://127.0.0.1:{server.port}"
        assert "Traceback" not in server.log.read_text()
    finally:
        server.stop()


@pytest.fixture(scope="module", params=["straight", "through the gateway"])
def url(request: pytest.FixtureRequest, service: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if request.param == "straight":
        yield service
        return
    needs("haproxy")
    folder, port = tmp_path_factory.mktemp("gateway"), free_port()
    (folder / "haproxy.cfg").write_text(configuration(port, service.removeprefix("http://"), folder))
    with subprocess.Popen(["haproxy", "-db", "-f", str(folder / "haproxy.cfg")], stdout=subprocess.DEVNULL) as gateway:
        try:
            until("the gateway passes on", lambda: answers_ready(f"http://127.0.0.1:{port}"))
            yield f"http://127.0.0.1:{port}"
        finally:
            gateway.kill()


def configuration(port: int, server: str, folder: Path) -> str:
    """Ours, on other ports, and with a server that is known without Docker's DNS."""
    text = GATEWAY.read_text()
    for pattern, ours in (
        (r"bind :8172", f"bind 127.0.0.1:{port}"),
        (r"bind :8405", f"bind 127.0.0.1:{free_port()}"),
        (r"/tmp/gateway\.sock", str(folder / "sock")),  # noqa: S108 - in the container
        (r"(?s)\nresolvers docker\n.*?\n(?=\n)", "\n"),
        (r"server-template online .*", f"server one {server} check"),
    ):
        text, times = re.subn(pattern, ours, text)
        assert times == 1, pattern
    return text


def answers_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def bodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bodies")
    for name, keys in (("small", FRESH), ("thousand", [*FRESH, *range(5000, 5995)]), ("huge", range(10**6, 1_400_000))):
        (folder / name).write_text(json.dumps({"request_id": "r", "driver_ids": list(keys)}))
    return folder


@pytest.fixture(scope="module")
def jars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """OkHttp's, from Maven Central."""
    needs("mvn")
    folder = tmp_path_factory.mktemp("jars")
    words = ["mvn", "-q", "-f", str(HERE / "okhttp" / "pom.xml"), "dependency:copy-dependencies"]
    subprocess.run([*words, f"-DoutputDirectory={folder}"], check=True, timeout=300)
    return folder


def needs(program: str) -> None:
    if not shutil.which(program):
        pytest.skip(f"no {program} on the PATH")


def run(words: list[str], seconds: float = 300.0) -> str:
    needs(words[0])
    clean = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    done = subprocess.run(
        words, cwd=HERE, env=clean, capture_output=True, text=True, timeout=seconds, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def check(name: str, status: int, body: str) -> None:
    answer = json.loads(body)
    if name == "huge":
        assert (status, answer["error"]["code"]) == (413, "body_too_large")
    else:
        assert (status, answer["prediction"] in FRESH) == (200, True), body


@pytest.mark.parametrize("client", PROGRAMS)
def test_a_client_is_answered(client: str, url: str, bodies: Path, request: pytest.FixtureRequest) -> None:
    jars = request.getfixturevalue("jars") if client == "OkHttp" else None
    said = run([word.format(url=url, folder=bodies, jars=jars) for word in PROGRAMS[client]])
    lines = [line.split(" ", 2) for line in said.splitlines()]
    assert [name for name, _, _ in lines][:5] == ["small", "small", "small", "thousand", "huge"]
    assert len(lines) > 5  # and at least one whose length is not known before
    for name, status, body in lines:
        check(name, int(status), body)


@pytest.mark.parametrize("way", WORDS_OF_CURL)
def test_curl_is_answered(way: str, url: str, bodies: Path) -> None:
    for name in ("small", "thousand", "huge"):
        said = run([*CURL, f"@{bodies / name}", *WORDS_OF_CURL[way], f"{url}/inference"])
        body, _, status = said.strip().rpartition(" ")
        check(name, int(status), body)


def test_wrk_is_answered(url: str, bodies: Path) -> None:
    said = run(["wrk", "-t1", "-c8", "-d2", "-s", "load.lua", f"{url}/inference", "--", str(bodies)])
    answers, refused, broken = map(int, re.findall(r"(?:answers|refused|broken) (\d+)", said))
    assert (answers > 0, refused, broken) == (True, 0, 0)


def test_k6_is_answered(url: str, bodies: Path) -> None:
    """It ends with 99 where an answer was not as it should be."""
    run(["k6", "run", "--quiet", "--no-usage-report", "-e", f"URL={url}", "-e", f"FOLDER={bodies}", "load.js"])
