"""
### From the source to the offline store

Takes what is new in the source (a database, a file or a folder of files) since the last run, cleans it, checks it,
sets bad rows aside with the reason of each, and writes the rest to the offline store: Parquet, one folder a day.

**When:** every day at 00:00 UTC, or by hand at any time. A run takes what arrived since the last one, however long ago
that was; running it again takes only newer rows.

**What follows:** if the last task changed the store, it updates the asset `offline_features`; the DAGs that are
scheduled by it start. A run that found nothing new starts none.

**Backfill:** `airflow backfill create --dag-id db_to_offline_store --from-date 2026-01-05 --to-date 2026-01-07` reads
again what arrived on each of these days. Rows that are stored already stay as they are, byte for byte, and the next
ordinary run goes on where the last one ended.

**A source that needs a password** belongs in the setting `TWINSERVE_SOURCE_URL`: parameters are shown on this page.

**If it fails:** nothing of the refused batch is stored, and the next run takes the same rows again. See
`docs/runbooks/dag-failed.md`; the log of the last task names the report.
"""

from datetime import timedelta

from airflow.sdk import DAG, CronDataIntervalTimetable, Param

from failure_notice import run_timed_out
from feature_assets import OFFLINE_FEATURES
from pipeline_task import pipeline_task

# a backfill has one key a day, whichever day it is asked for; with a schedule finer than a day, take ts instead of ds
RUN_KEY = {"--run-key": "{{ 'backfill-' ~ ds if dag_run.run_type == 'backfill' else run_id }}"}
SOURCE = {"--source": "{{ params.source or '' }}", "--view": "{{ params.view or '' }}"}
INTERVAL = {
    "--since": "{{ data_interval_start.isoformat() if dag_run.run_type == 'backfill' else '' }}",
    "--until": "{{ data_interval_end.isoformat() if dag_run.run_type == 'backfill' else '' }}",
}
TIMEOUT = timedelta(hours=2)

with DAG(
    dag_id="db_to_offline_store",
    doc_md=__doc__,
    schedule=CronDataIntervalTimetable("0 0 * * *", timezone="UTC"),
    catchup=False,
    max_active_runs=1,
    dagrun_timeout=timedelta(hours=8),
    on_failure_callback=run_timed_out,
    # the runs of a backfill are not bound by max_active_runs, and one at a time publishes a feature view
    default_args={"owner": "data_pipeline", "max_active_tis_per_dag": 1},
    tags=["data", "offline store"],
    params={
        "source": Param(
            None,
            type=["null", "string"],
            title="Source",
            description="SQLAlchemy URL, file or folder to read; empty: the source database of the settings.",
        ),
        "view": Param(
            None,
            type=["null", "string"],
            title="Feature view",
            description="Name of the feature view that the source feeds; empty: each view from its own table.",
        ),
    },
):
    ingest = pipeline_task("ingest_task", ["data-pipeline", "ingest"], RUN_KEY | SOURCE | INTERVAL, timeout=TIMEOUT)
    clean = pipeline_task("clean_task", ["data-pipeline", "clean"], RUN_KEY, timeout=TIMEOUT)
    explore_and_validate = pipeline_task(
        "explore_and_validate_task",
        ["data-pipeline", "explore-and-validate"],
        RUN_KEY,
        timeout=TIMEOUT,
        updates=OFFLINE_FEATURES,
    )
    ingest >> clean >> explore_and_validate
