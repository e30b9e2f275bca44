"""
### A batch of predictions

Reads a file of keys (CSV, TSV or Parquet), joins the features as they stood at each row's moment, and scores every row
with the model that the alias `champion` names: one output row per input row, in the same order.

**When:** whenever the asset `offline_features` was updated, or by hand. Updates that come while it runs are taken
together by the next run.

**Input:** the parameter, else the Airflow variable `batch_serving_input`, else the sample request. `{date}` in it
becomes the day that the run is for: the day of the backfill, else the last day that was over when the run began. Rows
without an `event_timestamp` get the features of the run's moment: the end of the day of a backfill, else the moment at
which the run began, or the one given as parameter.

**Output:** a folder of Parquet files; the XCom of each instance of the last task names it under `output`. A large input
is scored by several instances of that task, one for each `TWINSERVE_BATCH_SHARD_ROWS` rows, and the folder appears when
the last of them is done. The same run key again writes the same bytes to the same place.

**Backfill:** `airflow backfill create --dag-id batch_serving_pipeline --from-date 2026-01-05 --to-date 2026-01-07`
scores each of these days; the run key is the day, as `2026-01-05`. A day that was scored stays as it is.

**If it fails:** there is no output rather than half of one. See `docs/runbooks/dag-failed.md`.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from backfill_dates import updates_or_backfill
from failure_notice import run_succeeded, run_timed_out
from feature_assets import OFFLINE_FEATURES
from pipeline_task import pipeline_task, pipeline_task_per_part

# a run that was started by an asset or by hand has no data interval
DATE = (
    "{% set date = ds if dag_run.run_type == 'backfill'"
    " else (dag_run.run_after - macros.timedelta(days=1)).strftime('%Y-%m-%d') %}"
)
RUN_KEY = {
    "--run-key": DATE + "{{ params.run_key.replace('{date}', date) if params.run_key"
    " else date if dag_run.run_type == 'backfill' else run_id }}"
}
INPUT = {
    "--input": DATE + "{{ (params.input_path or var.value.get('batch_serving_input', '')).replace('{date}', date) }}",
    "--as-of": "{{ params.as_of"
    " or (data_interval_end if dag_run.run_type == 'backfill' else dag_run.run_after).isoformat() }}",
}
TIMEOUT = timedelta(hours=2)

with DAG(
    dag_id="batch_serving_pipeline",
    doc_md=__doc__,
    schedule=updates_or_backfill(OFFLINE_FEATURES),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    on_failure_callback=run_timed_out,
    on_success_callback=run_succeeded,
    # the runs of a backfill are not bound by max_active_runs
    default_args={"owner": "model_serving", "max_active_tis_per_dag": 1},
    tags=["serving", "batch"],
    params={
        "input_path": Param(
            None,
            type=["null", "string"],
            title="Input",
            description="File of keys to score; {date} stands for the day of the run. Empty: the Airflow variable "
            "batch_serving_input, else the sample request.",
        ),
        "run_key": Param(
            None,
            type=["null", "string"],
            maxLength=200,
            title="Run key",
            description="Name of the batch, under which its output is kept; {date} stands for the day of the run. "
            "Empty: the id of the DAG run; in a backfill, the day.",
        ),
        "as_of": Param(
            None,
            type=["null", "string"],
            format="date-time",
            title="As of",
            description="Moment whose features rows without a time get, as 2026-01-31T12:00:00Z. Empty: when the run "
            "began; in a backfill, the end of the day.",
        ),
    },
):
    feature_store_init = pipeline_task(
        "feature_store_init_task", ["model-serving", "batch", "feature-store-init"], RUN_KEY, timeout=TIMEOUT
    )
    data_extraction = pipeline_task(
        "data_extraction_task",
        ["model-serving", "batch", "data-extraction"],
        RUN_KEY | INPUT,
        timeout=TIMEOUT,
        parts="shards",
    )
    batch_prediction = pipeline_task_per_part(
        "batch_prediction_task",
        ["model-serving", "batch", "batch-prediction"],
        RUN_KEY,
        of=data_extraction,
        timeout=TIMEOUT,
    )
    feature_store_init >> data_extraction >> batch_prediction
