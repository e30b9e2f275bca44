"""The features that a Redis holds, as one number: every key, every field, every byte."""

from __future__ import annotations

import hashlib
from typing import Any

from benchmarks.job import Facts, Job, Measured

OWN_NOTES = b"twinserve:"  # what our engine remembers of the files it has read; no reader of features looks there
PAGE = 5_000


def ready(job: Job) -> Measured:
    """Reads `redis_url`."""

    def measured() -> Facts:
        import redis

        with redis.Redis.from_url(job.inputs["redis_url"]) as client:
            return digest(client)

    return measured


def digest(client: Any) -> dict[str, Any]:
    """Number of keys, and the sum of their hashes, whatever their order."""
    keys, total, cursor = 0, 0, 0
    while True:
        cursor, names = client.scan(cursor, count=PAGE)
        held = [name for name in names if not name.startswith(OWN_NOTES)]
        pipe = client.pipeline(transaction=False)
        for name in held:
            pipe.hgetall(name)
        for name, fields in zip(held, pipe.execute(), strict=True):
            total += _hash(name, fields)
        keys += len(held)
        if cursor == 0:
            return {"rows": keys, "content": f"{total % (1 << 256):064x}"}


def _hash(name: bytes, fields: dict[bytes, bytes]) -> int:
    parts = [name, *(part for field in sorted(fields) for part in (field, fields[field]))]
    whole = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    return int.from_bytes(hashlib.sha256(whole).digest(), "big")
