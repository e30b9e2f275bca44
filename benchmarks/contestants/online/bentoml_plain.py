"""BentoML, Feast's SDK, pandas and scikit-learn, put together as their documentation has it.

After BentoML's "Create online API Services" (the model is loaded in `__init__`, the API takes and gives typed values),
Feast's "Retrieve online features", and MLflow's on loading a scikit-learn model.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import bentoml


@bentoml.service(name="inference")
class Inference:
    """One worker, BentoML's default."""

    def __init__(self) -> None:
        import mlflow
        from feast import FeatureStore

        words = json.loads(Path("model.json").read_text(encoding="utf-8"))
        mlflow.set_tracking_uri(words["mlflow_uri"])
        self.model = mlflow.sklearn.load_model(words["model_uri"])
        self.store = FeatureStore(repo_path="feature_repo")
        self.service = self.store.get_feature_service(words["service"])
        self.columns = words["features"].split(",")

    @bentoml.api(route="/inference")  # type: ignore[untyped-decorator] # BentoML has no types
    def inference(self, request_id: str, item_ids: list[int]) -> dict[str, Any]:
        """The item with the highest score."""
        found = self.store.get_online_features(
            features=self.service, entity_rows=[{"item_id": item} for item in item_ids]
        )
        frame = found.to_df().dropna(subset=self.columns)
        scores = self.model.predict_proba(frame[self.columns])[:, 1]
        best = int(scores.argmax())
        return {"request_id": request_id, "prediction": int(frame["item_id"].iloc[best]), "score": float(scores[best])}
