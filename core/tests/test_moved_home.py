"""A home that was copied, or moved, goes on by itself: nothing of it leads back to where it was."""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from small_feature_repo import write_feature_repo

from twinserve.command.moved_home import NOTE, take_over
from twinserve.embedded.redis import leased_redis
from twinserve.features.feast_repo.store import apply_definitions, open_store
from twinserve.registry import Registry
from twinserve.settings import Settings, load_settings
from twinserve.values.databases import source_key

pytestmark = pytest.mark.integration
DEFINITIONS = """
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64
from twinserve.features.sources import offline_source

store = Entity(name="store", join_keys=["store_id"], value_type=ValueType.INT64)
sales = FeatureView(
    name="sales", entities=[store], source=offline_source("sales"),
    schema=[Field(name="store_id", dtype=Int64), Field(name="revenue", dtype=Float32)],
)
service = FeatureService(name="ranking", features=[sales])
"""
REDIS = "redis://unused:6379/0"


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A home with an MLflow run and an applied feature repo, under a name that a URL has to quote."""
    root = tmp_path_factory.mktemp("a root")
    settings = load_settings(home=root / "my höme", feature_repo=write_feature_repo(root / "repo", "shop", DEFINITIONS))
    settings.home.mkdir()
    take_over(settings)
    with leased_redis(settings) as redis_url:
        apply_definitions(settings, redis_url)
    registry = Registry(settings)
    place = settings.mlflow_artifacts.as_uri()
    number = registry._client.create_experiment("tests", artifact_location=place)
    registry._client.log_text(registry._client.create_run(number).info.run_id, "theirs", "who.txt")
    return settings


@pytest.fixture(params=["noted", "of an earlier release"])
def copy(lived_in: Settings, tmp_path: Path, request: pytest.FixtureRequest) -> Settings:
    target = tmp_path / "cöpy of it"
    shutil.copytree(lived_in.home, target)
    if request.param != "noted":
        (target / NOTE).unlink()
    return load_settings(home=target, feature_repo=lived_in.feature_repo)


def texts(home: Path) -> str:
    """All that the two databases hold."""
    found = []
    for file in (home / "mlflow" / "mlflow.db", home / "feast" / "registry.db"):
        with closing(sqlite3.connect(file)) as database:
            database.text_factory = bytes
            tables = [
                name.decode() for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='table'")
            ]
            found += [str(row) for table in tables for row in database.execute(f"SELECT * FROM {table}")]
    return "\n".join(found)


def test_a_copy_is_a_home_of_its_own(lived_in: Settings, copy: Settings, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    original = texts(lived_in.home)
    for _ in range(2):
        take_over(copy)
    assert [record.message for record in caplog.records] == [
        f"{copy.home} was copied from {lived_in.home}: its paths are taken over"
    ]
    client = Registry(copy)._client
    experiment = client.get_experiment_by_name("tests")
    assert experiment
    (earlier,) = client.search_runs([experiment.experiment_id])
    assert earlier.info.artifact_uri.startswith(copy.home.as_uri())
    client.log_text(client.create_run(experiment.experiment_id).info.run_id, "ours", "who.txt")
    assert sorted(f.read_text() for f in copy.mlflow_artifacts.rglob("who.txt")) == ["ours", "theirs"]
    assert [f.read_text() for f in lived_in.mlflow_artifacts.rglob("who.txt")] == ["theirs"]
    view = open_store(copy, REDIS).get_feature_view("sales")
    assert view.batch_source.path == str(copy.offline_store / "sales")
    found = texts(copy.home)
    for name in (lived_in.home.as_uri(), str(lived_in.home), repr(str(lived_in.home).encode())[2:-1]):
        assert f"{name}/" not in found
    assert texts(lived_in.home) == original


@pytest.mark.parametrize("gone", [False, True], ids=["copied", "moved"])
def test_a_home_of_an_earlier_release_whose_mlflow_is_a_server_is_known_by_its_sources(
    lived_in: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, gone: bool
) -> None:
    first, target = tmp_path / "first", tmp_path / "second"
    shutil.copytree(lived_in.home, first)
    take_over(load_settings(home=first))
    for leftover in (first / NOTE, first / "mlflow" / "mlflow.db"):
        leftover.unlink()
    (shutil.move if gone else shutil.copytree)(str(first), str(target))
    home = load_settings(home=target, feature_repo=lived_in.feature_repo, mlflow_uri="http://unused:5000")
    caplog.clear()
    for _ in range(2):
        take_over(home)
    how = "moved" if gone else "copied"
    assert [record.message for record in caplog.records] == [
        f"{target} was {how} from {first}: its paths are taken over"
    ]
    assert open_store(home, REDIS).get_feature_view("sales").batch_source.path == str(home.offline_store / "sales")


def test_a_source_in_a_folder_of_somebody_elses_is_no_former_home(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    theirs = tmp_path / "theirs" / "offline"
    theirs.mkdir(parents=True)
    text = DEFINITIONS.replace(
        'offline_source("sales")', f'FileSource(name="s", path="{theirs}/sales", timestamp_field="at")'
    )
    repo = write_feature_repo(tmp_path / "repo", "shop", text.replace("Entity, ", "Entity, FileSource, "))
    settings = load_settings(home=tmp_path / "home", feature_repo=repo, mlflow_uri="http://unused:5000")
    settings.home.mkdir()
    with leased_redis(settings) as redis_url:
        apply_definitions(settings, redis_url)
    take_over(settings)
    assert not caplog.records
    assert open_store(settings, REDIS).get_feature_view("sales").batch_source.path == f"{theirs}/sales"


def test_a_home_seen_under_another_name_is_left_as_it_is(lived_in: Settings, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(lived_in.home)
    before = texts(lived_in.home)
    take_over(load_settings(home=tmp_path / "link"))
    assert texts(lived_in.home) == before
    assert json.loads((lived_in.home / NOTE).read_text()) == {"path": str(lived_in.home)}


def test_a_new_home_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    take_over(load_settings(home=tmp_path / "new"))
    assert not caplog.records
    assert (tmp_path / "new" / NOTE).is_file()


@pytest.mark.parametrize("ascii_only", [True, False])
def test_notes_of_runs_and_watermarks_come_along(tmp_path: Path, ascii_only: bool) -> None:
    first = load_settings(home=tmp_path / "höme")
    first.home.mkdir()
    take_over(first)
    source = f"sqlite:///{first.home}/source/source.db#visits"
    mark = first.home / "watermarks" / "visits" / f"{source_key(source)}.json"
    elsewhere = f"{first.home}2/day.csv"  # begins alike, and is another folder
    run = first.scratch("data_pipeline", "r") / "visits" / "ingest.json"
    write(mark, {"source": source, "at": None}, ascii_only)
    write(run, {"path": f"{first.home}/runs", "sources": [{"name": source}, {"name": elsewhere}]}, ascii_only)
    second = load_settings(home=tmp_path / "elsewhère")
    first.home.rename(second.home)
    take_over(second)
    moved = f"sqlite:///{second.home}/source/source.db#visits"
    (kept,) = (second.home / "watermarks" / "visits").iterdir()
    assert kept.name == f"{source_key(moved)}.json"
    assert json.loads(kept.read_bytes()) == {"source": moved, "at": None}
    noted = json.loads((second.scratch("data_pipeline", "r") / "visits" / "ingest.json").read_bytes())
    assert noted == {"path": f"{second.home}/runs", "sources": [{"name": moved}, {"name": elsewhere}]}


def write(file: Path, content: object, ascii_only: bool) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(content, ensure_ascii=ascii_only), encoding="utf-8")


def test_a_home_that_was_not_moved_costs_a_look_at_its_note(tmp_path: Path) -> None:
    settings = load_settings(home=tmp_path)
    take_over(settings)
    code = (
        "import sys\nfrom twinserve.command.moved_home import take_over\nfrom twinserve.settings import load_settings\n"
        "take_over(load_settings())\nprint(*{'feast', 'mlflow', 'sqlalchemy', 'google.protobuf'} & set(sys.modules))"
    )
    environment = {**os.environ, "TWINSERVE_HOME": str(tmp_path)}
    told = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == ""
