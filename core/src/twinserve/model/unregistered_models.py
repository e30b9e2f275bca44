"""Models that a training run logged and that became no version: the try was killed, refused, or short of room."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import LoggedModel

logger = logging.getLogger(__name__)
TAG = "twinserve.logged_for"  # with the run's id as its value: models that a person logs are left alone


@contextmanager
def none_left(client: MlflowClient, run_id: str) -> Iterator[None]:
    """A block that logs a model of the run and registers it; where it fails, or an earlier one was killed, none stays.

    One such block of a run at a time.
    """
    remove_unregistered(client, run_id)
    try:
        yield
    except BaseException:
        remove_unregistered(client, run_id)
        raise


def remove_unregistered(client: MlflowClient, run_id: str) -> None:
    """Remove the run's models that no version of any name is made from; what can't be removed is logged, and stays."""
    try:
        for model in _unregistered(client, run_id):
            _remove(client, model)
    except Exception as error:  # of any store of artifacts; the run's own result counts for more
        logger.warning("a model that run %s logged and did not register stays in MLflow: %s", run_id, error)


def _unregistered(client: MlflowClient, run_id: str) -> list[LoggedModel]:
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.search_logged_models([experiment], f"source_run_id = '{run_id}' AND tags.`{TAG}` = '{run_id}'")
    if not logged:
        return []
    versions = client.search_model_versions(f"run_id = '{run_id}'")
    # a copy of a version names that version as its source, and has its files where the model has them
    files = [client.get_model_version_download_uri(version.name, version.version) for version in versions]
    named = [*files, *(version.source or "" for version in versions)]
    return [model for model in logged if not any(model.model_id in place for place in named)]


def _remove(client: MlflowClient, model: LoggedModel) -> None:
    """Files first: a kill in between leaves a model that is found again."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    get_artifact_repository(model.artifact_location).delete_artifacts()  # type: ignore[no-untyped-call]
    client.delete_logged_model(model.model_id)
