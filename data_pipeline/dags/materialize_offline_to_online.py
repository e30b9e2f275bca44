"""
### From the offline store to the online store

Copies the newest feature values of every key from the offline store to Redis, from where `/inference` reads them.
Each run reads what changed since the last one, and looks back for rows that arrived late.

**When:** whenever the asset `offline_features` was updated, or by hand. Updates that come while it runs are taken
together by the next run. If it wrote anything, it updates the asset `online_features`.

**If it fails:** Redis keeps what it has; the next run brings the rest. See `docs/runbooks/dag-failed.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from failure_notice import run_timed_out
from feature_assets import OFFLINE_FEATURES, ONLINE_FEATURES
from pipeline_task import pipeline_task

# 0 is a value of its own: no look-back
LOOKBACK = "{{ '' if params.lookback_hours is none else params.lookback_hours }}"

with DAG(
    dag_id="materialize_offline_to_online",
    doc_md=__doc__,
    schedule=[OFFLINE_FEATURES],
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=4),
    on_failure_callback=run_timed_out,
    default_args={"owner": "data_pipeline"},
    tags=["data", "online store"],
    params={
        "lookback_hours": Param(
            None,
            type=["null", "number"],
            minimum=0,
            title="Look-back in hours",
            description="Hours before the end of the last run from which to take rows again; empty: the default.",
        ),
    },
):
    pipeline_task(
        "materialize_task",
        ["data-pipeline", "materialize"],
        {"--lookback-hours": LOOKBACK},
        timeout=timedelta(hours=1),
        updates=ONLINE_FEATURES,
    )
