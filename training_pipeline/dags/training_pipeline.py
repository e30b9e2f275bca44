"""
### From features to a registered model

Joins the labels with the features as they stood at each label's moment, checks the result, splits it by time, trains,
evaluates against a baseline and against the present champion, and registers the model. The alias `champion` moves only
if the last task passes; a model that does not pass fails that task and moves nothing.

**When:** whenever the asset `offline_features` was updated, or by hand. Updates that come while it runs are taken
together by the next run.

**If it fails:** the champion stays. A model that was not good enough is a failure of `model_validation_task`, and its
log says by how much. See `docs/runbooks/dag-failed.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param, chain

from failure_notice import run_timed_out
from feature_assets import OFFLINE_FEATURES
from pipeline_task import pipeline_task

RUN_KEY = {"--run-key": "{{ run_id }}"}
LABELS = {"--labels": "{{ params.labels or '' }}"}
# task, command, what it takes besides the run key, time limit
STEPS = [
    ("feature_store_init_task", "feature-store-init", {}, timedelta(minutes=15)),
    ("data_extraction_task", "data-extraction", LABELS, timedelta(hours=1)),
    ("data_validation_task", "data-validation", {}, timedelta(minutes=30)),
    ("data_preparation_task", "data-preparation", {}, timedelta(minutes=30)),
    ("model_training_task", "model-training", {}, timedelta(hours=4)),
    ("model_evaluation_task", "model-evaluation", {}, timedelta(hours=1)),
    ("model_validation_task", "model-validation", {}, timedelta(minutes=15)),
]

with DAG(
    dag_id="training_pipeline",
    doc_md=__doc__,
    schedule=[OFFLINE_FEATURES],
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=12),
    on_failure_callback=run_timed_out,
    default_args={"owner": "training_pipeline"},
    tags=["training"],
    params={
        "labels": Param(
            None,
            type=["null", "string"],
            title="Labels",
            description="CSV, TSV or Parquet file of labels; empty: the labels that the training parameters name.",
        ),
    },
):
    chain(
        *(
            pipeline_task(task_id, ["training-pipeline", command], RUN_KEY | options, timeout=timeout)
            for task_id, command, options, timeout in STEPS
        )
    )
