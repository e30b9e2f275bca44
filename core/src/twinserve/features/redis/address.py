"""Where a Redis is and how one introduces oneself to it, by the rules of redis-py's URLs."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection, parse_url
from redis.exceptions import RedisError

from twinserve.errors import BadInput

NAME = b"twinserve-online"


@dataclass(frozen=True)
class RedisAddress:
    """A server, and the user to be there. Its text has no password.

    Attributes:
        path: of a Unix socket; with it, host and port say nothing.
        tls: an `ssl.SSLContext`; None for none.
    """

    host: str
    port: int
    path: str
    tls: Any
    username: str | None
    password: str | None
    database: int

    def __str__(self) -> str:
        return self.path or f"{self.host}:{self.port}"

    def at(self, host: str, port: int) -> RedisAddress:
        """The same for another node of a cluster."""
        return replace(self, host=host, port=port, path="")

    async def connect(self, loop: asyncio.AbstractEventLoop, protocol: asyncio.Protocol) -> None:
        """Open a connection.

        Raises:
            OSError: nobody there, or no trust.
        """
        if self.path:
            await loop.create_unix_connection(lambda: protocol, self.path)
        else:
            await loop.create_connection(lambda: protocol, self.host, self.port, ssl=self.tls)

    def greetings(self) -> list[bytes]:
        """Commands that begin a connection; the last one may be refused."""
        words: list[list[bytes]] = []
        if self.password is not None or self.username is not None:
            user = [self.username.encode()] if self.username else []
            words.append([b"AUTH", *user, (self.password or "").encode()])
        if self.database:
            words.append([b"SELECT", b"%d" % self.database])
        words.append([b"CLIENT", b"SETNAME", NAME])
        return [command(*each) for each in words]


def command(*words: bytes) -> bytes:
    """A command as Redis's protocol has it."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def redis_address(url: str) -> RedisAddress:
    """What a `redis://`, `rediss://` or `unix://` URL says.

    Raises:
        BadInput: no such URL, or an option that redis-py does not know. The message does not repeat the URL.
    """
    try:
        options: dict[str, Any] = dict(parse_url(url))
        kind = options.pop("connection_class", Connection)
        connection = kind(**options)  # not opened: it checks the options, and makes the context for TLS
        tls = connection.ssl_context.get() if isinstance(connection, SSLConnection) else None
        path = connection.path if isinstance(connection, UnixDomainSocketConnection) else ""
        host = "" if path else connection.host
        host.encode("idna")  # as asyncio does with it
    except UnicodeError:
        raise BadInput("TWINSERVE_REDIS_URL can't be used: no host has such a name", fix="Correct it") from None
    except (ValueError, TypeError, OSError, RedisError) as error:
        raise BadInput(f"TWINSERVE_REDIS_URL can't be used: {error}", fix="Correct it") from None
    return RedisAddress(
        host=host,
        port=0 if path else int(connection.port),
        path=path,
        tls=tls,
        username=connection.username,
        password=connection.password,
        database=int(connection.db),
    )
