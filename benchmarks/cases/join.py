"""Point-in-time join: entity rows on 240,000 feature rows, Parquet to Parquet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.cases.items_data import (
    DUCKDB,
    FILE,
    JOIN_KEYS,
    TWINSERVE,
    entity_rows_file,
    feast_repo,
    features_file,
    join_reference,
    right_hashes,
)
from benchmarks.contest import Answer, Case, Contestant, Sizes
from benchmarks.job import Facts, Job
from benchmarks.workspace import Workspace

MILLION = 1_000_000
# the input, an answer twice as wide, and what a sort of it may spill
DISK_BYTES_A_ROW = 100


@contextmanager
def inputs(workspace: Workspace, size: int) -> Iterator[dict[str, str]]:
    """The two files, and a feature repo for each offline store."""
    workspace.need(size * DISK_BYTES_A_ROW, f"the join of {size:,} rows")
    features = features_file(workspace, JOIN_KEYS)
    stores = {"twinserve": TWINSERVE, "file": FILE, "duckdb": DUCKDB}
    repos = {
        f"{name}_repo": feast_repo(workspace, name, features, {"offline_store": store})
        for name, store in stores.items()
    }
    yield {"features": str(features), "entity_rows": str(entity_rows_file(workspace, size)), **repos}


def check(workspace: Workspace, job: Job, _facts: Facts) -> Answer:
    """Against the reference: same rows, in the input's order or in another, or some missing and the others right."""
    right = join_reference(workspace, job.size)
    found = _digests(workspace, job)
    lost = right["rows"] - found["rows"]
    same = found["content"] == right["content"]
    if lost > 0 and (hashes := right_hashes(workspace, job.size)):
        same = _digests(workspace, job, hashes=str(hashes))["foreign"] == 0
    return Answer(found["rows"], lost, same, found["sequence"] == right["sequence"])


def _digests(workspace: Workspace, job: Job, **more: str) -> dict[str, int]:
    with workspace.run_folder() as folder:
        return workspace.fixture("join_answer", Job(job.size, folder, {"answer": str(job.output), **more})).facts


JOIN = Case(
    name="join",
    title="Point-in-time join of entity rows to 240,000 feature rows, to Parquet",
    unit="entity rows",
    measured="reading the entity rows and features, the join, writing; not imports and opening the store",
    sizes=Sizes(quick=(1_000, 10_000), usual=(10_000, 100_000, MILLION, 10 * MILLION), large=(100 * MILLION,)),
    contestants=(
        Contestant("Twinserve", "join.twinserve", ours=True),
        Contestant("Feast file store", "join.feast", largest=MILLION, options={"repo": "file_repo"}),
        Contestant("Feast DuckDB store", "join.feast", largest=MILLION, options={"repo": "duckdb_repo"}),
        Contestant("DuckDB SQL", "join.duckdb_sql"),
        Contestant("DuckDB SQL, ordered", "join.duckdb_sql", options={"order": "row"}),
        Contestant("Polars join_asof", "join.polars_asof"),
        Contestant("pandas merge_asof", "join.pandas_asof", largest=10 * MILLION),
    ),
    inputs=inputs,
    check=check,
)
