"""What other services need of a trained version, as files: the ONNX form, or the weights of a linear model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from benchmarks.job import Facts, Job, Measured
from twinserve.files.atomic import write_atomically


def ready(job: Job) -> Measured:
    """Writes into the folder `target`, where `export_model` has been before."""

    def measured() -> Facts:
        import joblib
        import mlflow

        from twinserve.registry import Registry
        from twinserve.settings import load_settings

        target, settings = job.path("target"), load_settings()
        model = Registry(settings).load_champion()
        uri = f"models:/{model.name}/{model.version}"
        estimator = joblib.load(target / "model.joblib")
        found = {
            **json.loads((target / "model.json").read_text(encoding="utf-8")),
            "model_uri": uri,
            "mlflow_uri": settings.mlflow_tracking,
            "view": model.contract.views[0],
            "dtypes": [feature.dtype for feature in model.contract.features],
            **(_linear(estimator) or _onnx(Path(mlflow.artifacts.download_artifacts(uri)), target)),
        }
        write_atomically(target / "online.json", json.dumps(found))
        return {}

    return measured


def _linear(estimator: Any) -> dict[str, Any]:
    """Weights and intercept on raw features, the scaling before the last step folded in; nothing for other models."""
    import numpy as np

    *_, last = getattr(estimator, "steps", [("", estimator)])
    if not hasattr(last[1], "coef_"):
        return {}
    width = estimator.n_features_in_
    origin, *units = estimator.decision_function(np.vstack([np.zeros(width), np.eye(width)]))
    return {"weights": [float(unit - origin) for unit in units], "intercept": float(origin)}


def _onnx(version: Path, target: Path) -> dict[str, Any]:
    import onnxruntime

    file = target / "model.onnx"
    shutil.copyfile(next(version.rglob("*.onnx")), file)
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    usage = json.loads(session.get_modelmeta().custom_metadata_map["twinserve"])
    return {"onnx": str(file), "column": usage.get("column", 0), "link": usage.get("link", "identity")}
