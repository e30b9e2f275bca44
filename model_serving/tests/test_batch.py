"""The three batch steps over a real registry, feature registry and offline store."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_run import Batch, untimed
from serving_worlds import (
    FRESH,
    FRESH_SHOPS,
    NOW,
    NULL,
    STALE,
    UNKNOWN,
    World,
    classifier_output,
    fitted_classifier,
    program,
)
from waiting import until

from model_serving.batch.batch_prediction import batch_prediction
from model_serving.batch.shard_scoring import ShardRows
from twinserve.errors import BadInput, ContractMismatch, StepMissing
from twinserve.registry import ServedModel
from twinserve.steps.ledger import LedgerMismatch

pytestmark = pytest.mark.integration
RESULT = ["prediction", "reason", "passed_as_nan", "model_name", "model_version"]


@pytest.fixture
def batch(rides: World, request: pytest.FixtureRequest) -> Batch:
    """A run of the world `rides` under a key of the test's own."""
    return Batch(rides, request.node.name)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes a text file of entity rows."""

    def to_file(*lines: str, name: str = "request.csv", encoding: str = "utf-8") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
        return path

    return to_file


@pytest.fixture
def good(write: Callable[..., Path]) -> Path:
    """One row of each fate, and one twice."""
    keys = [FRESH[1], STALE, NULL, UNKNOWN, FRESH[0], FRESH[1]]
    return write("driver_id,event_timestamp", *(f"{key},{NOW.isoformat()}" for key in keys))


def test_one_output_row_per_input_row_in_input_order(batch: Batch, good: Path) -> None:
    result = batch.all(good)
    table = batch.table
    assert table.column_names == ["driver_id", "event_timestamp", *RESULT]
    assert table["driver_id"].to_pylist() == [FRESH[1], STALE, NULL, UNKNOWN, FRESH[0], FRESH[1]]
    assert table["event_timestamp"].to_pylist() == [NOW] * 6
    assert table["reason"].to_pylist() == [None, "stale", "null", "unknown", None, None]
    predictions = table["prediction"].to_pylist()
    assert [p is None for p in predictions] == [False, True, True, True, False, False]
    assert predictions[0] == predictions[5] != predictions[4]
    assert set(zip(table["model_name"].to_pylist(), table["model_version"].to_pylist(), strict=True)) == {
        ("ranker", "1")
    }
    scores = np.array([p for p in predictions if p is not None])
    assert untimed(result) == {
        "rows": 6,
        "predicted": 3,
        "left_out": {"null": 1, "stale": 1, "unknown": 1},
        "passed_as_nan": {"rows": 0, "views": {}},
        "ledger": {"seen": 6, "predicted": 3, "ignored": {"null": 1, "stale": 1, "unknown": 1}},
        "scores": {
            "min": scores.min(), "max": scores.max(), "mean": pytest.approx(scores.mean()),
            "std": pytest.approx(scores.std()),
        },
        "files": 1,
        "bytes": (batch.run.output / "part-00000.parquet").stat().st_size,
        "output": str(batch.run.output),
        "model_name": "ranker",
        "model_version": "1",
        "published": True,
        "finished_before": False,
    }  # fmt: skip
    assert result["rows_per_second"] > 0


def test_rows_that_go_astray_while_they_are_scored_fail_the_run(
    batch: Batch, good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch.init()
    assert batch.extract(good)["ledger"] == {"seen": 6, "joined": 6, "ignored": {}}
    whole = ShardRows.chunks
    with monkeypatch.context() as patch:
        patch.setattr(ShardRows, "chunks", lambda rows: ((found.slice(2), more) for found, more in whole(rows)))
        with pytest.raises(LedgerMismatch, match=r"shard 0 of run .* was given 6 rows and accounts for 4"):
            batch.predict()
    assert not batch.run.output.exists()
    assert batch.predict()["ledger"]["seen"] == 6


def test_a_file_shaped_like_the_sample_gives_ten_predictions(rides: World, write: Callable[..., Path]) -> None:
    """Tab-separated, key last, rows that repeat keys over days in which features come and expire; as processes."""
    times = pd.date_range("2021-04-18 01:29:28", periods=10, freq="2h", tz="UTC")
    keys = [1001, 1002, 1003, 1001, 1002, 1003, 1001, 1002, 1003, 1004]
    rows = [f"{time}\t{key}" for time, key in zip(times, keys, strict=True)]
    words = ("--run-key", "sample")
    rides.run("batch", "feature-store-init", *words)
    extracted = rides.result(
        "batch", "data-extraction", *words, "--input", str(write("event_timestamp\tdriver_id", *rows))
    )
    result = rides.result("batch", "batch-prediction", *words)
    table = pq.read_table(result["output"])
    assert (extracted["rows"], result["rows"], result["predicted"]) == (10, 10, 10)
    assert table["driver_id"].to_pylist() == keys
    assert table["event_timestamp"].to_pylist() == list(times)
    again = rides.result("batch", "batch-prediction", *words)
    assert untimed(again) == untimed(result) | {"finished_before": True}
    assert again["rows_per_second"] == 0


def test_the_same_run_key_again_gives_the_same_bytes(batch: Batch, good: Path) -> None:
    batch.all(good)
    first, stamp = batch.bytes, batch.run.output.stat().st_mtime_ns
    assert batch.all(good)["finished_before"]
    assert (batch.bytes, batch.run.output.stat().st_mtime_ns) == (first, stamp)
    shutil.rmtree(batch.run.folder)
    shutil.rmtree(batch.run.output)
    assert not batch.all(good)["finished_before"]
    assert batch.bytes == first


def test_a_finished_run_stays_as_it_is_when_the_champion_moves_on(rides: World, good: Path) -> None:
    world = rides.renamed("moving")
    world.register(fitted_classifier(1), world.contract(classifier_output()))
    finished, begun = Batch(world, "finished"), Batch(world, "begun")
    result = finished.all(good)
    content = finished.bytes
    begun.init()
    world.register(fitted_classifier(2), world.contract(classifier_output()))
    assert finished.init()["model_version"] == "1"
    assert untimed(finished.all(good)) == untimed(result) | {"finished_before": True}
    assert finished.bytes == content
    # what has begun goes on with its version, and a new run takes the new one
    assert begun.all(good)["model_version"] == "1"
    np.testing.assert_array_equal(begun.table["prediction"], finished.table["prediction"])
    fresh = Batch(world, "fresh")
    assert fresh.all(good)["model_version"] == "2"
    assert fresh.table["prediction"] != finished.table["prediction"]


def test_another_input_needs_another_run_key(batch: Batch, good: Path, write: Callable[..., Path]) -> None:
    batch.all(good)
    content = batch.bytes
    other = write("driver_id,event_timestamp", f"1001,{NOW.isoformat()}", name="other.csv")
    with pytest.raises(BadInput, match=r"was finished with another input.*another run key"):
        batch.extract(other)
    assert batch.bytes == content


def test_rows_without_a_time_are_scored_as_of_the_moment_given(batch: Batch, write: Callable[..., Path]) -> None:
    keys = [FRESH[1], STALE, NULL, UNKNOWN, FRESH[0]]
    dated = write("driver_id,event_timestamp", *(f"{key},{NOW.isoformat()}" for key in keys), name="dated.csv")
    bare = write("driver_id", *map(str, keys), name="bare.csv")
    partly = write("driver_id,event_timestamp", *(f"{k},{NOW.isoformat() if k == STALE else ''}" for k in keys))
    other = {source: Batch(batch.world, f"{batch.run.key}-{source.stem}") for source in (bare, partly)}
    batch.all(dated)
    for source, run in other.items():
        run.init()
        count = 4 if source == partly else 5
        assert run.extract(source, NOW)["notes"] == [f"{source.name}: {count} rows name no time; taken as of {NOW}"]
        run.predict()
        assert run.table.equals(batch.table)
    # an earlier moment: nothing was known of anybody
    early = Batch(batch.world, f"{batch.run.key}-early")
    early.init()
    early.extract(bare, NOW - timedelta(days=10_000))
    assert early.predict()["left_out"] == {"unknown": 5}


def test_a_finished_run_stands_for_one_moment_where_that_matters(batch: Batch, good: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.csv"
    bare.write_text("driver_id\n1001\n")
    batch.init()
    batch.extract(bare, NOW - timedelta(days=1))
    batch.extract(bare, NOW)  # not finished yet: may be corrected
    batch.predict()
    assert batch.table["event_timestamp"].to_pylist() == [NOW]
    content = batch.bytes
    assert batch.extract(bare, NOW)["finished_before"]
    for moment in (NOW + timedelta(hours=1), None):
        with pytest.raises(BadInput, match=r"was finished with another input.*another run key"):
            batch.extract(bare, moment)
    assert batch.bytes == content
    own = Batch(batch.world, f"{batch.run.key}-own")
    own.all(good)
    assert own.extract(good, NOW + timedelta(hours=1))["finished_before"]  # its rows have times of their own


def test_an_unfinished_run_may_have_its_input_corrected(batch: Batch, good: Path, write: Callable[..., Path]) -> None:
    batch.init()
    batch.extract(write("driver_id,event_timestamp", f"1001,{NOW.isoformat()}", name="first.csv"))
    batch.extract(good)
    assert batch.predict()["rows"] == 6


def test_run_keys_that_look_alike_have_folders_of_their_own(rides: World, good: Path) -> None:
    Batch(rides, "day 1").all(good)
    Batch(rides, "day_1").all(good)
    folders = {path.name for path in (rides.settings.home / "predictions").iterdir()}
    assert len([name for name in folders if name.startswith("day_1")]) == 2


def test_further_columns_are_carried_through_as_they_are(batch: Batch, tmp_path: Path) -> None:
    extras = {
        "list": pa.array([[1, 2], None, []], pa.list_(pa.int32())),
        "Decimal": pa.array([Decimal("1.50"), Decimal(2), None], pa.decimal128(20, 2)),
        "note": pa.array(["ä", None, ""]),
        "Note": pa.array([1, 2, 3]),  # SQL would take it for the one before
        "requested_at": pa.array([NOW] * 3),
        **{f"x{i}": pa.array([i, i, i]) for i in range(6)},
    }
    keys = {"driver_id": pa.array(FRESH[:3]), "event_timestamp": pa.array([NOW] * 3)}
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({**extras, **keys}), path)
    batch.all(path)
    assert batch.table.column_names == [*extras, "driver_id", "event_timestamp", *RESULT]
    for name, values in extras.items():
        assert batch.table[name].to_pylist() == values.to_pylist()
        assert batch.table.schema.field(name).type == values.type
    assert batch.table["prediction"].null_count == 0


def test_a_byte_order_mark_and_naive_times_are_taken_and_said(batch: Batch, write: Callable[..., Path]) -> None:
    naive = (NOW - timedelta(minutes=5)).replace(tzinfo=None)
    path = write("driver_id;event_timestamp", f"1001;{naive}", f"1002;{NOW.isoformat()}", encoding="utf-8-sig")
    batch.init()
    notes = batch.extract(path)["notes"]
    assert notes == ["request.csv: 1 times in event_timestamp have no zone; taken as UTC"]
    assert batch.predict()["predicted"] == 2
    assert batch.table["event_timestamp"].to_pylist() == [NOW - timedelta(minutes=5), NOW]


def test_an_empty_key_is_an_unknown_one(batch: Batch, write: Callable[..., Path]) -> None:
    assert batch.all(write("driver_id,event_timestamp", f",{NOW.isoformat()}"))["left_out"] == {"unknown": 1}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([], r"request.csv is empty"),
        (["driver_id,event_timestamp"], r"request.csv has a header but no rows"),
        (["id,event_timestamp", "1,2026-01-01T00:00:00Z"], r"request.csv has no column driver_id"),
        (["driver_id,when", "1,2026-01-01T00:00:00Z"], r"request.csv has no column event_timestamp"),
        (
            ["driver_id,event_timestamp", "1,2026-01-01T00:00:00Z", "2,yesterday"],
            r"request.csv, line 3: event_timestamp is 'yesterday'",
        ),
        (["driver_id,event_timestamp", "x,2026-01-01T00:00:00Z"], r"request.csv, line 2: driver_id is 'x'"),
        (["driver_id,event_timestamp,trips", "1,2026-01-01T00:00:00Z,1"], r"has a column trips: the name of a feature"),
        (["driver_id,event_timestamp,Reason", "1,2026-01-01T00:00:00Z,1"], r"has a column Reason: .* output column"),
    ],
)
def test_bad_input_is_named(batch: Batch, write: Callable[..., Path], lines: list[str], says: str) -> None:
    batch.init()
    with pytest.raises(BadInput, match=says):
        batch.extract(write(*lines))
    with pytest.raises(StepMissing, match="data-extraction"):
        batch.predict()


def test_a_missing_file_is_named(batch: Batch, tmp_path: Path) -> None:
    batch.init()
    with pytest.raises(BadInput, match=r"no file .*nowhere.csv"):
        batch.extract(tmp_path / "nowhere.csv")


def test_a_step_before_its_time_names_the_one_it_needs(batch: Batch, good: Path) -> None:
    with pytest.raises(StepMissing, match="model-serving batch feature-store-init --run-key"):
        batch.extract(good)
    with pytest.raises(StepMissing, match="model-serving batch data-extraction --run-key"):
        batch.predict()
    batch.init()
    with pytest.raises(StepMissing, match="model-serving batch data-extraction --run-key"):
        batch.predict()


def test_a_lost_step_file_is_named(batch: Batch, good: Path) -> None:
    batch.init()
    features = Path(batch.extract(good)["features"]) / "part-00000.parquet"
    features.write_bytes(features.read_bytes()[:100])
    with pytest.raises(StepMissing, match=r"missing or damaged.*data-extraction"):
        batch.predict()
    assert not batch.run.output.exists()


def test_something_else_in_the_place_of_the_output_is_not_overwritten(batch: Batch, good: Path) -> None:
    batch.run.output.parent.mkdir(exist_ok=True)
    batch.run.output.write_text("precious")
    with pytest.raises(BadInput, match="is no output of a batch run"):
        batch.all(good)
    assert batch.run.output.read_text() == "precious"
    batch.run.output.unlink()
    batch.run.output.mkdir()
    (batch.run.output / "notes.txt").write_text("precious")
    with pytest.raises(BadInput, match=r"notes\.txt is no output of a batch run"):
        batch.all(good)
    assert (batch.run.output / "notes.txt").read_text() == "precious"


def test_without_a_champion_it_fails_for_good_as_the_registry_says(rides: World) -> None:
    done = rides.renamed("nobody").run("batch", "feature-store-init", "--run-key", "a", exit_code=65)
    assert "model 'nobody' has no champion" in done.stderr


def test_a_contract_that_does_not_fit_is_refused(rides: World) -> None:
    world = rides.renamed("misfit")
    contract = world.contract(classifier_output())
    other = contract.features[0].model_copy(update={"dtype": "INT64"})
    fitting = contract.model_copy(update={"features": (other, *contract.features[1:])})
    world.register(fitted_classifier(), fitting)
    with pytest.raises(ContractMismatch, match="dtype of driver_stats:conv_rate is FLOAT, not INT64"):
        Batch(world, "misfit").init()


def test_a_failure_under_way_leaves_no_output(batch: Batch, good: Path) -> None:
    batch.init()
    batch.extract(good)

    def failing(version: str) -> ServedModel:
        model = batch.world.registry.load_version(version)

        def score(_: object) -> np.ndarray:
            raise OSError(28, "No space left on device")

        return ServedModel(model.name, model.version, model.contract, score)

    with pytest.raises(Exception, match="no space left"):
        batch_prediction(batch.run, failing)
    assert not batch.run.output.exists()
    assert not list(batch.run.unfinished.iterdir())
    assert batch.predict()["rows"] == 6


def test_a_kill_at_any_moment_leaves_all_or_nothing(rides: World, tmp_path: Path) -> None:
    """SIGKILL while the file is being written; the next attempt gives what an undisturbed run gives."""
    rows = 600_000
    keys = np.tile([*FRESH, STALE, NULL, UNKNOWN], rows // 8 + 1)[:rows]
    path = tmp_path / "large.parquet"
    pq.write_table(pa.table({"driver_id": keys, "event_timestamp": pa.repeat(NOW, rows)}), path)
    batch = Batch(rides, "killed")
    batch.init()
    batch.extract(path)
    killed = subprocess.Popen(
        [program(), "batch", "batch-prediction", "--run-key", "killed"],
        env=rides.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    folder = batch.run.unfinished
    until("rows", lambda: folder.is_dir() and any(f.stat().st_size > 1000 for f in folder.iterdir()), pause=0.02)
    os.kill(killed.pid, signal.SIGKILL)
    killed.wait()
    assert not batch.run.output.exists(), "the kill came too late to mean anything"
    result = batch.predict()
    assert result["rows"] == rows == batch.table.num_rows
    assert result["predicted"] == int(np.isin(keys, FRESH).sum())
    np.testing.assert_array_equal(batch.table["driver_id"].to_numpy(), keys)
    facts = pq.read_metadata(batch.run.output / "part-00000.parquet").metadata[b"twinserve"]
    assert json.loads(facts)["rows"] == rows


async def test_batch_and_online_give_the_same_scores(shops: World, tmp_path: Path) -> None:
    from model_serving.online.inference.data_plane import Choice, InferencePlane
    from model_serving.online.inference.schemas import InferenceRequest
    from twinserve.features.online import open_reader

    path = tmp_path / "shops.parquet"
    frame = pd.DataFrame({"shop": [*FRESH_SHOPS, "nowhere"], "event_timestamp": pd.Timestamp(NOW)})
    frame.to_parquet(path)
    batch = Batch(shops, "parity")
    batch.all(path)
    model = shops.registry.load_champion()
    reader = open_reader(model.contract, shops.settings, shops.redis_url, seconds=5)
    plane = InferencePlane(model, reader, lambda: int(NOW.timestamp() * 1_000_000), lambda _stage, _seconds: None)
    outcomes = await plane.answer([InferenceRequest("r", [shop], {"shop": [shop]}) for shop in FRESH_SHOPS])
    await plane.close()
    online = [outcome.score for outcome in outcomes if isinstance(outcome, Choice)]
    assert batch.table["prediction"].to_pylist() == [*online, None]
    assert batch.table["reason"].to_pylist() == [*[None] * 5, "unknown"]
