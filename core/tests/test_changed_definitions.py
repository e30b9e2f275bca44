"""Definitions that change under rows already in the online store: no row is ever put together from two of them."""

from __future__ import annotations

import hashlib
import logging
import struct
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import redis
from feast.repo_operations import apply_total_with_repo_instance

from twinserve.contract import Contract, MissingPolicy, Output, Tolerance, build_contract
from twinserve.errors import ContractMismatch
from twinserve.features.feast_repo.definitions import load_definitions
from twinserve.features.feast_repo.online_view import online_view
from twinserve.features.feast_repo.service import describe_service
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.features.materialization.materialize import materialize
from twinserve.features.online import open_reader
from twinserve.features.online_store.feature_reader import OnlineRows
from twinserve.features.redis.hash_scan import pages_of_hashes
from twinserve.features.redis.layout import event_time_field, feature_field, redis_key
from twinserve.missing import Status
from twinserve.settings import Settings

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
Repo = Callable[..., Path]
DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int32, Int64
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], ttl={ttl}, source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32),
            Field(name="visits", dtype=Int64)],
)
stock = FeatureView(
    name="stock", entities=[store], ttl={ttl}, source=offline_source("stock"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="items", dtype=Int64)],
)
service = FeatureService(name="store_ranking", features=[sales, stock])
"""
RENAMED = DEFINITIONS.replace('"revenue"', '"income"')
PRESENT, NULL, UNKNOWN = Status.PRESENT, Status.NULL, Status.UNKNOWN


class Shop:
    """A feature repo, its offline store and a Redis."""

    def __init__(self, settings: Settings, url: str, repo: Repo) -> None:
        self.settings, self.url, self._repo = settings, url, repo
        self.client: Any = redis.Redis.from_url(url)

    def define(self, definitions: str) -> dict[str, list[str]]:
        """Apply definitions; what was removed online."""
        self._repo(definitions=definitions)
        removed: dict[str, list[str]] = apply_definitions(self.settings, self.url)["removed_online"]
        return removed

    def define_with_feast(self, definitions: str) -> None:
        """As `feast apply` does, or an apply of ours that is killed behind the registry."""
        self._repo(definitions=definitions)
        store = open_store(self.settings, self.url)
        contents = load_definitions(self.settings)
        apply_total_with_repo_instance(store, store.project, store.registry, contents, skip_source_validation=True)

    def store(self, view: str, hours: float, **columns: list[object]) -> None:
        """Rows of one moment, one file a day as ingest leaves it."""
        at = NOW - timedelta(hours=hours)
        file = self.settings.offline_store / view / f"day={at:%Y-%m-%d}" / "part-0.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        rows = self._rows(at, columns)
        pd.concat([*([pd.read_parquet(file)] if file.exists() else []), rows]).to_parquet(file, index=False)

    def push(self, view: str, hours: float, **columns: list[object]) -> None:
        """As a stream does, with Feast's SDK."""
        rows = self._rows(NOW - timedelta(hours=hours), columns)
        open_store(self.settings, self.url).write_to_online_store(view, rows, allow_registry_cache=False)

    def materialize(self) -> None:
        materialize(self.settings, self.url)

    def contract(self) -> Contract:
        """Of a model that is trained now."""
        return build_contract(
            describe_service(open_store(self.settings, self.url), "store_ranking"),
            output=Output(method="predict", target="sold", meaning="sales"),
            missing=MissingPolicy(null="pass_as_nan"),
            tolerance=Tolerance(absolute=0, relative=0, why="test"),
            libraries={},
            golden=(),
        )

    async def read(self, contract: Contract, *keys: int) -> OnlineRows:
        """What a running service reads."""
        reader = open_reader(contract, self.settings, self.url, seconds=5)
        rows = await reader.read({"store_id": keys}, int(datetime.now(UTC).timestamp() * 1e6))
        await reader.close()
        return rows

    def fields(self, key: int, kind: str = "INT64", project: str = "shop") -> set[bytes]:
        """What Redis holds for a key."""
        return set(self.client.hkeys(redis_key(project, {"store_id": (kind, key)})))

    @staticmethod
    def _rows(at: datetime, columns: dict[str, list[object]]) -> pd.DataFrame:
        moments = pd.Series([at] * len(columns["store_id"]), dtype="datetime64[us, UTC]")
        return pd.DataFrame({**columns, "event_timestamp": moments, "created": moments})


