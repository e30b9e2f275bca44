"""The open loop: requests at a constant rate, whatever becomes of those before, each timed from when it was due.

`python -m benchmarks.online.arrivals PORT BODIES RATE SECONDS` prints one line of JSON, times in seconds. One thread,
no collector of garbage, only the standard library: of the general load generators that were tried,
none is punctual on the same two cores as the service, see decision 26.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time
from array import array
from collections import deque
from pathlib import Path

CONNECTIONS = 64  # at most; a request that is due while all of them are busy waits, and its waiting counts
END_OF_HEAD = b"\r\n\r\n"
GIVE_UP_SECONDS = 30.0
NANO = 1_000_000_000


class Connection:
    """Kept alive; one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0
        self._got = b""

    def send(self, request: bytes, due: int) -> None:
        """Ask; `due` is the moment from which the answer is timed."""
        self.due, self._got = due, b""
        self.socket.sendall(request)

    def answered(self) -> bool | None:
        """Whether the answer is a good one; None if there is more to come.

        Raises:
            ConnectionError: the service has closed it.
        """
        part = self.socket.recv(65_536)
        if not part:
            raise ConnectionResetError
        self._got += part
        return good(self._got)


def good(content: bytes) -> bool | None:
    """Whether a whole answer has status 200; None for part of one.

    Raises:
        ValueError: it does not say how long it is.
    """
    head, found, body = content.partition(END_OF_HEAD)
    if not found:
        return None
    _, named, rest = head.lower().partition(b"\r\ncontent-length:")
    if not named:
        raise ValueError(f"an answer without a length: {head[:80]!r}")
    if len(body) < int(rest.partition(b"\r\n")[0]):
        return None
    return content[9:12] == b"200"


class Arrivals:
    """One run.

    Attributes:
        times: ns from due to answered.
        late: ns from due to sent, of those that did not have to wait for a connection: the fault of the generator.
    """

    def __init__(self, port: int, requests: list[bytes], rate: float, seconds: float) -> None:
        self._port, self._requests = port, requests
        self._step, self._total = NANO / rate, round(rate * seconds)
        self.times, self.late, self.errors = array("q"), array("q"), 0
        self._free: deque[Connection] = deque(Connection(port) for _ in range(CONNECTIONS))
        self._busy: dict[socket.socket, Connection] = {}

    def run(self) -> None:
        """Send all, and wait for the answers."""
        begin, sent, waited = time.perf_counter_ns(), 0, False
        while sent < self._total or self._busy:
            now = time.perf_counter_ns()
            due = begin + round(sent * self._step)
            while sent < self._total and due <= now and self._free:
                self._send(sent, due, now, waited=waited)
                sent, now, waited = sent + 1, time.perf_counter_ns(), False
                due = begin + round(sent * self._step)
            waited = waited or (due <= now and sent < self._total)  # it is due, and no connection is free
            if not self._collect(None if waited or sent == self._total else max(due - now, 0) / NANO):
                return

    def _send(self, number: int, due: int, now: int, *, waited: bool) -> None:
        if not waited:
            self.late.append(now - due)
        connection = self._free.popleft()
        connection.send(self._requests[number % len(self._requests)], due)
        self._busy[connection.socket] = connection

    def _collect(self, seconds: float | None) -> bool:
        """Take what has come; false once nobody answers any more."""
        ready, _, _ = select.select(list(self._busy), (), (), GIVE_UP_SECONDS if seconds is None else seconds)
        if not ready and seconds is None:
            self.errors += len(self._busy)
            return False
        for each in ready:
            self._take(each)
        return True

    def _take(self, ready: socket.socket) -> None:
        connection = self._busy[ready]
        try:
            fine = connection.answered()
        except OSError:
            fine = False
            del self._busy[ready]
            ready.close()
            self._free.append(Connection(self._port))
        else:
            if fine is None:
                return
            del self._busy[ready]
            self._free.append(connection)
        self.times.append(time.perf_counter_ns() - connection.due)
        self.errors += not fine


def told(run: Arrivals, seconds: float) -> dict[str, float]:
    """What came of it."""
    times, late = sorted(run.times), sorted(run.late)
    shares = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "longest": 1.0}
    return {
        "requests": len(times),
        "seconds": seconds,
        "errors": run.errors,
        **{name: quantile(times, share) / NANO for name, share in shares.items()},
        "late_p999": quantile(late, 0.999) / NANO,
        "processor_seconds": time.process_time(),
    }


def quantile(ordered: list[int], share: float) -> int:
    """The least value that so large a share of all does not exceed; 0 of none."""
    return ordered[max(-int(-share * len(ordered) // 1) - 1, 0)] if ordered else 0


def as_request(port: int, body: bytes) -> bytes:
    """POST /inference."""
    head = f"POST /inference HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


def main(port: int, bodies: Path, rate: float, seconds: float) -> None:
    """Run, and print."""
    requests = [as_request(port, body) for body in bodies.read_bytes().splitlines()]
    run = Arrivals(port, requests, rate, seconds)
    gc.disable()
    begin = time.perf_counter()
    run.run()
    sys.stdout.write(json.dumps(told(run, time.perf_counter() - begin)) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
