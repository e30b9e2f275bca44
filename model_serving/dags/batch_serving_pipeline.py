"""
### A batch of predictions

Reads a file of keys (CSV, TSV or Parquet), joins the features as they stood at each row's moment, and scores every row
with the model that the alias `champion` names: one output row per input row, in the same order.

The same run key again writes the same bytes to the same place. The last task's XCom names the output.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from pipeline_task import pipeline_task

RUN_KEY = {"--run-key": "{{ params.run_key or run_id }}"}
INPUT = {"--input": "{{ params.input_path or '' }}"}
TIMEOUT = timedelta(hours=2)

with DAG(
    dag_id="batch_serving_pipeline",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "model_serving"},
    tags=["serving", "batch"],
    params={
        "input_path": Param(
            None,
            type=["null", "string"],
            description="File of keys to score; empty: the sample request.",
        ),
        "run_key": Param(
            None,
            type=["null", "string"],
            maxLength=200,
            description="Name of the batch, under which its output is kept; empty: the id of the DAG run.",
        ),
    },
):
    feature_store_init = pipeline_task(
        "feature_store_init_task", ["model-serving", "batch", "feature-store-init"], RUN_KEY, timeout=TIMEOUT
    )
    data_extraction = pipeline_task(
        "data_extraction_task", ["model-serving", "batch", "data-extraction"], RUN_KEY | INPUT, timeout=TIMEOUT
    )
    batch_prediction = pipeline_task(
        "batch_prediction_task", ["model-serving", "batch", "batch-prediction"], RUN_KEY, timeout=TIMEOUT
    )
    feature_store_init >> data_extraction >> batch_prediction
