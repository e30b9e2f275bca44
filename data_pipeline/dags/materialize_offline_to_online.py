"""
### From the offline store to the online store

Copies the newest feature values of every key from the offline store to Redis, from where `/inference` reads them.
Each run starts where the last one ended, less a look-back for rows that arrived late.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from pipeline_task import pipeline_task

# 0 is a value of its own: no look-back
LOOKBACK = "{{ '' if params.lookback_hours is none else params.lookback_hours }}"

with DAG(
    dag_id="materialize_offline_to_online",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data_pipeline"},
    tags=["data", "online store"],
    params={
        "lookback_hours": Param(
            None,
            type=["null", "number"],
            minimum=0,
            description="Hours before the end of the last run from which to take rows again; empty: the default.",
        ),
    },
):
    pipeline_task(
        "materialize_task",
        ["data-pipeline", "materialize"],
        {"--lookback-hours": LOOKBACK},
        timeout=timedelta(hours=1),
    )
