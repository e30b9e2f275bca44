"""A run is of one model and one state of the definitions, from its first step to its output."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from batch_run import Batch, untimed
from serving_worlds import FRESH, NOW, World, classifier_output, fitted_classifier

from model_serving.batch.batch_prediction import batch_prediction
from twinserve.errors import BadInput, ContractMismatch
from twinserve.features.feast_repo.store import apply_definitions
from twinserve.registry import ServedModel

pytestmark = pytest.mark.integration
STEPS: list[Callable[[Batch, Path], Any]] = [
    lambda batch, _: batch.init(),
    lambda batch, source: batch.extract(source),
    lambda batch, _: batch.predict(),
    lambda batch, _: batch.predict(0),
]


@pytest.fixture
def batch(rides: World, request: pytest.FixtureRequest) -> Batch:
    return Batch(rides, request.node.name)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "in.csv"
    file.write_text("driver_id,event_timestamp\n" + "".join(f"{key},{NOW.isoformat()}\n" for key in FRESH))
    return file


@pytest.fixture(scope="module")
def other(rides: World) -> World:
    """The same home, with another model as champion."""
    world = rides.renamed("other")
    world.register(fitted_classifier(5), world.contract(classifier_output()))
    return world


@contextmanager
def definitions(world: World, before: str, after: str) -> Iterator[None]:
    """Inside the block, the feature repo says `after` in place of `before`, and has been applied."""
    (file,) = world.settings.feature_repo.glob("*.py")
    text = file.read_text()
    assert before in text

    def put(content: str) -> None:
        file.write_text(content)
        with world.active():
            apply_definitions(world.settings, world.redis_url)

    try:
        put(text.replace(before, after))
        yield
    finally:
        put(text)


def files(batch: Batch) -> dict[str, bytes]:
    """All that the run has written, less its locks."""
    places = [batch.run.folder, batch.run.output, batch.run.unfinished]
    found = [file for place in places for file in sorted(place.rglob("*")) if file.is_file()]
    return {str(file): file.read_bytes() for file in found if file.parent.name != "locks"}


@pytest.mark.parametrize("done", [1, 2, 3])
def test_a_step_for_another_model_is_refused(batch: Batch, other: World, good: Path, done: int) -> None:
    """However far the run has come; 3: it is finished."""
    for step in STEPS[:done]:
        step(batch, good)
    theirs, before = Batch(other, batch.run.key), files(batch)
    for step in STEPS:
        with pytest.raises(
            BadInput, match=r"another TWINSERVE_MODEL_NAME: ranker then, other now\. Take another run key"
        ):
            step(theirs, good)
    assert files(batch) == before
    Batch(batch.world, batch.run.key).all(good)
    assert set(batch.table["model_name"].to_pylist()) == {"ranker"}


def test_a_run_of_another_model_by_another_key(batch: Batch, other: World, good: Path) -> None:
    own, theirs = batch.all(good), Batch(other, f"{batch.run.key}-other").all(good)
    assert (own["model_name"], theirs["model_name"]) == ("ranker", "other")
    assert own["scores"] != theirs["scores"]


def test_definitions_that_change_after_the_pin(batch: Batch, good: Path) -> None:
    batch.init()
    with definitions(batch.world, "ttl=timedelta(days=1)", "ttl=timedelta(hours=30)"):
        with pytest.raises(
            BadInput, match=r"state of the definitions of ranking: \w+ then, \w+ now.*feature-store-init"
        ):
            batch.extract(good)
        assert not (batch.run.folder / "extraction.json").exists()
    batch.all(good)


def test_definitions_that_change_between_extraction_and_prediction(batch: Batch, good: Path) -> None:
    batch.init()
    batch.extract(good)
    before = files(batch)
    with definitions(batch.world, 'name="trips", dtype=Int64', 'name="trips", dtype=Float32'):
        for shard in (None, 0):
            with pytest.raises(BadInput, match=r"state of the definitions of ranking: .*data-extraction again"):
                batch.predict(shard)
        assert files(batch) == before
    assert batch.predict()["rows"] == len(FRESH)


def test_a_finished_run_after_the_definitions_have_changed(batch: Batch, good: Path) -> None:
    batch.all(good)
    content, footer = batch.bytes, pq.read_metadata(batch.run.output / "part-00000.parquet").metadata[b"twinserve"]
    assert json.loads(footer)["feature_service"] == "ranking"
    assert json.loads(footer)["definitions"]
    with definitions(batch.world, 'offline_source("driver_stats")', 'offline_source("driver_stats", created=None)'):
        for step in STEPS:
            with pytest.raises(BadInput, match=r"state of the definitions of ranking: .*Take another run key"):
                step(batch, good)
    assert batch.bytes == content
    assert batch.all(good)["finished_before"]


def test_what_no_join_goes_by_may_change(batch: Batch, good: Path) -> None:
    batch.init()
    batch.extract(good)
    text = """
further = FeatureView(name="further", entities=[driver], ttl=timedelta(days=3), source=offline_source("further"),
    schema=[Field(name="driver_id", dtype=Int64), Field(name="more", dtype=Float32)])
service ="""
    with definitions(batch.world, "\nservice =", text):
        result = batch.predict()
        assert untimed(batch.all(good)) == untimed(result) | {"finished_before": True}


def test_another_model_under_the_same_version(batch: Batch, other: World, good: Path) -> None:
    """As after a restart with an empty MLflow."""
    batch.init()
    batch.extract(good)

    def load(version: str) -> ServedModel:
        found = other.registry.load_version(version)
        return ServedModel("ranker", found.version, found.contract, found.score)

    with pytest.raises(
        ContractMismatch, match=r"ranker version 1 is not the ranker version 1 that run .* is pinned to"
    ):
        batch_prediction(batch.run, load)
    assert not batch.run.output.exists()


def test_notes_and_outputs_of_an_earlier_release_are_read(batch: Batch, good: Path) -> None:
    batch.init()
    batch.extract(good)
    for name in ("run.json", "extraction.json"):
        note = json.loads((batch.run.folder / name).read_text())
        assert note.pop("definitions")
        (batch.run.folder / name).write_text(json.dumps(note))
    batch.predict()
    (part,) = batch.run.output.iterdir()
    table, footer = pq.read_table(part), json.loads(pq.read_metadata(part).metadata[b"twinserve"])
    earlier = {name: value for name, value in footer.items() if name not in ("feature_service", "definitions")}
    with pq.ParquetWriter(part, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"twinserve": json.dumps(earlier)})
    shutil.rmtree(batch.run.folder)
    assert batch.all(good)["finished_before"]
