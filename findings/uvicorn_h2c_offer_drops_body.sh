#!/usr/bin/env bash
# A good guess: a server that does not speak HTTP/2 in clear text ignores `Upgrade: h2c` and answers the request in
#   HTTP/1.1, as RFC 9110 (7.8) lets it, so the JDK's HTTP client, which offers it as it comes, just works.
# True: uvicorn over httptools, its default where httptools is installed, answers, but the application gets an empty body:
#   the parser takes what follows such a head for the other protocol, and uvicorn drops it with a warning. Over h11 the same
#   request has its body.
# Source: encode/uvicorn, issue 2722; uvicorn/protocols/http/httptools_impl.py, data_received: HttpParserUpgrade. 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check uvicorn==0.54.0 httptools==0.9.0 h11==0.16.0
"$folder/venv/bin/python" - <<'PYTHON'
import logging, socket, sys, threading, time
import uvicorn

OFFER = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"


async def app(scope, receive, send):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    said = b"the application got %d bytes" % len(body)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(said))]})
    await send({"type": "http.response.body", "body": said})


def asked(implementation, offer):
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=implementation, lifespan="off", log_level="critical"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    with socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=10) as client:
        client.sendall(f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n{offer}\r\nhello".encode())
        said = b""
        while b"bytes" not in said:
            said += client.recv(4096)
    server.should_exit = True
    thread.join()
    return said.rpartition(b"\r\n\r\n")[2].decode()


print("uvicorn", uvicorn.__version__, "- POST with a body of 5 bytes")
seen = {(name, bool(offer)): asked(name, offer) for name in ("httptools", "h11") for offer in ("", OFFER)}
for (name, offered), said in seen.items():
    print(f"{name:9} {'with an offer of h2c' if offered else 'as it is':20} {said}")
right, wrong = "the application got 5 bytes", "the application got 0 bytes"
expected = {("httptools", False): right, ("httptools", True): wrong, ("h11", False): right, ("h11", True): right}
sys.exit(seen != expected)
PYTHON
