"""One batch run, its steps called in the test's own process."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from serving_worlds import World

from model_serving.batch.batch_prediction import batch_prediction
from model_serving.batch.data_extraction import data_extraction
from model_serving.batch.feature_store_init import feature_store_init
from model_serving.batch.run import BatchRun


def untimed(result: dict[str, Any]) -> dict[str, Any]:
    """A step's result without what differs from run to run."""
    return {name: value for name, value in result.items() if name not in ("seconds", "rows_per_second")}


class Batch:
    """One run key of one world, its steps called in this process."""

    def __init__(self, world: World, key: str) -> None:
        self.world, self.run = world, BatchRun.of(world.settings, key)

    def init(self) -> dict[str, Any]:
        with self.world.active():
            return feature_store_init(self.world.settings, self.world.redis_url, self.world.registry, self.run)

    def extract(self, source: Path, moment: datetime | None = None) -> dict[str, Any]:
        return data_extraction(self.world.settings, self.world.redis_url, self.run, source, moment)

    def predict(self, shard: int | None = None) -> dict[str, Any]:
        return batch_prediction(self.run, self.world.registry.load_version, shard)

    def all(self, source: Path) -> dict[str, Any]:
        self.init()
        self.extract(source)
        return self.predict()

    def sharded(self, rows: int) -> Batch:
        """The same run with so many rows in a file."""
        settings = self.world.settings.model_copy(update={"batch_shard_rows": rows})
        environment = self.world.environment | {"TWINSERVE_BATCH_SHARD_ROWS": str(rows)}
        return Batch(World(settings, self.world.redis_url, environment), self.run.key)

    @property
    def bytes(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in sorted(self.run.output.iterdir())}

    @property
    def table(self) -> pa.Table:
        return pq.read_table(self.run.output)
