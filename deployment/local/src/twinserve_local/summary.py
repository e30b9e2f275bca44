"""What the demo found, for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twinserve_local.demo import Outcome
from twinserve_local.online_service import curl

WIDTH = 14


def summary(outcome: Outcome, port: int) -> str:
    """The demo's closing page.

    Args:
        outcome: what was found.
        port: on which `make serve` will answer.
    """
    tasks = outcome.tasks
    facts = [
        *_data(tasks["db_to_offline_store"], tasks["materialize_offline_to_online"]["materialize_task"]),
        *_model(tasks["training_pipeline"]["model_validation_task"]),
        *_batch(tasks["batch_serving_pipeline"]["batch_prediction_task"]),
        ("online", _words(outcome.answer)),
        ("ask again", f"make serve, then: {curl(port, outcome.request)}"),
        ("seconds", ", ".join(f"{stage} {seconds:.0f}" for stage, seconds in outcome.seconds.items())),
        ("", f"{sum(outcome.seconds.values()):.0f} in all"),
    ]
    return "\n".join(f"{name:{WIDTH}}{text}" for name, text in facts)


def _data(store: dict[str, Any], materialized: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for view, found in store["explore_and_validate_task"]["views"].items():
        rows = store["ingest_task"]["views"][view]["rows"]
        keys = materialized["views"][view]
        yield (
            "data",
            f"{view}: {rows:,} rows in, {found['rows_bad']:,} quarantined, {found['rows_new']:,} new in the store",
        )
        if reasons := found["bad_by_reason"]:
            yield "", "; ".join(f"{reason} {count}" for reason, count in reasons.items())
        yield "report", str(found["report"])
        yield "materialized", f"{view}: {keys['written']:,} of {keys['keys']:,} keys written to the online store"


def _model(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    state = "new champion" if found["promoted"] else "still champion: training gave the same model again"
    yield "model", f"version {found['version']}, {state}"
    yield "metrics", ", ".join(f"{name} {value:.4f}" for name, value in found["metrics"].items())


def _batch(found: dict[str, Any]) -> Iterator[tuple[str, str]]:
    yield (
        "batch",
        f"{found['predicted']:,} predictions for {found['rows']:,} rows, model version {found['model_version']}",
    )
    yield "", str(found["output"])


def _words(answer: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in answer.items())
