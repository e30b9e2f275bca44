"""
### From the source to the offline store

Takes what is new in the source (a database, a file or a folder of files) since the last run, cleans it, checks it,
sets bad rows aside with the reason of each, and writes the rest to the offline store: Parquet, one folder a day.

Running it again takes only newer rows; running it twice at once is prevented. The last task's log names the report.

A source that needs a password belongs in the setting `TWINSERVE_SOURCE_URL`: parameters are shown on this page.
"""

from datetime import timedelta

from airflow.sdk import DAG, Param

from pipeline_task import pipeline_task

RUN_KEY = {"--run-key": "{{ run_id }}"}
SOURCE = {"--source": "{{ params.source or '' }}", "--view": "{{ params.view or '' }}"}
TIMEOUT = timedelta(hours=2)

with DAG(
    dag_id="db_to_offline_store",
    doc_md=__doc__,
    schedule=None,
    catchup=False,
    max_active_runs=1,
    default_args={"owner": "data_pipeline"},
    tags=["data", "offline store"],
    params={
        "source": Param(
            None,
            type=["null", "string"],
            description="SQLAlchemy URL, file or folder to read; empty: the source database of the settings.",
        ),
        "view": Param(
            None,
            type=["null", "string"],
            description="Name of the feature view that the source feeds; empty: each view from its own table.",
        ),
    },
):
    ingest = pipeline_task("ingest_task", ["data-pipeline", "ingest"], RUN_KEY | SOURCE, timeout=TIMEOUT)
    clean = pipeline_task("clean_task", ["data-pipeline", "clean"], RUN_KEY, timeout=TIMEOUT)
    explore_and_validate = pipeline_task(
        "explore_and_validate_task", ["data-pipeline", "explore-and-validate"], RUN_KEY, timeout=TIMEOUT
    )
    ingest >> clean >> explore_and_validate
