"""What a training run tells MLflow."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinserve.registry import mlflow_errors, prepare_mlflow
from twinserve.settings import Settings

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from mlflow.entities import Run

logger = logging.getLogger(__name__)
RUN_KEY_TAG, FINGERPRINT_TAG = "twinserve.run_key", "twinserve.fingerprint"
LONGEST_VALUE = 500  # of a parameter; every MLflow takes that much


class Tracking:
    """Writes to one MLflow by run id; keeps no current run, so nothing is left open after an error."""

    def __init__(self, settings: Settings) -> None:
        prepare_mlflow(settings)
        from mlflow import MlflowClient

        self._artifacts = settings.mlflow_artifacts.as_uri() if settings.mlflow_uri is None else None
        with mlflow_errors("opening MLflow"):
            self._client = MlflowClient(settings.mlflow_tracking, settings.mlflow_tracking)

    def start(self, experiment: str, run_key: str, fingerprint: str) -> str:
        """The id of the MLflow run for this run key and this very input: a new one, or that of an earlier try."""
        with mlflow_errors("starting a run"):
            place = self._experiment(experiment)
            tags = {RUN_KEY_TAG: run_key, FINGERPRINT_TAG: fingerprint}
            wanted = " and ".join(f"tags.`{name}` = '{value}'" for name, value in tags.items())
            earlier = self._client.search_runs([place], wanted, order_by=["attributes.start_time ASC"], max_results=1)
            run: Run = earlier[0] if earlier else self._client.create_run(place, tags=tags, run_name=run_key)
        return str(run.info.run_id)

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Log values as text, cut to what MLflow takes."""
        from mlflow.entities import Param

        listed = [Param(name, str(value)[:LONGEST_VALUE]) for name, value in params.items()]
        with mlflow_errors("logging parameters"):
            self._client.log_batch(run_id, params=listed)

    def log_metrics(self, run_id: str, metrics: Mapping[str, float | None]) -> None:
        """Log figures; one that does not exist is left out."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        listed = [Metric(name, value, now, 0) for name, value in metrics.items() if value is not None]
        with mlflow_errors("logging metrics"):
            self._client.log_batch(run_id, metrics=listed)

    def log_dataset(self, run_id: str, file: Path, *, name: str, digest: str, target: str) -> None:
        """Log a Parquet file as the run's training data."""
        import pandas as pd
        from mlflow.data.pandas_dataset import from_pandas
        from mlflow.entities import DatasetInput, InputTag

        with mlflow_errors("logging the data set"), warnings.catch_warnings():
            frame = pd.read_parquet(file)
            warnings.simplefilter("ignore", UserWarning)  # advice on inferred schemas, which nothing here uses
            data = from_pandas(frame, source=str(file), targets=target, name=name, digest=digest)
            tags = [InputTag("mlflow.data.context", "training")]
            self._client.log_inputs(run_id, [DatasetInput(data._to_mlflow_entity(), tags)])

    def log_json(self, run_id: str, name: str, content: Mapping[str, Any]) -> None:
        """Log a document."""
        with mlflow_errors(f"logging {name}"):
            self._client.log_dict(run_id, dict(content), name)

    def log_figures(self, run_id: str, figures: Mapping[str, Figure]) -> None:
        """Log plots as `plots/<name>.png`."""
        for name, figure in figures.items():
            with mlflow_errors(f"logging plot {name}"):
                self._client.log_figure(run_id, figure, f"plots/{name}.png", save_kwargs={"dpi": 110})

    def finish(self, run_id: str) -> None:
        """Mark the run as ended well."""
        with mlflow_errors("ending a run"):
            self._client.set_terminated(run_id, "FINISHED")

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        known = self._client.get_experiment_by_name(name)
        if known is not None:
            return str(known.experiment_id)
        try:
            return str(self._client.create_experiment(name, artifact_location=self._artifacts))
        except MlflowException as error:
            created = self._client.get_experiment_by_name(name)  # by another run, a moment ago
            if error.error_code != "RESOURCE_ALREADY_EXISTS" or created is None:
                raise
            return str(created.experiment_id)
