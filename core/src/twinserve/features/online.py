"""The online reader of a contract, whatever the online store."""

from __future__ import annotations

from contextlib import suppress

from twinserve.contract import Contract
from twinserve.errors import TransientError
from twinserve.features.feast_repo.online_store_kind import way_to_read
from twinserve.features.feast_repo.store import store_config
from twinserve.features.online_store.feature_reader import FeatureReader, OnlineRows
from twinserve.features.online_store.read_plan import Keys
from twinserve.features.online_store.redis_cluster import ClusterLink
from twinserve.features.online_store.redis_link import RedisLink
from twinserve.features.online_store.redis_reader import RedisReader
from twinserve.features.redis.address import redis_address
from twinserve.settings import Settings

__all__ = ["FeatureReader", "Keys", "OnlineRows", "open_reader"]
CONNECTIONS = 2  # Redis answers one command at a time; a second connection is for what a large reply would hold up


def open_reader(
    contract: Contract,
    settings: Settings,
    redis_url: str,
    *,
    seconds: float,
    cluster: bool | None = None,
    connections: int = CONNECTIONS,
) -> FeatureReader:
    """A reader of the online store that `feature_store.yaml` names.

    It connects when it is first asked; but where Feast's own store does the reading, that is opened here, in seconds.

    Args:
        redis_url: the Redis to use, where that store is Redis; of a cluster, any node.
        seconds: how long a read may take, all attempts together.
        cluster: whether that Redis is a cluster; None: as `redis_type` in `feature_store.yaml` says.
        connections: to each Redis server, shared by all reads.

    Raises:
        BadInput: no such Redis URL, no valid `feature_store.yaml`.
        PermanentError: the contract can't be read.
        TwinserveError: Feast's store can't be opened for a reason that does not pass.
    """
    way = way_to_read(store_config(settings, redis_url))
    if way == "feast" and cluster is None:
        return _feast_reader(contract, settings, redis_url, seconds)
    link_of = ClusterLink if (way == "redis_cluster" if cluster is None else cluster) else RedisLink
    link = link_of(redis_address(redis_url), connections=connections, seconds=seconds)
    return RedisReader(contract, link, seconds)


def _feast_reader(contract: Contract, settings: Settings, redis_url: str, seconds: float) -> FeatureReader:
    from twinserve.features.feast_repo.store import open_store
    from twinserve.features.online_store.feast_reader import FeastReader

    reader = FeastReader(contract, lambda: open_store(settings, redis_url), seconds)
    with suppress(TransientError):  # reads try again
        reader.open()
    return reader
