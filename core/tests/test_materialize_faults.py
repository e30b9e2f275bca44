"""Materialize when things go wrong: kills, Ctrl-C, a Redis that stops or is full, full disks, damaged files, rivals."""

from __future__ import annotations

import _thread
import itertools
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from google.protobuf.timestamp_pb2 import Timestamp
from small_disk import on_small_disk

from twinserve.embedded.redis import leased_redis
from twinserve.errors import BadInput, TransientError
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.features.materialization.materialize import ViewResult, materialize
from twinserve.features.redis.layout import event_time_field, feature_field, redis_key
from twinserve.settings import Settings, child_environment

DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureView, Field, ValueType
from feast.types import Float64, Int64, String
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], ttl={ttl}, source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float64),
            Field(name="label", dtype=String)],
)
"""
pytestmark = pytest.mark.integration
KEYS = 60_000
NOTE = "twinserve:materializing:shop:sales"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
Repo = Callable[..., Path]
RUN = """\
import sys
from twinserve.features.materialization.materialize import materialize
from twinserve.settings import load_settings
print("ready", flush=True)
sys.stdin.readline()
materialize(load_settings(), sys.argv[1])
"""


def write_day(settings: Settings, days_ago: int, keys: Any, revenue: Any = None) -> Path:
    """One day file; `revenue` is the key's number unless given."""
    ids = np.asarray(keys, dtype=np.int64)
    day = TODAY - timedelta(days=days_ago)
    moment = pa.array([day] * len(ids), pa.timestamp("us", tz="UTC"))
    amounts = pa.array(ids.astype(float) if revenue is None else revenue)
    labels = pa.array([f"label {number % 977}" for number in ids])
    table = pa.table(
        {"store_id": ids, "revenue": amounts, "label": labels, "event_timestamp": moment, "created": moment}
    )
    target = settings.offline_store / "sales" / f"day={day:%Y-%m-%d}" / "part-0.parquet"
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target)
    return target


