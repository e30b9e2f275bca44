"""MLflow's own empty database: its migrations take seconds, a copy of the file does not."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from twinserve.model.mlflow_database import make_database
from twinserve.settings import Settings, load_settings


def with_blank_mlflow(settings: Settings) -> Settings:
    """The same settings, in whose home there is one."""
    file = _file(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(_blank())
    return settings


@cache
def _blank() -> bytes:
    with TemporaryDirectory() as folder:
        settings = load_settings(home=Path(folder))
        make_database(settings)
        return _file(settings).read_bytes()


def _file(settings: Settings) -> Path:
    return settings.home / "mlflow" / "mlflow.db"
