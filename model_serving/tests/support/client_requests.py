"""What HTTP clients send when they ask for three candidates: their bytes, each different request once.

Taken from the wire, from the programs in `clients/`; only the port is another one. requests 2.34, httpx 0.28,
urllib3 2.8, aiohttp 3.14, Python 3.11, Go 1.26, Node 20, JDK 17, OkHttp 5.1, curl 7.88. `make test-clients` has the
clients themselves.
"""

from __future__ import annotations

REQUESTS: dict[str, tuple[bytes, ...]] = {
    "requests": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: python-requests/2.34.2\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"Accept: */*\r\n"
            b"Connection: keep-alive\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: python-requests/2.34.2\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"Accept: */*\r\n"
            b"Connection: keep-alive\r\n"
            b"Content-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"\r\n"
            b"9\r\n"
            b'{"request\r\n'
            b"27\r\n"
            b'_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "httpx": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"Connection: keep-alive\r\n"
            b"User-Agent: python-httpx/0.28.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"Connection: keep-alive\r\n"
            b"User-Agent: python-httpx/0.28.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"\r\n"
            b"9\r\n"
            b'{"request\r\n'
            b"27\r\n"
            b'_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "urllib3": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Content-Length: 48\r\n"
            b"User-Agent: python-urllib3/2.8.0\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"User-Agent: python-urllib3/2.8.0\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b"9\r\n"
            b'{"request\r\n'
            b"27\r\n"
            b'_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "urllib.request": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Content-Length: 48\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: Python-urllib/3.11\r\n"
            b"Content-Type: application/json\r\n"
            b"Connection: close\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: Python-urllib/3.11\r\n"
            b"Content-Type: application/json\r\n"
            b"Connection: close\r\n"
            b"\r\n"
            b"9\r\n"
            b'{"request\r\n'
            b"27\r\n"
            b'_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "http.client": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Content-Length: 48\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Accept-Encoding: identity\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b"9\r\n"
            b'{"request\r\n'
            b"27\r\n"
            b'_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "aiohttp": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"User-Agent: Python/3.11 aiohttp/3.14.5\r\n"
            b"Content-Length: 48\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"User-Agent: Python/3.11 aiohttp/3.14.5\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept: */*\r\n"
            b"Accept-Encoding: gzip, deflate\r\n"
            b"User-Agent: Python/3.11 aiohttp/3.14.5\r\n"
            b"Content-Length: 48\r\n"
            b"Expect: 100-continue\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
    ),
    "Go's net/http": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Content-Length: 48\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept-Encoding: gzip\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\n"
            b"Accept-Encoding: gzip\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: Go-http-client/1.1\r\n"
            b"Content-Length: 48\r\n"
            b"Content-Type: application/json\r\n"
            b"Expect: 100-continue\r\n"
            b"Accept-Encoding: gzip\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
    ),
    "Node's fetch": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"host: 127.0.0.1:8172\r\n"
            b"connection: keep-alive\r\n"
            b"Content-Type: application/json\r\n"
            b"accept: */*\r\n"
            b"accept-language: *\r\n"
            b"sec-fetch-mode: cors\r\n"
            b"user-agent: node\r\n"
            b"accept-encoding: gzip, deflate\r\n"
            b"content-length: 48\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"host: 127.0.0.1:8172\r\n"
            b"connection: keep-alive\r\n"
            b"Content-Type: application/json\r\n"
            b"accept: */*\r\n"
            b"accept-language: *\r\n"
            b"sec-fetch-mode: cors\r\n"
            b"user-agent: node\r\n"
            b"accept-encoding: gzip, deflate\r\n"
            b"transfer-encoding: chunked\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "Node's http": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Connection: keep-alive\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Connection: keep-alive\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"\r\n"
            b"5\r\n"
            b'{"req\r\n'
            b"2b\r\n"
            b'uest_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"Expect: 100-continue\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Connection: keep-alive\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
    ),
    "the JDK's client": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Content-Length: 48\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
            b"Upgrade: h2c\r\n"
            b"User-Agent: Java-http-client/17.0.15\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
            b"Transfer-encoding: chunked\r\n"
            b"Upgrade: h2c\r\n"
            b"User-Agent: Java-http-client/17.0.15\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "the JDK's client, told HTTP/1.1": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Content-Length: 48\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: Java-http-client/17.0.15\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Transfer-encoding: chunked\r\n"
            b"User-Agent: Java-http-client/17.0.15\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "the JDK's client, with expectContinue": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Content-Length: 48\r\n"
            b"Expect: 100-Continue\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
            b"Upgrade: h2c\r\n"
            b"User-Agent: Java-http-client/17.0.15\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Expect: 100-Continue\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"HTTP2-Settings: AAEAAEAAAAIAAAAAAAMAAAAAAAQBAAAAAAUAAEAAAAYABgAA\r\n"
            b"Transfer-encoding: chunked\r\n"
            b"Upgrade: h2c\r\n"
            b"User-Agent: Java-http-client/17.0.15\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "curl": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: curl/7.88.1\r\n"
            b"Accept: */*\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
    ),
    "curl --http2": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: curl/7.88.1\r\n"
            b"Accept: */*\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
    ),
    "curl --http2, in chunks": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: curl/7.88.1\r\n"
            b"Accept: */*\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
            b"Transfer-Encoding:chunked\r\n"
            b"Content-Type: application/json\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
    "curl --http2, with Expect": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"User-Agent: curl/7.88.1\r\n"
            b"Accept: */*\r\n"
            b"Connection: Upgrade, HTTP2-Settings\r\n"
            b"Upgrade: h2c\r\n"
            b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
            b"Expect:100-continue\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
    ),
    "OkHttp": (
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Content-Length: 48\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Connection: Keep-Alive\r\n"
            b"Accept-Encoding: gzip\r\n"
            b"User-Agent: okhttp/5.1.0\r\n"
            b"\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}'
        ),
        (
            b"POST /inference HTTP/1.1\r\n"
            b"Content-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"Host: 127.0.0.1:8172\r\n"
            b"Connection: Keep-Alive\r\n"
            b"Accept-Encoding: gzip\r\n"
            b"User-Agent: okhttp/5.1.0\r\n"
            b"\r\n"
            b"30\r\n"
            b'{"request_id":"r","driver_ids":[1001,1002,1003]}\r\n'
            b"0\r\n"
            b"\r\n"
        ),
    ),
}
