"""The one place that reads or sets the environment: each setting is a `TWINSERVE_…`, listed in `.env.example`."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from twinserve.errors import BadInput

PREFIX = "TWINSERVE_"
LONGEST_KEY = 200  # with a digest behind, under the 255 bytes that most file systems take
# read by the Airflow plug-in, not by the pipelines
ELSEWHERE = {
    "TASK_RUNTIME", "TASK_RETRY_SECONDS", "TASK_IMAGES", "TASK_RELEASES", "TASK_VOLUME", "TASK_NETWORK", "TASK_MEMORY",
    "TASK_CPUS", "TASK_PARTS_AT_ONCE", "ALERTMANAGER_URL", "VENV",
}  # fmt: skip
FOR_FEAST = {"FEAST_REDIS"}  # set for Feast's own command line: see twinserve.features.feast_repo.store.feast_variables


class Settings(BaseSettings):
    """Where data lives and which servers to use; with nothing set, everything is embedded under `home`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    home: Path = Path(".twinserve")
    feature_repo: Path = Path("data_pipeline/feature_repo")
    training_params: Path = Path("training_pipeline/params.yaml")
    model_name: str = Field(default="ranker", pattern=r"^[A-Za-z0-9_.-]+$")

    scorer: str = Field(default="auto", pattern="^(auto|original)$")

    source_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    mlflow_uri: SecretStr | None = None
    feast_registry_url: SecretStr | None = None

    online_host: str = "127.0.0.1"
    online_port: int = Field(default=8172, ge=1, le=65535)
    online_workers: int = Field(default=1, ge=1, le=256)
    online_max_candidates: int = Field(default=1000, ge=1, le=100_000)
    online_max_body_bytes: int = Field(default=1_048_576, ge=1024)
    online_max_head_bytes: int = Field(default=65_536, ge=1024, le=1_048_576)
    online_max_connections: int = Field(default=2048, ge=1, le=1_000_000)
    online_redis_timeout_ms: int = Field(default=400, ge=1, le=60_000)
    online_drain_seconds: int = Field(default=0, ge=0, le=600)
    online_max_concurrency: int = Field(default=256, ge=1, le=65_536)
    online_deadline_ms: int = Field(default=1000, ge=1, le=600_000)
    online_batch_rows: int = Field(default=1024, ge=0)
    online_access_log_rate: float = Field(default=0.01, ge=0, le=1)
    online_traces_url: str | None = None

    batch_shard_rows: int = Field(default=4_194_304, ge=1)

    log_format: str = Field(default="auto", pattern="^(auto|text|json)$")
    log_level: str = Field(default="INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @field_validator("home", "feature_repo", "training_params")
    @classmethod
    def _absolute(cls, path: Path) -> Path:
        return path.expanduser().absolute()

    @field_validator("source_url", "redis_url", "mlflow_uri", "feast_registry_url", "online_traces_url", mode="before")
    @classmethod
    def _empty_is_unset(cls, value: Any) -> Any:
        return value or None  # `TWINSERVE_REDIS_URL=` in an env file means: not set

    @field_validator("redis_url")
    @classmethod
    def _of_redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value and not value.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        return value

    @field_validator("online_traces_url")
    @classmethod
    def _of_http(cls, value: str | None) -> str | None:
        if value and not value.startswith(("http://", "https://")):
            raise ValueError("must begin with http:// or https://")
        return value

    @cached_property
    def source_database(self) -> str:
        """SQLAlchemy URL of the source database."""
        return _or_sqlite(self.source_url, self.home / "source" / "source.db")

    @cached_property
    def feast_registry(self) -> str:
        """SQLAlchemy URL of Feast's registry."""
        return _or_sqlite(self.feast_registry_url, self.home / "feast" / "registry.db")

    @cached_property
    def mlflow_tracking(self) -> str:
        """MLflow tracking and registry URI."""
        return _or_sqlite(self.mlflow_uri, self.home / "mlflow" / "mlflow.db")

    @property
    def mlflow_artifacts(self) -> Path:
        """Where the embedded MLflow keeps artifacts; a server decides that for itself."""
        return self.home / "mlflow" / "artifacts"

    @property
    def offline_store(self) -> Path:
        """Root of the offline store: `<feature view>/day=YYYY-MM-DD/part-0.parquet`."""
        return self.home / "offline"

    def scratch(self, pipeline: str, run_key: str) -> Path:
        """The folder in which the steps of one run of one pipeline hand each other files."""
        return self.home / "runs" / pipeline / safe_name(run_key)


def load_settings(**overrides: Any) -> Settings:
    """Read the environment, refuse names and values that make no sense.

    Raises:
        BadInput: an unknown `TWINSERVE_…` variable, or a value out of range; names the variable, never a secret.
    """
    known = {name.upper() for name in Settings.model_fields} | ELSEWHERE | FOR_FEAST
    unknown = sorted(n for n in os.environ if n.startswith(PREFIX) and n.removeprefix(PREFIX) not in known)
    if unknown:
        raise BadInput(f"unknown setting {', '.join(unknown)}", fix="Compare with .env.example")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        problems = "; ".join(f"{PREFIX}{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        raise BadInput(f"bad setting {problems}", fix="Compare with .env.example") from None


def safe_name(run_key: str) -> str:
    """A run key as a folder name: ASCII letters, digits and `._-` stay, anything else becomes `_`.

    A key that had to be changed gets a digest of itself behind, so that two keys never share a folder.

    Raises:
        BadInput: it is empty, or longer than 200 characters.
    """
    if not 0 < len(run_key) <= LONGEST_KEY:
        raise BadInput(f"run key {run_key[:80]!r} can't name a folder", fix="Use 1 to 200 letters, digits and ._-")
    name = re.sub(r"[^A-Za-z0-9._-]", "_", run_key)
    if name == run_key and not name.startswith("."):
        return name
    return f"{name.lstrip('.-') or 'run'}-{hashlib.sha256(run_key.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"


def child_environment(settings: Settings, **more: str) -> dict[str, str]:
    """The environment for a process that we start: our own, with `settings` made explicit in it."""
    own = {
        "HOME": settings.home,
        "FEATURE_REPO": settings.feature_repo,
        "TRAINING_PARAMS": settings.training_params,
    }
    return {**os.environ, **{PREFIX + name: str(path) for name, path in own.items()}, **more}


def export(variables: Mapping[str, str], *, over: bool = True) -> None:
    """Set variables for libraries that read them at import, and for child processes.

    Args:
        over: replace what the user has set.
    """
    for name, value in variables.items():
        if over or name not in os.environ:
            os.environ[name] = value


def _or_sqlite(url: SecretStr | None, file: Path) -> str:
    return url.get_secret_value() if url else f"sqlite:///{file}"
