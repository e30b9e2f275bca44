"""HTTP as it comes, byte by byte: offers of other protocols, heads, trailers, pipelines, ends; on both event loops."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from raw_http import Answered, Listening, answers, head, listening, next_answer, post, until_closed
from waiting import until

from model_serving.online.http.connections.connection_limits import GUESTS, Limits
from model_serving.online.http.connections.protocol import MOST_HEADERS, MOST_URL_BYTES, STEP, Connection

OFFER = (
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
)
WEBSOCKET = ("Connection: keep-alive, Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==")
HEAD_BYTES = 16_384


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[Listening]:
    limits = Limits(HEAD_BYTES, connections=20, head_seconds=1.0, body_seconds=1.0, guest_seconds=1.0)
    with listening(limits, request.param) as made:
        yield made


@pytest.fixture(params=["uvloop", "asyncio"])
def patient(request: pytest.FixtureRequest) -> Iterator[Listening]:
    """A server that lets few connections in, and these be silent."""
    with listening(Limits(connections=20, head_seconds=60, guest_seconds=1.0), request.param) as made:
        yield made


def only(said: bytes) -> Answered:
    (found,) = answers(said)
    return found


# ------------------------------------------------------------------------- offers of other protocols


@pytest.mark.parametrize("offer", [OFFER, WEBSOCKET, ("Connection: upgrade", "Upgrade: TLS/1.0, foo/2")])
def test_an_offer_of_another_protocol_is_not_taken_up_and_loses_nothing(
    server: Listening, offer: tuple[str, ...]
) -> None:
    chunked = head("Transfer-Encoding: chunked", *offer) + b"2\r\nth\r\n3\r\nree\r\n0\r\n\r\n"
    said = server.said(post(b"one", *offer), post(b"two", *offer) + chunked + post(b"", *offer) + post(b"4", last=True))
    found = answers(said)
    assert [answer.status for answer in found] == [200] * 5
    assert [answer.json["body"] for answer in found] == ["one", "two", "three", "", "4"]
    for answer in found:
        names = {name for name, _ in answer.json["headers"]}
        assert not names & {"upgrade", "http2-settings"}
        assert ["connection", "Upgrade"] not in answer.json["headers"]


def test_an_offer_without_a_body_and_of_an_older_version(server: Listening) -> None:
    said = server.said(head(*OFFER, method="GET"), head(*OFFER, method="GET").replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert [(answer.status, answer.json["method"]) for answer in answers(said)] == [(200, "GET")] * 2


def test_an_offer_with_expect_is_told_to_go_on(server: Listening) -> None:
    with server.open() as client:
        client.sendall(head("Content-Length: 5", "Expect: 100-continue", "Connection: close, Upgrade", *OFFER[1:]))
        assert client.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"hello")
        assert only(until_closed(client)).json["body"] == "hello"


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org:443\r\n\r\n\x16\x03", 405, "method_not_allowed"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "not_http"),
        (b"\x16\x03\x01\x00\xf8\x01\x00\x00\xf4", 400, "not_http"),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400, "not_http"),
        (b"POST /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400, "not_http"),
        (b"GET  HTTP/1.1\r\n\r\n", 400, "not_http"),
    ],
)
def test_what_is_no_request_is_refused_in_the_form_of_every_answer(
    server: Listening, sent: bytes, status: int, code: str
) -> None:
    answer = only(server.said(sent))
    assert (answer.status, answer.code, answer.headers["connection"]) == (status, code, "close")


messages = st.tuples(
    st.sampled_from([(), OFFER, WEBSOCKET]),
    st.booleans(),
    st.binary(max_size=40) | st.sampled_from([b"POST / HTTP/1.1\r\n\r\n", b"0\r\n\r\n", b"\r\n" * 8, bytes(9000)]),
)


def written(offer: tuple[str, ...], in_chunks: bool, body: bytes) -> bytes:
    if not in_chunks:
        return post(body, *offer)
    parts = [body[at : at + 7000] for at in range(0, len(body), 7000)]
    chunks = [b"%x;a=b\r\n%s\r\n" % (len(part), part) for part in parts]
    return head("Transfer-Encoding: chunked", *offer) + b"".join(chunks) + b"0\r\nX-After: 1\r\n\r\n"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(messages, min_size=1, max_size=6), st.lists(st.integers(1, 9000), max_size=8))
def test_however_requests_are_cut_each_is_answered_in_turn(
    server: Listening, sent: list[tuple[tuple[str, ...], bool, bytes]], cuts: list[int]
) -> None:
    data = b"".join(written(*message) for message in sent) + post(b"", last=True)
    pieces = []
    for cut in cuts:
        pieces.append(data[:cut])
        data = data[cut:]
    found = answers(server.said(*pieces, data))
    assert [answer.json["body"].encode("latin-1") for answer in found] == [body for _, _, body in sent] + [b""]
    assert not any(name == "x-after" for answer in found for name, _ in answer.json["headers"])


# --------------------------------------------------------------------------------------------- heads


def long_head(size: int, *more: str) -> bytes:
    """A head of exactly so many bytes, over several headers."""
    room = size - len(head("Content-Length: 0", "Connection: close", *more, "X-0: ", "X-1: "))
    return head(
        "Content-Length: 0", "Connection: close", *more, f"X-0: {'a' * (room // 2)}", f"X-1: {'b' * (room - room // 2)}"
    )


@pytest.mark.parametrize("before", [b"", post(bytes(1000)), post(bytes(20_000))], ids=["first", "second", "after much"])
def test_a_head_may_have_as_many_bytes_as_the_setting_says(server: Listening, before: bytes) -> None:
    for offer in ((), OFFER[1:]):
        whole = before + long_head(HEAD_BYTES, *offer)
        assert len(whole) - len(before) == HEAD_BYTES
        for pieces in ((whole,), (whole[:300], whole[300:9000], whole[9000:])):
            assert answers(server.said(*pieces))[-1].status == 200
        one_more = before + long_head(HEAD_BYTES + 1, *offer)
        for pieces in ((one_more,), (one_more[:300], one_more[300:9000], one_more[9000:])):
            answer = answers(server.said(*pieces))[-1]
            assert (answer.status, answer.code) == (431, "head_too_large")


@pytest.mark.parametrize(
    "endless",
    [b"POST /echo HTTP/1.1\r\nX: " + b"a" * 200_000, b"POST /echo HTTP/1.1\r\n" + b"A: b\r\n" * 50_000],
    ids=["one header", "many"],
)
def test_a_head_without_an_end_is_refused_early(
    server: Listening, endless: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    before = server.told.refused["head_too_large"]
    with server.open() as client:
        client.sendall(endless[: HEAD_BYTES + 2 * STEP])  # and the rest does not come
        answer = only(until_closed(client))
    assert (answer.status, answer.code) == (431, "head_too_large")
    assert (
        only(server.said(endless)).code == "head_too_large"
    )  # the client has more to send, and hears of it all the same
    assert server.told.refused["head_too_large"] == before + 2


def test_headers_are_counted_and_the_url_is_measured(server: Listening) -> None:
    lines = [f"X-{number}: 1" for number in range(MOST_HEADERS - 2)]
    assert only(server.said(head(*lines, "Connection: close", method="GET"))).status == 200
    refused = only(server.said(head(*lines, "X: 1", "Connection: close", method="GET")))
    assert (refused.status, refused.code) == (431, "head_too_large")
    path = "/" + "a" * (MOST_URL_BYTES - 1)
    assert only(server.said(head("Connection: close", path=path, method="GET"))).status == 200
    refused = only(server.said(head("Connection: close", path=path + "a", method="GET")))
    assert (refused.status, refused.code) == (414, "url_too_long")


def test_what_surrounds_a_body_is_bounded_and_small_parts_are_not(server: Listening) -> None:
    chunked = head("Transfer-Encoding: chunked", "Connection: close")
    small = b"".join(b"1\r\n%c\r\n" % (97 + at % 26) for at in range(30_000)) + b"0\r\n\r\n"
    assert len(only(server.said(chunked + small)).json["body"]) == 30_000
    for sent in (
        chunked + b"1;" + b"x" * 100_000 + b"\r\na\r\n0\r\n\r\n",
        chunked + (b"1;" + b"x" * 200 + b"\r\na\r\n") * 1000 + b"0\r\n\r\n",
        chunked + b"1\r\na\r\n0\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        chunked + b"1\r\na\r\n0\r\n" + b"X: y\r\n" * 10_000 + b"\r\n",
        chunked + small[:-5] + b"0\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
    ):
        answer = only(server.said(sent))
        assert (answer.status, answer.code) == (431, "head_too_large")


# ------------------------------------------------------------------------------------------ pipelines


def waiting(server: Listening) -> list[Connection]:
    """The connections of which something is not parsed yet."""
    return [held for held in list(server.register.open) if isinstance(held, Connection) and held._unparsed]


def test_pipelined_requests_wait_unparsed_and_the_client_with_them(server: Listening) -> None:
    server.go_on.clear()
    before = len(server.seen)
    with server.open() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.setblocking(False)
        client.send(post(b"first", path="/wait"))
        many = post(b"x") * 200_000  # 12 MB
        sent, quiet = 0, time.monotonic()
        while time.monotonic() - quiet < 0.5 or not waiting(server):
            try:
                sent += client.send(many[sent : sent + 65_536])
                quiet = time.monotonic()
            except BlockingIOError:
                time.sleep(0.01)
        (connection,) = waiting(server)
        assert len(connection.pipeline) <= STEP // len(post(b"x")) + 2
        assert len(connection._unparsed) < 1_000_000
        assert sent < len(many) - 1_000_000
        server.go_on.set()
        client.setblocking(True)
        client.settimeout(20)
        client.shutdown(socket.SHUT_WR)
        found = answers(until_closed(client))
    assert len(found) == 1 + sent // len(post(b"x"))  # one that was cut off is none
    assert sum("gone" not in seen for seen in server.seen[before:]) == len(found)  # but one that was cut off


def test_a_refusal_comes_after_the_answers_to_what_came_before(server: Listening) -> None:
    server.go_on.clear()
    with server.open() as client:
        client.sendall(post(b"1", path="/wait") + post(b"2") + b"nonsense\r\n\r\n")
        time.sleep(0.1)
        server.go_on.set()
        found = answers(until_closed(client))
    assert [answer.status for answer in found] == [200, 200, 400]
    assert [answer.json.get("body") for answer in found] == ["1", "2", None]


def test_a_body_that_goes_wrong_is_refused_after_the_answers_to_what_came_before(server: Listening) -> None:
    wrong = head("Transfer-Encoding: chunked") + b"1\r\na\r\nzz\r\n"
    alone = only(server.said(wrong))
    assert (alone.status, alone.code) == (400, "not_http")
    server.go_on.clear()
    with server.open() as client:
        client.sendall(post(b"1", path="/wait") + wrong)
        time.sleep(0.1)
        server.go_on.set()
        found = answers(until_closed(client))
    assert [answer.status for answer in found] == [200, 400]


# ---------------------------------------------------------------------------------------------- ends


def test_a_client_that_has_closed_its_half_is_answered(server: Listening) -> None:
    said = server.said(post(b"1") + post(b"2") + post(b"cut off")[:-3], half_closed=True)
    assert [answer.json["body"] for answer in answers(said)] == ["1", "2"]


def test_a_client_reads_its_refusal_however_much_it_has_still_to_send(server: Listening) -> None:
    """An answer with `Connection: close` before the body is there, and a large body behind it."""
    for _ in range(5):
        answer = only(server.said(post(bytes(3_000_000), "Connection: close", path="/early")))
        assert answer.status == 200
        assert answer.json["path"] == "/early"


def test_silence_and_slow_heads_and_bodies_end(server: Listening) -> None:
    closed, refused = server.told.closed.copy(), server.told.refused.copy()
    assert server.said() == b""
    slow = only(server.said(b"POST /echo HTTP/1.1\r\nHost"))
    assert (slow.status, slow.code) == (408, "head_timeout")
    assert server.said(b"\r\n\r\n") == b""
    assert server.said(post(b"not all")[:-2]) == b""
    assert answers(server.said(post(b"x"), head()[:-3]))[-1].code == "head_timeout"
    assert answers(server.said(post(b"not all", path="/early")[:-2]))[0].status == 200
    assert server.told.closed - closed == {"silent": 2, "unfinished": 2}
    assert server.told.refused - refused == {"head_timeout": 2}
    until("all are gone", lambda: not server.register.open)


def test_a_kept_connection_is_not_ended_while_it_is_used(server: Listening) -> None:
    server.go_on.clear()
    with server.open() as client:
        for _ in range(3):
            client.sendall(post(b"x"))
            assert next_answer(client).status == 200
            time.sleep(0.7)  # the head of a new one would be late after 1.0
        client.sendall(post(b"x", path="/wait", last=True))
        time.sleep(2.5)
        server.go_on.set()
        assert only(until_closed(client)).status == 200


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_who_reads_nothing_of_an_answer_is_let_go(loop: str) -> None:
    with listening(Limits(unread_seconds=1.0), loop, large=100_000) as server, server.open() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(post(b"x") * 3)
        until("it is gone", lambda: server.told.closed["unread"] == 1)
        until("nothing is held", lambda: not server.register.open)


# ---------------------------------------------------------------------------------------- connections


def test_beyond_the_bound_connections_are_told_so_and_health_is_answered(
    patient: Listening, caplog: pytest.LogCaptureFixture
) -> None:
    held = [patient.open() for _ in range(patient.register.limits.connections)]
    until("all are there", lambda: len(patient.register.open) == len(held))
    try:
        for offer in ((), OFFER):
            refused = only(patient.said(post(b"x", *offer)))
            assert (refused.status, refused.code) == (503, "too_many_connections")
            assert (refused.headers["retry-after"], refused.headers["connection"]) == ("1", "close")
            health = only(patient.said(head(*offer, path="/readyz?x", method="GET")))
            assert (health.status, health.headers["connection"]) == (200, "close")
        assert only(patient.said(post(bytes(1_000_000)))).code == "too_many_connections"
        assert only(patient.said()).code == "too_many_connections"  # it asks nothing, and is told all the same
        assert "too_many_connections, 127.0.0.1: 20 connections are open already" in caplog.text
        held.pop().close()
        until("there is room", lambda: len(patient.register.open) == len(held))
        assert only(patient.said(post(b"x", last=True))).status == 200
    finally:
        for client in held:
            client.close()


def test_silent_guests_make_room_for_who_asks(patient: Listening) -> None:
    limit = patient.register.limits.connections
    held = [patient.open() for _ in range(limit + 3 * GUESTS)]
    try:
        assert only(patient.said(head(path="/livez", method="GET"))).status == 200
        assert len(patient.register.open) <= limit + GUESTS
        assert only(until_closed(held[limit])).code == "too_many_connections"  # of the guests, the one there longest
    finally:
        for client in held:
            client.close()


def test_a_flood_of_refusals_is_a_few_lines(server: Listening, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(30):
        server.said(b"nonsense\r\n\r\n")
    lines = [record for record in caplog.records if "not_http" in record.getMessage()]
    assert len(lines) <= 1
    assert all(record.levelno == logging.WARNING for record in lines)
