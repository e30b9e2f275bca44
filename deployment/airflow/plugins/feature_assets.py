"""The two stores as Airflow's assets, and how a task says that it has changed one of them.

A task with an asset among its outlets would announce an update whenever it succeeds. An ingest that found nothing new
must start nobody: the outlet is an alias, and the asset is named under it only when the command says that it changed
something.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import Asset, AssetAlias
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

OFFLINE_FEATURES = Asset("offline_features", uri="twinserve://features/offline")
ONLINE_FEATURES = Asset("online_features", uri="twinserve://features/online")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Announcement:
    """Announces an update of `asset` after a command that changed it; for `post_execute` of a task.

    The command's result says so under `updated`: counts of what it changed, all zero if nothing.
    """

    asset: Asset

    @property
    def outlet(self) -> AssetAlias:
        """What the task must have among its outlets."""
        return AssetAlias(f"{self.asset.name}_updates")

    def __call__(self, context: Context, result: Any = None) -> None:
        """Airflow's hook after a task's work is done."""
        counts = updated(result)
        if not any(counts.values()):
            logger.info("%s is as it was: nobody who waits for it is started", self.asset.name)
            return
        extra = {**counts, "run_key": result.get("run_key") or context["run_id"]}
        context["outlet_events"][self.outlet].add(self.asset, extra=extra)
        logger.info("%s was updated: %s", self.asset.name, extra)


def updated(result: Any) -> dict[str, int]:
    """The counts under `updated` of a command's result.

    Raises:
        AirflowFailException: it has none, so that whoever waits for the asset would never be started.
    """
    counts = result.get("updated") if isinstance(result, Mapping) else None
    if not isinstance(counts, Mapping):
        raise AirflowFailException(f"the command's result does not say what it updated: {str(result)[:200]}")
    return {str(name): int(count) for name, count in counts.items()}
