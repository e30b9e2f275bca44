"""What a home and its Redis hold, without what is new each time: moments of now, durations, random names.

Left out are caches, locks and drafts' names; what a kill leaves besides stays in.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import zipfile
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import redis

PASSED_OVER = re.compile(r"^(cache|locks|bentoml)/|(^|/)(lock|locks/.*|home\.json)$|\.db(-wal|-shm|-journal)?$")
IDS = re.compile(r"\b(m-)?[0-9a-f]{32}\b|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")
DURATIONS = re.compile(r'"(seconds|rows_per_second)": [0-9.e+-]+')
TODAY = datetime.now(UTC)
DAYS = "|".join(f"{TODAY + timedelta(days=days):%Y-%m-%d}" for days in (-1, 0, 1))
SIZES = re.compile(r"model_size_bytes: \d+|[\d,.]+ h ago")  # a file that holds addresses in memory; how old rows are
MOMENTS = re.compile(rf"({DAYS})[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\+00:00| UTC)?")


# salts, digests of files with moments in them, what was measured, and signatures by time of writing
NEW_EACH_TIME = {"salt", "digest", "sha256", "offline store", "scoring", "seconds", "rows_per_second", "identity"}
# what the last try of a step did itself; what all its tries did is beside it
OF_THE_TRY = {
    "taken_over_from", "registered", "rows_new", "rows_already_stored", "corrections", "rows_filled", "rows_older",
    "days_written", "days_unchanged",
}  # fmt: skip
LEFT_OUT = NEW_EACH_TIME | OF_THE_TRY
ORIGINS = ".made_from.json"  # of work that runs take over from each other: whichever of two was first, it is the same
IDENTITY = b"twinserve.extraction"


def outcome_of(home: Path, client: redis.Redis) -> dict[str, Any]:
    """Name → content: of each file, of MLflow's and Feast's tables, of each key."""
    found: dict[str, Any] = {f"file {name}": contents for name, contents in files_of(home).items()}
    found |= {f"mlflow {name}": rows for name, rows in _mlflow(home / "mlflow" / "mlflow.db").items()}
    found |= {f"feast {name}": rows for name, rows in _feast(home / "feast" / "registry.db").items()}
    return found | {f"redis {key!r}": held for key, held in _redis(client)}


def files_of(home: Path) -> dict[str, list[Any]]:
    """Contents by name; those of names that differ only in what is random stand together, in an order of their own."""
    found: dict[str, list[Any]] = {}
    for file in (path for path in home.rglob("*") if path.is_file()):
        name = str(file.relative_to(home))
        if not PASSED_OVER.search(name):
            found.setdefault(anonymous(name), []).append(_content(file))
    return {name: sorted(contents, key=repr) for name, contents in found.items()}


def anonymous(text: str) -> str:
    """Without names and moments that are new each time."""
    for pattern, instead in ((IDS, "<id>"), (DURATIONS, r'"\1": 0'), (SIZES, "<size>"), (MOMENTS, "<now>")):
        text = pattern.sub(instead, text)
    return text


def different(one: Any, other: Any, place: str = "") -> list[str]:
    """What differs, a line each."""
    if one == other:
        return []
    if isinstance(one, dict) and isinstance(other, dict):
        names = sorted({*one, *other}, key=str)
        return [line for name in names for line in different(one.get(name), other.get(name), f"{place} {name}")]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        return [line for number, pair in pairs for line in different(*pair, f"{place} [{number}]")]
    return [f"{place.strip()}: {one!r:.300} != {other!r:.300}"]


def _content(file: Path) -> Any:
    if file.suffix == ".parquet":
        return _table(file)
    if zipfile.is_zipfile(file):  # of skops: members are named after addresses in memory
        with zipfile.ZipFile(file) as archive:
            return sorted(entry.CRC for entry in archive.infolist() if entry.filename != "schema.json")
    content = file.read_bytes()
    try:
        text = content.decode()
        return _without(_document(file.name, text)) if file.suffix == ".json" else anonymous(text)
    except json.JSONDecodeError:
        return f"no JSON: {text}"
    except UnicodeDecodeError:
        return hashlib.sha256(content).hexdigest()


def _document(name: str, text: str) -> Any:
    content = json.loads(text)
    if name.endswith(ORIGINS):
        content.pop("run_key")
    return content


def _without(content: Any) -> Any:
    if isinstance(content, dict):
        return {anonymous(name): _without(value) for name, value in content.items() if name not in LEFT_OUT}
    if isinstance(content, list):
        return [_without(value) for value in content]
    return anonymous(content) if isinstance(content, str) else content


def _table(file: Path) -> Any:
    if file.parts[-3] == "read_times":
        return sorted(pq.read_table(file, partitioning=None)["mark"].to_pylist())
    with pq.ParquetFile(file) as found:
        if IDENTITY in (found.metadata.metadata or {}):
            return found.read().replace_schema_metadata(None).to_pylist()
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _mlflow(file: Path) -> dict[str, Any]:
    queries = {
        "experiments": "SELECT name, lifecycle_stage FROM experiments",
        "runs": "SELECT name, status, lifecycle_stage FROM runs",
        "params": "SELECT r.name, p.key, p.value FROM params p JOIN runs r USING (run_uuid)",
        "metrics": "SELECT r.name, m.key, m.value FROM latest_metrics m JOIN runs r USING (run_uuid)",
        "versions": "SELECT name, version, status FROM model_versions",
        "version tags": "SELECT name, version, key, value FROM model_version_tags WHERE key = 'feature_service'",
        "aliases": "SELECT name, alias, version FROM registered_model_aliases",
        "journal": "SELECT value FROM registered_model_tags",
        "data sets": "SELECT d.name, d.digest FROM datasets d",
    }
    found = _rows(file, queries)
    # a kill before the alias moves leaves a line of the journal that stands there again (decision 2)
    return found | {"journal": sorted(map(list, set(map(tuple, found.get("journal", [])))))}


def _feast(file: Path) -> dict[str, Any]:
    tables = ("entities", "data_sources", "feature_views", "feature_services", "projects")
    queries = {name: f"SELECT * FROM {name}" for name in tables}
    return {name: [row[:2] for row in rows] for name, rows in _rows(file, queries).items()}


def _rows(file: Path, queries: dict[str, str]) -> dict[str, list[list[str]]]:
    if not file.is_file():
        return {}
    with closing(sqlite3.connect(file)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        return {
            name: sorted([anonymous(str(cell)) for cell in row] for row in database.execute(query))
            for name, query in queries.items()
            if re.findall(r"(?:FROM|JOIN) (\w+)", query)[0] in tables
        }


def _redis(client: redis.Redis) -> Iterator[tuple[bytes, Any]]:
    for key in client.scan_iter(count=10_000):
        kind = client.type(key)
        held: Any = client.hgetall(key) if kind == b"hash" else client.dump(key)
        yield key, {name: _told(value) for name, value in held.items()} if kind == b"hash" else held


def _told(value: bytes) -> Any:
    try:
        return json.loads(anonymous(value.decode()))
    except ValueError:
        return value
