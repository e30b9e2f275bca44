"""FastAPI under uvicorn, Feast's SDK, pandas and scikit-learn.

After FastAPI's "Lifespan Events" (the model is loaded before the first request) and "Concurrency and async" (what
blocks is a plain `def`, which FastAPI runs in a thread).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import mlflow
from fastapi import FastAPI
from feast import FeatureStore
from pydantic import BaseModel

held: dict[str, Any] = {}


class Request(BaseModel):
    """A request's body."""

    request_id: str
    item_ids: list[int]


class Answer(BaseModel):
    """The best item."""

    request_id: str
    prediction: int
    score: float


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Load the model and open the store."""
    words = json.loads(Path("model.json").read_text(encoding="utf-8"))  # noqa: ASYNC240 - nobody waits for this yet
    mlflow.set_tracking_uri(words["mlflow_uri"])
    held["model"] = mlflow.sklearn.load_model(words["model_uri"])
    held["store"] = FeatureStore(repo_path="feature_repo")
    held["service"] = held["store"].get_feature_service(words["service"])
    held["columns"] = words["features"].split(",")
    yield


app = FastAPI(lifespan=lifespan)


@app.get("/readyz")
def ready() -> str:
    """The lifespan has begun, or nobody would be listening."""
    return "ready"


@app.post("/inference")
def inference(request: Request) -> Answer:
    """The item with the highest score."""
    found = held["store"].get_online_features(
        features=held["service"], entity_rows=[{"item_id": item} for item in request.item_ids]
    )
    columns = held["columns"]
    frame = found.to_df().dropna(subset=columns)
    scores = held["model"].predict_proba(frame[columns])[:, 1]
    best = int(scores.argmax())
    return Answer(request_id=request.request_id, prediction=int(frame["item_id"].iloc[best]), score=float(scores[best]))
