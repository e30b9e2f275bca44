"""Reading bodies, of which neither one nor all that are under way may fill the memory."""

from __future__ import annotations

from starlette.types import Receive

from model_serving.online.http.timeouts import within
from model_serving.online.inference.refusals import RETRY_AFTER, Refusal

BODY_SECONDS = 10.0
SMALL_BYTES = 65_536  # the server holds as much of every connection before anybody asks for it
LARGE_AT_ONCE = 64


class ClientGone(Exception):
    """Nobody is there to read an answer."""


class Bodies:
    """Reads bodies of up to `limit` bytes, and remembers what it holds of those that are not yet complete.

    Args:
        limit: bytes of one body. What all hold beyond the first `SMALL_BYTES` of each is bounded by `LARGE_AT_ONCE`
            times that.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    async def read(self, receive: Receive, declared: int) -> bytes:
        """One body.

        Args:
            declared: the length that the headers tell; 0 where they don't.

        Raises:
            Refusal: `body_too_large`, `body_timeout`, or `overloaded`.
            ClientGone: it will never be complete.
        """
        if declared > self._limit:
            raise self._too_large()
        try:
            return await within(BODY_SECONDS, self._received(receive))
        except TimeoutError:
            raise Refusal("body_timeout", f"the body did not arrive within {BODY_SECONDS:g} s") from None

    async def _received(self, receive: Receive) -> bytes:
        part, more = await self._part(receive, 0)
        return await self._joined(receive, part) if more else part

    async def _joined(self, receive: Receive, part: bytes) -> bytes:
        """The body that begins with `part`, which is not its last."""
        body, counted, more = bytearray(), SMALL_BYTES, True
        try:
            while more:
                body += part
                if len(body) > counted:
                    self.held += len(body) - counted
                    counted = len(body)
                    if self.held > LARGE_AT_ONCE * self._limit:
                        raise Refusal("overloaded", "too many large bodies are under way", retry_after=RETRY_AFTER)
                part, more = await self._part(receive, len(body))
            return bytes(body + part)
        finally:
            self.held -= counted - SMALL_BYTES

    async def _part(self, receive: Receive, before: int) -> tuple[bytes, bool]:
        """What has come of a body of which there are `before` bytes, and whether there is more to come."""
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part: bytes = message.get("body", b"")
        if before + len(part) > self._limit:
            raise self._too_large()
        return part, message.get("more_body", False)

    def _too_large(self) -> Refusal:
        return Refusal("body_too_large", f"the body has more than {self._limit} bytes")
