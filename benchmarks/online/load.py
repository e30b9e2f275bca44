"""What came of a load, whoever made it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Load:
    """One run of a load generator against one service.

    Attributes:
        requests: answered, well or not.
        seconds: that the run took.
        errors: no answer, or another status than 2xx.
        p50, p99, p999, longest: seconds a request took.
        generator_share: processor time of the load generator by the run's length; 1 is a whole core.
        service_share, redis_share: the same of the service's processes, and of Redis.
        others_share: the same of everything else on the machine: where it is not next to nothing, measure again.
        server_bytes: resident memory of the service's processes at most so far.
        late: seconds by which an open loop sent its requests too late, at the 99.9th percentile; in the times above.
    """

    requests: int
    seconds: float
    errors: int
    p50: float
    p99: float
    p999: float
    longest: float
    generator_share: float = 0.0
    service_share: float = 0.0
    redis_share: float = 0.0
    others_share: float = 0.0
    server_bytes: int = 0
    late: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return (self.requests - self.errors) / self.seconds