@pytest.fixture
def shop(settings: Settings, feature_repo: Repo, redis_url: str) -> Shop:
    """Two views of the stores 1 and 2, materialized."""
    shop = Shop(settings, redis_url, feature_repo)
    shop.define(DEFINITIONS)
    shop.store("sales", 2, store_id=[1, 2], revenue=[10.0, 20.0], visits=[1, 2])
    shop.store("stock", 2, store_id=[1, 2], items=[7, 8])
    shop.materialize()
    return shop


def status(rows: OnlineRows) -> list[list[Status]]:
    return [[Status(cell) for cell in row] for row in rows.status.tolist()]


async def test_a_renamed_feature_is_unknown_to_the_old_contract_never_yesterdays(shop: Shop) -> None:
    old = shop.contract()
    assert (await shop.read(old, 1)).complete
    assert shop.define(RENAMED) == {"sales": ["revenue"]}
    shop.store("sales", 1, store_id=[1], income=[11.0], visits=[5])
    shop.materialize()
    rows = await shop.read(old, 1, 2)
    assert status(rows) == [[UNKNOWN, PRESENT, PRESENT]] * 2, "a null that is passed on would be scored"
    assert rows.values[0, 1:].tolist() == [5, 7]
    assert rows.absent == ("sales:revenue",)
    with pytest.raises(ContractMismatch, match="feature sales:revenue is missing"):  # what batch and a restart say
        old.check_service(describe_service(open_store(shop.settings, shop.url), "store_ranking"))
    new = await shop.read(shop.contract(), 1)
    assert new.complete
    assert new.values.tolist() == [[11, 5, 7]]


async def test_a_push_between_apply_and_materialize_renews_no_old_field(shop: Shop) -> None:
    old = shop.contract()
    shop.define(RENAMED)
    shop.push("sales", 0, store_id=[1], income=[12.0], visits=[6])
    assert status(await shop.read(old, 1)) == [[UNKNOWN, PRESENT, PRESENT]]


async def test_keys_that_only_a_push_has_written_lose_the_field_too(shop: Shop) -> None:
    old = shop.contract()
    shop.push("sales", 1, store_id=[77], revenue=[3.0], visits=[3])
    assert shop.fields(77) >= {feature_field("sales", "revenue")}
    shop.define(RENAMED)
    assert status(await shop.read(old, 77)) == [[UNKNOWN, PRESENT, UNKNOWN]]


@pytest.mark.parametrize("materialized_by", ["ours", "feast"])
async def test_feasts_own_apply_is_noticed_by_the_next_materialization(shop: Shop, materialized_by: str) -> None:
    old = shop.contract()
    shop.define_with_feast(RENAMED)
    shop.store("sales", 1, store_id=[1], income=[11.0], visits=[5])
    if materialized_by == "ours":
        shop.materialize()
    else:
        open_store(shop.settings, shop.url).materialize(NOW - timedelta(days=2), NOW + HOUR)
    assert status(await shop.read(old, 1)) == [[UNKNOWN, PRESENT, PRESENT]]


async def test_rows_of_a_version_that_noted_nothing(shop: Shop) -> None:
    old = shop.contract()
    shop.client.delete("twinserve:written:shop")
    assert shop.define(RENAMED) == {"sales": ["revenue"]}
    assert status(await shop.read(old, 2)) == [[UNKNOWN, PRESENT, PRESENT]]