@pytest.fixture
def world(settings: Settings, feature_repo: Repo, redis_url: str) -> str:
    """The definitions applied, two days of `KEYS` rows; gives the Redis."""
    feature_repo()
    apply_definitions(settings, redis_url)
    write_day(settings, 2, range(KEYS))
    write_day(settings, 1, range(0, KEYS, 2), np.full(KEYS // 2, -1.0))
    return redis_url


def contents(url: str) -> dict[bytes, dict[bytes, bytes]]:
    """Every hash of features."""
    with redis.Redis.from_url(url) as client:
        names = [name for name in client.scan_iter(count=5_000) if not name.startswith(b"twinserve:")]
        with client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.hgetall(name)
            return dict(zip(names, pipe.execute(), strict=True))


def undisturbed(settings: Settings, url: str) -> dict[bytes, dict[bytes, bytes]]:
    """What a run leaves that nothing happens to."""
    with redis.Redis.from_url(url) as client:
        client.flushall()
    shutil.rmtree(settings.home / "materialize", ignore_errors=True)
    run(settings, url)
    return contents(url)


def run(settings: Settings, url: str) -> ViewResult:
    (result,) = materialize(settings, url, lookback=timedelta(0))
    return result


def noted(client: Any) -> int:
    """Rows that Redis says it has been given by the run that is on."""
    return int((client.get(NOTE) or b"x 0").split()[1])


def await_rows(url: str, rows: int, alive: Callable[[], bool]) -> None:
    with redis.Redis.from_url(url) as client:
        while alive() and noted(client) < rows:
            time.sleep(0.0005)


@contextmanager
def child(settings: Settings, url: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is about to materialize, and starts when its standard input closes."""
    command = [sys.executable, "-c", RUN, url]
    with subprocess.Popen(
        command, env=child_environment(settings), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()
        process.wait()


def test_a_killed_run_is_finished_by_the_next(settings: Settings, world: str) -> None:
    expected = undisturbed(settings, world)
    with redis.Redis.from_url(world) as client:
        client.flushall()
    staging = settings.home / "materialize"
    with child(settings, world) as process:
        process.stdin.close()  # type: ignore[union-attr]
        while process.poll() is None and not list(staging.glob(".*.tmp")):
            time.sleep(0.0005)
    with child(settings, world) as process:
        process.stdin.close()  # type: ignore[union-attr]
        await_rows(world, random.randrange(1, KEYS // 2), lambda: process.poll() is None)
    with redis.Redis.from_url(world) as client:
        before = noted(client)
    assert 0 < before < KEYS
    result = run(settings, world)
    assert result.resumed >= before
    assert result.keys == result.written == KEYS - result.resumed, "no row is written twice, none is left out"
    assert contents(world) == expected
    assert {path.suffix for path in staging.iterdir()} <= {".lock", ".spill"}, "nothing is left behind"
    with redis.Redis.from_url(world) as client:
        assert client.get(NOTE) is None


def test_ctrl_c_loses_nothing(settings: Settings, world: str) -> None:
    expected = undisturbed(settings, world)
    with redis.Redis.from_url(world) as client:
        client.flushall()
    ended = threading.Event()

    def interrupt() -> None:
        await_rows(world, random.randrange(1, KEYS // 2), lambda: not ended.is_set())
        _thread.interrupt_main()

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        run(settings, world)
        ended.set()
        time.sleep(5)
    time.sleep(0.3)  # Redis still reads what was on its way
    result = run(settings, world)
    assert 0 < result.resumed < KEYS
    assert contents(world) == expected


def test_another_redis_is_given_everything(settings: Settings, world: str) -> None:
    expected = undisturbed(settings, world)
    with redis.Redis.from_url(world) as client:
        client.flushall()
    with child(settings, world) as process:
        process.stdin.close()  # type: ignore[union-attr]
        await_rows(world, 1, lambda: process.poll() is None)
    with redis.Redis.from_url(world) as client:
        client.flushall()
    result = run(settings, world)
    assert (result.resumed, result.keys, result.written) == (0, KEYS, KEYS)
    assert contents(world) == expected


def test_rows_staged_for_another_definition_are_dropped(
    settings: Settings, world: str, feature_repo: Repo, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("twinserve.features.materialization.view_write.write_rows", stopped)
        with pytest.raises(KeyboardInterrupt):
            run(settings, world)
        assert len(list((settings.home / "materialize").glob("*.parquet"))) == 1
    assert contents(world) == {}
    feature_repo(definitions=DEFINITIONS.replace("dtype=Float64", "dtype=Int64"))
    apply_definitions(settings, world)
    result = run(settings, world)
    assert (result.resumed, result.written) == (0, KEYS)
    answer = open_store(settings, world).get_online_features(["sales:revenue"], [{"store_id": 1}]).to_dict()
    assert answer["revenue"] == [1]


def stopped(*_: Any) -> int:
    raise KeyboardInterrupt


def test_a_redis_that_stops_is_transient_and_filled_when_it_is_back(
    settings: Settings, world: str, tmp_path: Path
) -> None:
    expected = undisturbed(settings, world)
    home = settings.model_copy(update={"home": tmp_path / "own"})
    with leased_redis(home) as url:
        threading.Thread(target=shut_down, args=(url,)).start()
        with pytest.raises(TransientError, match="Redis does not answer"):
            run(settings, url)
    with leased_redis(home) as url:
        result = run(settings, url)
        assert result.resumed > 0
        assert result.keys == KEYS - result.resumed
        assert contents(url) == expected


def shut_down(url: str) -> None:
    await_rows(url, KEYS // 4, lambda: True)
    with redis.Redis.from_url(url) as client, suppress(redis.ConnectionError):
        client.execute_command("SHUTDOWN", "NOSAVE")


def test_a_full_redis_says_so_and_goes_on_when_it_has_room(settings: Settings, world: str) -> None:
    expected = undisturbed(settings, world)
    with redis.Redis.from_url(world) as client:
        client.flushall()
        client.config_set("maxmemory", int(client.info("memory")["used_memory"]) + 3_000_000)
        try:
            with pytest.raises(TransientError, match=r"Redis is full.*maxmemory"):
                run(settings, world)
            assert 0 < noted(client) < KEYS
        finally:
            client.config_set("maxmemory", 0)
    assert run(settings, world).resumed > 0
    assert contents(world) == expected


def test_a_redis_that_is_flushed_meanwhile_is_filled_from_the_start(settings: Settings, world: str) -> None:
    expected = undisturbed(settings, world)
    threading.Thread(target=flush, args=(world,)).start()
    with redis.Redis.from_url(world) as client:
        client.flushall()
    with pytest.raises(TransientError, match="flushed meanwhile"):
        run(settings, world)
    assert run(settings, world).resumed == 0
    assert contents(world) == expected


def flush(url: str) -> None:
    await_rows(url, KEYS // 4, lambda: True)
    with redis.Redis.from_url(url) as client:
        client.flushall()


def test_a_user_who_may_not_write_is_told_what_to_allow(settings: Settings, world: str) -> None:
    with redis.Redis.from_url(world) as client:
        client.acl_setuser("reader", enabled=True, passwords=["+pw"], categories=["+@read"], keys=["*"])
        try:
            with pytest.raises(BadInput, match=r"Redis refuses.*EVAL"):
                run(settings, world.replace("redis://", "redis://reader:pw@"))
        finally:
            client.acl_deluser("reader")


def test_a_full_disk_is_transient_and_leaves_nothing(settings: Settings, world: str) -> None:
    command = [sys.executable, "-c", RUN, world]
    ended = on_small_disk(settings.home / "materialize", "512k", command, child_environment(settings))
    assert ended.code != 0
    assert re.search("TransientError: .*[Nn]o space left", ended.said)
    assert {Path(name).suffix for name in ended.left} <= {".lock", ".spill"}
    assert contents(world) == {}
    assert run(settings, world).written == KEYS


def test_a_truncated_file_is_named(settings: Settings, world: str) -> None:
    file = write_day(settings, 3, range(5_000))
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(BadInput, match=rf"{file.parent.name}/part-0\.parquet"):
        run(settings, world)
    write_day(settings, 3, range(5_000))
    assert run(settings, world).written == KEYS


def test_a_column_that_was_renamed_everywhere_is_named(settings: Settings, world: str) -> None:
    for file in (settings.offline_store / "sales").rglob("*.parquet"):
        table = pq.read_table(file, partitioning=None)
        pq.write_table(table.rename_columns(["store_id", "turnover", "label", "event_timestamp", "created"]), file)
    with pytest.raises(BadInput, match="revenue"):
        run(settings, world)


def test_a_type_that_does_not_fit_is_named(settings: Settings, world: str) -> None:
    write_day(settings, 3, [KEYS + 1, KEYS + 2], ["much", "little"])
    with pytest.raises(BadInput, match="much"):
        run(settings, world)
    assert contents(world) == {}


@pytest.mark.parametrize("gone", [0, 1], ids=["older", "newer"])
def test_a_day_that_is_gone_leaves_what_the_other_days_hold(settings: Settings, world: str, gone: int) -> None:
    run(settings, world)
    shutil.rmtree(sorted((settings.offline_store / "sales").glob("day=*"))[gone])
    again = run(settings, world)
    assert again.removed == KEYS // 2
    found = contents(world)
    assert found == undisturbed(settings, world)


def test_a_second_run_writes_nothing(settings: Settings, world: str) -> None:
    assert run(settings, world).written == KEYS
    before = contents(world)
    (again,) = materialize(settings, world, lookback=timedelta(days=30))
    assert (again.files_read, again.keys, again.written) == (2, KEYS, 0)
    assert contents(world) == before


def test_a_newer_value_of_another_writer_is_never_lost(settings: Settings, world: str) -> None:
    """Somebody writes newer rows to the same keys all the while, as a stream does."""
    field, stamp = feature_field("sales", "revenue"), event_time_field("sales")
    newer = Timestamp()
    newer.FromDatetime(TODAY + timedelta(hours=1))
    written: set[int] = set()
    ended = threading.Event()

    def rival() -> None:
        random_keys = (random.randrange(KEYS) for _ in itertools.count())
        with redis.Redis.from_url(world) as client:
            for key in random_keys:
                if ended.is_set():
                    return
                name = redis_key("shop", {"store_id": ("INT64", key)})
                client.hset(name, mapping={stamp: newer.SerializeToString(), field: b"rival"})
                written.add(key)

    threads = [threading.Thread(target=rival) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(3):
            run(settings, world)
            for days in (2, 1):  # touched: they are read again
                write_day(settings, days, range(KEYS), np.full(KEYS, random.random()))
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    held = contents(world)
    lost = [k for k in written if held[redis_key("shop", {"store_id": ("INT64", k)})][field] != b"rival"]
    assert len(written) > 100
    assert lost == []
    assert len(held) == KEYS


def test_another_online_store_is_written_by_feast(settings: Settings, world: str, feature_repo: Repo) -> None:
    feature_repo(ttl=timedelta(days=30))
    config = settings.feature_repo / "feature_store.yaml"
    online = f'online_store: {{type: sqlite, path: "{settings.home / "online.db"}"}}'
    lines = [online if line.startswith("online_store") else line for line in config.read_text().splitlines()]
    config.write_text("\n".join(lines))
    apply_definitions(settings, world)
    run(settings, world)
    answer = open_store(settings, world).get_online_features(["sales:revenue"], [{"store_id": 3}, {"store_id": 4}])
    assert answer.to_dict()["revenue"] == [3.0, -1.0]
    assert contents(world) == {}


def test_one_file_may_be_the_whole_source(settings: Settings, world: str, feature_repo: Repo) -> None:
    file = write_day(settings, 1, [7, 8])
    feature_repo(definitions=DEFINITIONS.replace('offline_source("sales")', f'offline_source("{file}")'))
    apply_definitions(settings, world)
    assert run(settings, world).written == 2
    assert run(settings, world).files_unchanged in (0, 1)
