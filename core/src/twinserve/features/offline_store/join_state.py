"""What the point-in-time join of a feature service goes by, as digests: the same ones, the same values.

A join that was made may stand for another only where nothing that it reads has changed since.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twinserve.contract import library_versions
from twinserve.features.stored_files.source_files import local_path, parquet_in
from twinserve.steps.own_code import code_digest

if TYPE_CHECKING:
    from feast import FeatureStore

LIBRARIES = ["duckdb", "feast", "pyarrow"]


def join_state(store: FeatureStore, service: str) -> dict[str, str] | None:
    """Digests of the definitions, of the stored files, of the libraries and of our own code.

    A file counts by place, inode, size and time of change, all of which a file that was replaced has anew; so a home
    that was copied or restored counts as changed.

    Returns:
        None where it can't be told: a source is not of Parquet files on this machine, or our code has no source.
    """
    asked = store.get_feature_service(service)
    views = [store.get_feature_view(projection.name) for projection in asked.feature_view_projections]
    files, code = _files(views, store), code_digest("twinserve")
    if files is None or code is None:
        return None
    projections = [projection.to_proto() for projection in asked.feature_view_projections]
    specs = [view.to_proto().spec for view in views]
    offline = repr(store.config.offline_store).encode()
    return {
        "definitions": _digest([*map(_said, projections), *map(_said, specs), offline]),
        "offline store": _digest(files),
        "libraries": _digest([repr(sorted(library_versions(LIBRARIES).items())).encode()]),
        "code": code,
    }


def _files(views: Iterable[Any], store: FeatureStore) -> list[bytes] | None:
    found = []
    for view in views:
        path = local_path(view.batch_source, store.repo_path)
        if path is None:
            return None
        for file in parquet_in(path):
            stat = file.stat()
            found.append(repr((view.name, str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns)).encode())
    return found


def _said(message: Any) -> bytes:
    """A Feast message without the times at which its sources were applied."""
    for part in ("batch_source", "stream_source"):
        getattr(message, part).ClearField("meta")
    content: bytes = message.SerializeToString(deterministic=True)
    return content


def _digest(parts: Iterable[bytes]) -> str:
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.hexdigest()