async def test_a_removed_feature_and_one_that_comes_back(shop: Shop) -> None:
    old = shop.contract()
    shop.define(DEFINITIONS.replace('Field(name="visits", dtype=Int64)', ""))
    assert status(await shop.read(old, 1)) == [[PRESENT, UNKNOWN, PRESENT]]
    assert shop.define(DEFINITIONS) == {}
    assert status(await shop.read(old, 1)) == [[PRESENT, UNKNOWN, PRESENT]], "nothing wrote it since"
    shop.materialize()
    assert (await shop.read(old, 1)).complete


async def test_a_feature_that_is_not_materialized_yet_is_unknown_then_what_batch_says(shop: Shop) -> None:
    more = DEFINITIONS.replace('Field(name="visits"', 'Field(name="returns", dtype=Int64), Field(name="visits"')
    shop.define(more)
    new = shop.contract()
    rows = await shop.read(new, 1, 3)
    assert status(rows) == [[PRESENT, UNKNOWN, PRESENT, PRESENT], [UNKNOWN] * 4]
    assert rows.absent == ("sales:returns",)
    shop.store("sales", 1, store_id=[2], revenue=[1.0], visits=[1], returns=[9])
    shop.materialize()
    assert status(await shop.read(new, 1, 2)) == [[PRESENT, NULL, PRESENT, PRESENT], [PRESENT] * 4]


@pytest.mark.parametrize(
    "without",
    [
        DEFINITIONS.replace('name="stock"', 'name="goods"'),
        DEFINITIONS.replace('source=offline_source("stock"),', 'source=offline_source("stock"), online=False,').replace(
            "features=[sales, stock]", "features=[sales]"
        ),
    ],
    ids=["renamed", "online=False"],
)
async def test_a_view_that_is_gone_takes_its_rows_along(shop: Shop, without: str) -> None:
    old = shop.contract()
    shop.define(without)
    assert status(await shop.read(old, 1)) == [[PRESENT, PRESENT, UNKNOWN]]
    assert event_time_field("stock") not in shop.fields(1)
    assert event_time_field("sales") in shop.fields(1)


async def test_another_type_of_a_key_leaves_no_hash_of_the_old_one(shop: Shop) -> None:
    assert shop.fields(1)
    shop.define(
        DEFINITIONS.replace("ValueType.INT64", "ValueType.INT32").replace(
            '"store_id", dtype=Int64', '"store_id", dtype=Int32'
        )
    )
    assert shop.fields(1) == set()
    shop.materialize()
    assert shop.fields(1, "INT32")


async def test_what_a_release_that_noted_nothing_has_left_is_found_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    """A feature was renamed, a view removed, under a release without notes; then materialize wrote beside it."""
    old, key = shop.contract(), redis_key("shop", {"store_id": ("INT64", 1)})
    left, custom = shop.client.hget(key, feature_field("sales", "revenue")), {b"remark": b"kept"}
    shop.define(RENAMED)
    shop.store("sales", 1, store_id=[1], income=[11.0], visits=[5])
    gone = {event_time_field("gone"): b"\x08\x01", feature_field("gone", "x"): b""}
    shop.client.hset(key, mapping={feature_field("sales", "revenue"): left, **gone, **custom})
    shop.client.delete("twinserve:written:shop", "twinserve:searched:shop")
    shop.materialize()
    assert status(await shop.read(old, 1)) == [[UNKNOWN, PRESENT, PRESENT]]
    ours = {feature_field("sales", "income"), feature_field("sales", "visits"), feature_field("stock", "items")}
    assert shop.fields(1) == {*ours, event_time_field("sales"), event_time_field("stock"), b"remark"}
    assert "1 keys in the online store had fields that no definition has" in caplog.text
    shop.client.hset(key, feature_field("sales", "revenue"), left)
    shop.define(RENAMED)
    shop.materialize()
    assert feature_field("sales", "revenue") in shop.fields(1), "once"


