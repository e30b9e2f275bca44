"""Materialization: the latest of 24 rows of each key, into an empty Redis that the benchmarks start themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from benchmarks.cases.items_data import FILE, TWINSERVE, Part, feast_repo, features_file
from benchmarks.contest import Answer, Case, Contestant, Sizes
from benchmarks.fixtures.item_features import BEGIN, HOURS
from benchmarks.job import Facts, Job
from benchmarks.workspace import Workspace
from twinserve.embedded.redis import leased_redis
from twinserve.settings import load_settings

OUR_ENGINE: Part = {"type": "twinserve.features.batch_engine.RedisBatchEngine"}
LOCAL: Part = {"type": "local"}
DISK_BYTES_A_KEY = 2_000  # 24 rows of features, and Redis' append-only file


@contextmanager
def inputs(workspace: Workspace, size: int) -> Iterator[dict[str, str]]:
    """Features, a Redis, and a feature repo for each engine."""
    workspace.need(size * DISK_BYTES_A_KEY, f"materializing {size:,} keys")
    features = features_file(workspace, size)
    with leased_redis(load_settings(home=workspace.scratch / "redis-home", redis_url=None)) as url:
        online: Part = {"type": "redis", "connection_string": url.removeprefix("redis://").replace("/0", ",db=0")}
        repo = partial(_repo, workspace, features, online)
        yield {
            "features": str(features),
            "redis_url": url,
            "start": str(BEGIN - 1),
            "end": str(BEGIN + HOURS * 3600),
            "twinserve_repo": repo("twinserve", TWINSERVE, OUR_ENGINE),
            "local_repo": repo("local", FILE, LOCAL),
            "local_on_twinserve_repo": repo("local-on-twinserve", TWINSERVE, LOCAL),
        }


def check(workspace: Workspace, job: Job, facts: Facts) -> Answer:
    """Against what the first contestant to be run at this size has written: Feast's own engine, where it takes part."""
    if "rows" in facts:
        return Answer(int(facts["rows"]), note="written nowhere")
    with workspace.run_folder() as folder:
        found = workspace.fixture("redis_digest", Job(job.size, folder, {"redis_url": job.inputs["redis_url"]})).facts
    rows, lost = found["rows"], job.size - found["rows"]
    kept = workspace.scratch / f"redis-digest-{job.size}"
    if not kept.exists():
        kept.write_text(found["content"], encoding="utf-8")
        alone = job.options["repo"] == "twinserve_repo"  # runs last
        return Answer(rows, lost, None if alone else True)
    return Answer(rows, lost, found["content"] == kept.read_text(encoding="utf-8"))


def _repo(
    workspace: Workspace, features: Path, online: Part, name: str, offline: Part,
    engine: Part,
) -> str:  # fmt: skip
    store: Part = {"offline_store": offline, "online_store": online, "batch_engine": engine}
    return feast_repo(workspace, name, features, store)


MATERIALIZE = Case(
    name="materialize",
    title="Materialization of the latest of 24 rows of each key to an empty Redis",
    unit="keys",
    measured="`FeatureStore.materialize`; not imports, opening the store and the flush of Redis before it",
    sizes=Sizes(quick=(500, 2_000), usual=(20_000, 200_000), large=(2_000_000,)),
    contestants=(
        Contestant("Twinserve", "materialize.feast", ours=True, options={"repo": "twinserve_repo"}),
        Contestant(
            "Feast local engine, file store", "materialize.feast",
            largest=200_000, options={"repo": "local_repo"},
        ),
        Contestant(
            "Feast local engine, our offline store", "materialize.feast",
            largest=200_000, options={"repo": "local_on_twinserve_repo"},
        ),
        Contestant("DuckDB, latest of each key, not written", "materialize.duckdb_latest", limit=True),
    ),
    inputs=inputs,
    check=check,
)  # fmt: skip
