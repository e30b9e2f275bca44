"""Hashes read from a Redis Cluster: each command goes to the node that has its slot, all nodes at the same time.

The table of slots is asked for when it is first needed, and again when a node says that a slot has moved, or does not
answer. Source: the Redis Cluster specification (`MOVED`, `ASK`, `CLUSTER SLOTS`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import hiredis
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot

from twinserve.errors import TransientError, TwinserveError
from twinserve.features.online_store.feature_reader import SomeKeysUnavailable
from twinserve.features.online_store.read_plan import HashPlan
from twinserve.features.online_store.redis_link import RedisLink
from twinserve.features.redis.address import RedisAddress, command
from twinserve.features.redis.errors import concerns_one_key, read_refused

Node = tuple[str, int]
# seconds before a command is sent on once more; a slot on the move comes to rest within milliseconds
PAUSES = (0.0, 0.0, 0.005, 0.01, 0.02, 0.04, 0.08)
REFRESH_SECONDS = 1.0  # a table is not asked for more often than that, unless nobody has one
_ASKING = command(b"ASKING")
_SLOTS = command(b"CLUSTER", b"SLOTS")


class ClusterLink:
    """All nodes of one cluster, known from any one of them.

    Args:
        address: of a node; the user and the TLS options are those of all.
        connections: to each node.
        seconds: how long connecting, or asking for the table, may take.
    """

    def __init__(self, address: RedisAddress, *, connections: int, seconds: float) -> None:
        self._address = address.at(address.host, address.port)
        self._connections, self._seconds = connections, seconds
        self._links: dict[Node, RedisLink] = {}
        self._slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed = float("-inf")
        self._why = "no answer in time"
        self._closed = False

    async def fetch(self, wanted: list[tuple[HashPlan, Any]], deadline: float) -> list[Any]:
        """As `twinserve.features.online_store.redis_reader.HashSource.fetch`."""
        commands = [each for plan, keys in wanted for each in plan.commands(keys)]
        replies: list[Any] = [None] * len(commands)
        try:
            refused = await self._fill(replies, commands, deadline)
        except TransientError as error:
            raise _of_some(error, replies) from None
        if refused:
            titles = [plan.title for plan, keys in wanted for _ in keys]
            raise _of_some(read_refused([(replies[place], titles[place]) for place in refused]), replies)
        return replies

    async def _fill(self, replies: list[Any], commands: list[tuple[bytes, bytes]], deadline: float) -> list[int]:
        """Put the reply to each command in its place; the places of those that are refused, which end the read."""
        slots = [key_slot(name) for name, _ in commands]
        waiting, failed = list(range(len(commands))), None
        for pause in PAUSES:
            await self._know_slots(deadline)
            asked = await self._ask_nodes(commands, slots, waiting, deadline)
            replies_now, failed = asked
            for place, reply in replies_now.items():
                replies[place] = reply
            again, refused = await self._follow(commands, slots, replies_now, replies, deadline)
            waiting = sorted([*again, *(place for place in waiting if place not in replies_now)])
            if refused or not waiting:
                return refused
            if failed is not None:
                await self._refresh(deadline)
            elif pause:
                await asyncio.sleep(pause)
        raise failed or TransientError("the Redis Cluster moves the same keys again and again", fix="Try again")

    async def close(self) -> None:
        """As `twinserve.features.online_store.redis_reader.HashSource.close`."""
        self._closed = True
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait({self._refreshing})
        for link in self._links.values():
            await link.close()
        self._links.clear()

    async def _ask_nodes(
        self, commands: list[tuple[bytes, bytes]], slots: list[int], places: list[int], deadline: float
    ) -> tuple[dict[int, Any], TransientError | None]:
        """The replies to these commands by their place, without those of nodes that don't answer; and why not."""
        by_node: dict[Node | None, list[int]] = {}
        for place in places:
            by_node.setdefault(self._slots[slots[place]], []).append(place)
        homeless = by_node.pop(None, [])
        failed = (
            TransientError("the Redis Cluster has no node for some slots", fix="Look into it") if homeless else None
        )
        requests = [
            self._link(node).ask(b"".join(commands[place][1] for place in group), len(group), deadline)
            for node, group in by_node.items()
            if node is not None
        ]
        found: dict[int, Any] = {}
        for group, outcome in zip(
            by_node.values(), await asyncio.gather(*requests, return_exceptions=True), strict=True
        ):
            if isinstance(outcome, TransientError):
                failed = outcome
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                found.update(zip(group, outcome.replies, strict=True))
        return found, failed

    async def _follow(
        self,
        commands: list[tuple[bytes, bytes]],
        slots: list[int],
        found: dict[int, Any],
        replies: list[Any],
        deadline: float,
    ) -> tuple[list[int], list[int]]:
        """Act on what nodes said instead of a reply; the places to be asked again, and those of any other error."""
        again: list[int] = []
        refused: list[int] = []
        for place, reply in found.items():
            if not isinstance(reply, hiredis.ReplyError):
                continue
            kind, _, rest = str(reply).partition(" ")
            if kind == "MOVED":
                self._slots[slots[place]] = self._target(rest)
                self._refresh_soon()
                again.append(place)
            elif kind == "ASK":
                ask = await self._link(self._target(rest)).ask(_ASKING + commands[place][1], 2, deadline)
                replies[place] = ask.replies[1]
                if isinstance(ask.replies[1], hiredis.ReplyError):  # its own, or it has moved on meanwhile
                    (refused if concerns_one_key(ask.replies[1]) else again).append(place)
            else:
                self._refresh_soon()
                refused.append(place)
        return again, refused

    def _target(self, rest: str) -> Node:
        host, _, port = rest.split(" ")[1].rpartition(":")
        return host or self._address.host, int(port)

    def _link(self, node: Node) -> RedisLink:
        link = self._links.get(node)
        if link is None:
            if self._closed:
                raise TransientError("the reader is closed", fix="Try again")
            link = RedisLink(self._address.at(*node), connections=self._connections, seconds=self._seconds)
            self._links[node] = link
        return link

    async def _know_slots(self, deadline: float) -> None:
        if self._refreshed == float("-inf"):
            await self._refresh(deadline)
            if self._refreshed == float("-inf"):
                raise TransientError(
                    f"no node of the Redis Cluster at {self._address} gives its slots: {self._why}", fix="Try again"
                )

    async def _refresh(self, deadline: float) -> None:
        self._refresh_soon()
        if self._refreshing is not None:
            await asyncio.wait({self._refreshing}, timeout=deadline - asyncio.get_running_loop().time())

    def _refresh_soon(self) -> None:
        loop = asyncio.get_running_loop()
        if self._refreshing is None and not self._closed and loop.time() - self._refreshed >= REFRESH_SECONDS:
            self._refreshing = loop.create_task(self._ask_for_slots())

    async def _ask_for_slots(self) -> None:
        """Take the table of the first node that gives one; without any, the old one stays."""
        try:
            for node in [*self._links, (self._address.host, self._address.port)]:
                deadline = asyncio.get_running_loop().time() + self._seconds
                try:
                    ask = await self._link(node).ask(_SLOTS, 1, deadline)
                except TransientError as error:
                    self._why = error.what
                    continue
                if not ask.refused and ask.replies[0]:
                    await self._take(node, ask.replies[0])
                    return
                self._why = str(ask.replies[0] or "it has none")
        finally:
            self._refreshing = None

    async def _take(self, asked: Node, table: Iterable[Any]) -> None:
        slots: list[Node | None] = [None] * REDIS_CLUSTER_HASH_SLOTS
        for first, last, (host, port, *_), *_ in table:
            node = (host.decode() if host not in (None, b"", b"?") else asked[0], int(port))
            slots[first : last + 1] = [node] * (last + 1 - first)
        self._slots, self._refreshed = slots, asyncio.get_running_loop().time()
        for node in self._links.keys() - set(slots):
            await self._links.pop(node).close()


def _of_some(error: TwinserveError, replies: list[Any]) -> TwinserveError:
    """The same error, said to be of some keys where others have been answered."""
    answered = any(isinstance(reply, list) for reply in replies)
    return SomeKeysUnavailable(error.what, fix=error.fix) if answered and isinstance(error, TransientError) else error
