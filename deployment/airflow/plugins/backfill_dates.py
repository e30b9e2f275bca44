"""Days that can be backfilled, for a DAG that otherwise runs when its assets are updated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin
from airflow.sdk import Asset, AssetOrTimeSchedule
from airflow.timetables.interval import CronDataIntervalTimetable

if TYPE_CHECKING:
    from airflow.timetables.base import DagRunInfo, DataInterval, TimeRestriction


class BackfillDates(CronDataIntervalTimetable):
    """The intervals of a cron expression, for backfills alone: the clock starts nothing.

    Airflow backfills only what has a schedule by time, and it asks for the intervals of a backfill with `catchup` on,
    whatever the DAG says. For a DAG with `catchup=False` that tells a backfill from the scheduler.
    """

    @property
    def summary(self) -> str:
        """Shown in the list of DAGs."""
        return "backfill by date"

    def next_dagrun_info(
        self, *, last_automated_data_interval: DataInterval | None, restriction: TimeRestriction
    ) -> DagRunInfo | None:
        """See Airflow's `Timetable`."""
        if not restriction.catchup:
            return None
        return super().next_dagrun_info(
            last_automated_data_interval=last_automated_data_interval, restriction=restriction
        )


def updates_or_backfill(*assets: Asset) -> AssetOrTimeSchedule:
    """The schedule of a DAG that runs when `assets` were updated, and can be backfilled by day (UTC)."""
    days = BackfillDates("0 0 * * *", timezone="UTC")
    return AssetOrTimeSchedule(timetable=days, assets=assets)  # type: ignore[arg-type] # its form of custom timetables


class BackfillDatesPlugin(AirflowPlugin):
    """Makes the timetable known to scheduler, API server and command line."""

    name = "twinserve_backfill_dates"
    timetables = [BackfillDates]  # noqa: RUF012 - declared so by Airflow
