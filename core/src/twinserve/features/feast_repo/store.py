"""Opening Feast with our settings, and applying the definitions of the feature repo."""

from __future__ import annotations

import string
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from twinserve.errors import BadInput, StepMissing
from twinserve.features.feast_repo.definitions import load_definitions
from twinserve.features.feast_repo.feast_errors import feast_errors
from twinserve.features.feast_repo.online_definitions import definitions_in_redis
from twinserve.files.locks import one_at_a_time
from twinserve.files.yaml_files import read_yaml
from twinserve.settings import Settings

if TYPE_CHECKING:
    from feast import FeatureStore


def open_store(settings: Settings, redis_url: str) -> FeatureStore:
    """The feature store of `feature_store.yaml`, its `${TWINSERVE_…}` filled in from the settings.

    Raises:
        BadInput: the file is no valid Feast configuration.
        TransientError: the registry's database can't be reached.
    """
    from feast import FeatureStore
    from feast.repo_config import RepoConfig

    (settings.home / "feast").mkdir(parents=True, exist_ok=True)
    try:
        with feast_errors():
            config = RepoConfig(**store_config(settings, redis_url), repo_path=settings.feature_repo)
            return FeatureStore(config=config)
    except ValueError as error:
        raise BadInput(
            f"{settings.feature_repo / 'feature_store.yaml'}: {error}",
            fix="See docs/guide/features.md for options of ours, Feast's documentation for the others",
        ) from error


def store_config(settings: Settings, redis_url: str) -> dict[str, Any]:
    """`feature_store.yaml` as a mapping, its variables filled in."""
    file = settings.feature_repo / "feature_store.yaml"
    if not file.is_file():
        raise StepMissing(f"no {file}", fix="Point TWINSERVE_FEATURE_REPO at a feature repo")
    content = read_yaml(file, older_too=True).content  # Feast's own command line reads it as YAML 1.1
    if not isinstance(content, dict):
        raise BadInput(f"{file} holds no mapping", fix="Mend the file")
    filled: dict[str, Any] = _filled(content, feast_variables(settings, redis_url))
    return filled


def _filled(node: Any, variables: dict[str, str]) -> Any:
    """Fill in the parsed document, not its text: a password may hold what YAML takes for its own."""
    if isinstance(node, dict):
        return {key: _filled(value, variables) for key, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, variables) for value in node]
    return string.Template(node).safe_substitute(variables) if isinstance(node, str) else node


def feast_variables(settings: Settings, redis_url: str) -> dict[str, str]:
    """What `feature_store.yaml` may refer to as `${…}`; export these to use Feast's own command line."""
    return {
        "TWINSERVE_FEAST_REGISTRY_URL": settings.feast_registry,
        "TWINSERVE_FEAST_REDIS": feast_connection_string(redis_url),
    }


def feast_connection_string(redis_url: str) -> str:
    """A `redis://`, `rediss://` or `unix://` URL in Feast's own form, `host:port,db=0,password=…`.

    Raises:
        BadInput: another scheme, or a password or path with a comma, which Feast's form can't express.
    """
    url = urlsplit(redis_url)
    socket = unquote(url.path) if url.scheme == "unix" else ""
    if not socket and (url.scheme not in ("redis", "rediss") or not url.hostname):
        raise BadInput(
            "TWINSERVE_REDIS_URL must look like redis://host:port/0 or unix:///path?db=0",
            fix="Correct it; a login stands before the host, as user:password@",
        )
    given = dict(parse_qsl(url.query))
    options = {
        "db": given.get("db") or ("" if socket else url.path.strip("/")) or "0",
        "username": unquote(url.username or ""),
        "password": unquote(url.password or ""),
        "ssl": "true" if url.scheme == "rediss" else "",
        **{name: text for name, text in given.items() if name.startswith("ssl_")},
        "unix_socket_path": socket,
    }
    if any("," in value for value in options.values()):
        raise BadInput("the password in TWINSERVE_REDIS_URL has a comma, which Feast can't take", fix="Change it")
    named = [f"{name}={value}" for name, value in options.items() if value]
    return ",".join([f"{url.hostname or 'localhost'}:{url.port or 6379}", *named])


def apply_definitions(settings: Settings, redis_url: str) -> dict[str, Any]:
    """Bring the registry in line with the feature repo; what the repo no longer has is removed. Idempotent.

    Features and views that are gone are removed from the rows in the online store too, where that is a Redis.

    Returns:
        Names of entities, feature views and feature services now registered; `removed_online`: view → features that
        were removed from the online store.

    Raises:
        StepMissing: there is no feature repo.
        BadInput: it can't be read, or asks for what we, or Feast, do not do; nothing is applied.
        TransientError: the registry's database or the online store can't be reached.
    """
    import contextlib
    import io

    from feast.repo_operations import apply_total_with_repo_instance

    from twinserve.features.feast_repo.definition_rules import refuse_unsupported

    contents = load_definitions(settings)
    refuse_unsupported(contents, store_config(settings, redis_url))
    # Feast prints its plan; our standard output ends in JSON
    with one_at_a_time(settings.home / "locks" / "apply"), feast_errors(), contextlib.redirect_stdout(io.StringIO()):
        store = open_store(settings, redis_url)
        with definitions_in_redis(store, settings) as removed, _refusals(settings):
            apply_total_with_repo_instance(store, store.project, store.registry, contents, skip_source_validation=True)
        return {
            "project": store.project,
            "entities": sorted(e.name for e in store.list_entities() if e.name != "__dummy"),
            "feature_views": sorted(view.name for view in store.list_feature_views()),
            "feature_services": sorted(service.name for service in store.list_feature_services()),
            "removed_online": removed,
        }


@contextmanager
def _refusals(settings: Settings) -> Iterator[None]:
    """What Feast refuses, it says by whatever exception is at its hand."""
    from feast.errors import FeastError

    try:
        yield
    except (FeastError, ValueError, TypeError, AssertionError) as error:
        raise BadInput(
            f"Feast does not take the definitions in {settings.feature_repo}: {type(error).__name__}: {error}",
            fix="Mend them",
        ) from error
