"""The feature repos that tests write for themselves."""

from __future__ import annotations

from pathlib import Path

CONFIGURATION = """\
project: {project}
provider: local
registry: {{registry_type: sql, path: "${{TWINSERVE_FEAST_REGISTRY_URL}}", cache_ttl_seconds: 0}}
offline_store: {{type: twinserve.features.offline.AsofOfflineStore}}
online_store: {{type: redis, connection_string: "${{TWINSERVE_FEAST_REDIS}}"}}
batch_engine: {{type: twinserve.features.batch_engine.RedisBatchEngine}}
entity_key_serialization_version: 3
"""


def write_feature_repo(folder: Path, project: str, definitions: str) -> Path:
    """A feature repo over our own stores; `definitions` is the text of its one Python file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "feature_store.yaml").write_text(CONFIGURATION.format(project=project))
    (folder / "definitions.py").write_text(definitions)
    return folder
