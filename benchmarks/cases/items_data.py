"""Inputs of joins and materialization: made once, kept, known by name, size and seed."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.job import Job
from benchmarks.workspace import Workspace

Part = dict[str, object]  # of feature_store.yaml
SEED = 7
JOIN_KEYS = 10_000
ROW_BYTES = 40  # a feature row, compressed; measured as 24, rounded up
# what Feast reads; the second and third are Feast's own
TWINSERVE: Part = {"type": "twinserve.features.offline.AsofOfflineStore"}
FILE: Part = {"type": "file"}
DUCKDB: Part = {"type": "duckdb"}


def features_file(workspace: Workspace, keys: int) -> Path:
    """24 feature rows for each of so many keys."""
    target = workspace.data / f"features-{keys}-seed{SEED}.parquet"
    if not target.exists():
        workspace.need(keys * 24 * ROW_BYTES, f"making {keys * 24:,} feature rows")
        _fixture(workspace, "item_features", keys, {"target": target}, {"seed": SEED})
    return target


def entity_rows_file(workspace: Workspace, rows: int) -> Path:
    """So many entity rows for the 10,000 keys of the join."""
    target = workspace.data / f"entity-rows-{rows}-seed{SEED}.parquet"
    if not target.exists():
        _fixture(workspace, "entity_rows", rows, {"target": target}, {"seed": SEED, "keys": JOIN_KEYS})
    return target


def join_reference(workspace: Workspace, rows: int) -> dict[str, int]:
    """Digests of the right answer."""
    target = workspace.data / f"joined-{rows}-seed{SEED}.json"
    if not target.exists():
        files = {"features": features_file(workspace, JOIN_KEYS), "entity_rows": entity_rows_file(workspace, rows)}
        _fixture(workspace, "join_reference", rows, {**files, "target": target}, {})
    found: dict[str, int] = json.loads(target.read_text(encoding="utf-8"))
    return found


def right_hashes(workspace: Workspace, rows: int) -> Path | None:
    """Hashes of the right answer's rows, where they are few enough to be kept."""
    file = workspace.data / f"joined-{rows}-seed{SEED}.parquet"
    return file if file.exists() else None


def feast_repo(workspace: Workspace, name: str, features: Path, store: Part) -> str:
    """A feature repo over a file of features, in scratch: it is for this session's stores."""
    target = workspace.scratch / f"repo-{name}-{features.stem}"
    if not target.exists():
        _fixture(workspace, "feast_repo", 0, {"features": features, "target": target}, {"store": json.dumps(store)})
    return str(target)


def _fixture(workspace: Workspace, module: str, size: int, inputs: dict[str, Path], options: dict[str, object]) -> None:
    with workspace.run_folder() as folder:
        words = {name: str(path) for name, path in inputs.items()}
        workspace.fixture(module, Job(size, folder, words, {name: str(value) for name, value in options.items()}))
