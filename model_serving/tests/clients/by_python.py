"""Asks by one of Python's HTTP clients: by_python.py URL FOLDER CLIENT; prints what was sent, status and body."""

from __future__ import annotations

import asyncio
import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

URL, FOLDER, CLIENT = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
JSON = {"Content-Type": "application/json"}
NAMES = ("small", "small", "small", "thousand", "huge")
Body = bytes | Iterator[bytes]
Ask = Callable[[Body], tuple[int, str]]


def with_requests() -> Ask:
    import requests

    session = requests.Session()

    def ask(body: Body) -> tuple[int, str]:
        answer = session.post(f"{URL}/inference", data=body, headers=JSON, timeout=20)
        return answer.status_code, answer.text

    return ask


def with_httpx() -> Ask:
    import httpx

    client = httpx.Client()

    def ask(body: Body) -> tuple[int, str]:
        answer = client.post(f"{URL}/inference", content=body, headers=JSON, timeout=20)
        return answer.status_code, answer.text

    return ask


def with_urllib3() -> Ask:
    import urllib3

    pool = urllib3.PoolManager()

    def ask(body: Body) -> tuple[int, str]:
        answer = pool.request("POST", f"{URL}/inference", body=body, headers=JSON, timeout=20, retries=False)
        return answer.status, answer.data.decode()

    return ask


def with_urllib() -> Ask:
    def ask(body: Body) -> tuple[int, str]:
        request = urllib.request.Request(f"{URL}/inference", body, JSON)  # noqa: S310 - ours
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, refused.read().decode()

    return ask


def with_http_client() -> Ask:
    connection = http.client.HTTPConnection(URL.removeprefix("http://"), timeout=20)

    def ask(body: Body) -> tuple[int, str]:
        connection.request("POST", "/inference", body, JSON, encode_chunked=not isinstance(body, bytes))
        answer = connection.getresponse()
        return answer.status, answer.read().decode()

    return ask


async def with_aiohttp() -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for name in NAMES:
            async with session.post(f"{URL}/inference", data=(FOLDER / name).read_bytes(), headers=JSON) as answer:
                told(name, answer.status, await answer.text())
        small = (FOLDER / "small").read_bytes()
        for in_chunks in (True, None):
            asked = session.post(
                f"{URL}/inference", data=small, headers=JSON, chunked=in_chunks, expect100=in_chunks is None
            )
            async with asked as answer:
                told("small", answer.status, await answer.text())


def told(name: str, status: int, body: str) -> None:
    sys.stdout.write(f"{name} {status} {body}\n")


def main() -> None:
    """Ask."""
    if CLIENT == "aiohttp":
        asyncio.run(with_aiohttp())
        return
    clients = {"requests": with_requests, "httpx": with_httpx, "urllib3": with_urllib3, "urllib": with_urllib}
    ask = (clients | {"http.client": with_http_client})[CLIENT]()
    for name in NAMES:
        told(name, *ask((FOLDER / name).read_bytes()))
    small = (FOLDER / "small").read_bytes()
    told("small", *ask(iter([small[:9], small[9:]])))  # in chunks


main()