def test_feasts_own_commands_find_what_a_release_that_noted_nothing_has_left(shop: Shop) -> None:
    shop.define_with_feast(RENAMED)
    shop.store("sales", 1, store_id=[1], income=[11.0], visits=[5])
    shop.client.delete("twinserve:written:shop", "twinserve:searched:shop")
    open_store(shop.settings, shop.url).materialize(NOW - 5 * HOUR, NOW, ["sales"])
    assert feature_field("sales", "revenue") not in shop.fields(1)
    assert feature_field("stock", "items") in shop.fields(1), "of another view than was materialized"


async def test_apply_finds_what_a_release_that_noted_nothing_has_left(shop: Shop) -> None:
    shop.define(RENAMED)
    shop.client.hset(redis_key("shop", {"store_id": ("INT64", 1)}), feature_field("sales", "revenue"), b"")
    shop.client.delete("twinserve:written:shop", "twinserve:searched:shop")
    shop.define(RENAMED)
    assert feature_field("sales", "revenue") not in shop.fields(1)


async def test_after_an_upgrade_rows_that_tie_are_chosen_as_this_release_does(shop: Shop) -> None:
    """The one before chose the greatest values; ours chooses what was written last."""
    shop.store("sales", 100, store_id=[3, 3], revenue=[30.0, 20.0], visits=[1, 1])
    shop.materialize()
    assert (await shop.read(shop.contract(), 3)).values[0, 0] == 20
    store = open_store(shop.settings, shop.url)
    view = online_view(store.get_feature_view("sales"), store.config)
    key, field = redis_key("shop", {"store_id": ("INT64", 3)}), feature_field("sales", "revenue")
    shop.client.hset(key, field, b"\x35" + struct.pack("<f", 30.0))
    shop.client.hset("twinserve:materialized:shop:sales", "definition", hashlib.sha256(repr(view).encode()).hexdigest())
    shop.materialize()
    assert (await shop.read(shop.contract(), 3)).values[0, 0] == 20


def test_another_project_whose_name_ends_alike_keeps_its_rows(shop: Shop) -> None:
    """`*shop` matches what `workshop` has written."""
    other = redis_key("workshop", {"store_id": ("INT64", 1)})
    held = {feature_field("sales", "revenue"): b"\x35\0\0\0\0", event_time_field("sales"): b"\x08\x01"}
    shop.client.hset(other, mapping=held)
    shop.define(RENAMED)
    assert shop.client.hgetall(other) == held
    assert feature_field("sales", "revenue") not in shop.fields(1)


def test_hashes_are_found_by_all_that_their_names_say(redis_url: str) -> None:
    kinds = {"b[*]": "STRING", "a": "INT64"}
    mine = {redis_key("p", {"a": ("INT64", n), "b[*]": ("STRING", "p" * n)}) for n in range(2500)}
    others = [
        redis_key("xp", {"a": ("INT64", 1), "b[*]": ("STRING", "")}),
        redis_key("p", {"a": ("INT32", 1), "b[*]": ("STRING", "")}),
        redis_key("p", {"a": ("INT64", 1)}),
        redis_key("p", {"a": ("INT64", 1), "b[*]": ("STRING", ""), "c": ("INT64", 1)}),
        b"p",
    ]
    with redis.Redis.from_url(redis_url) as client:
        for name in [*mine, *others]:
            client.hset(name, "f", "v")
        pages = list(pages_of_hashes(client, "p", kinds))
    assert {name for page in pages for name in page} == mine
    assert max(map(len, pages)) <= 1000


def test_what_is_removed_is_told(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "twinserve.features.redis.written_fields"):
        shop.define(RENAMED)
    assert "sales: revenue" in caplog.text
    caplog.clear()
    assert shop.define(RENAMED) == {}
    assert not caplog.records
