"""Large batches: files of a fixed number of rows, each done for itself, all published at once."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from batch_run import Batch, untimed
from numpy.typing import NDArray
from serving_worlds import FRESH, NOW, NULL, STALE, UNKNOWN, World, program
from small_disk import on_small_disk
from waiting import until

from model_serving.batch.batch_prediction import batch_prediction
from model_serving.batch.score_summary import ScoreSummary
from model_serving.batch.shard_scoring import ShardRows
from model_serving.batch.shards import CHUNK, row_groups
from twinserve.errors import BadInput, ExitCode, StepMissing, TransientError
from twinserve.missing import Matrix
from twinserve.model.scoring_form import Form
from twinserve.registry import ServedModel
from twinserve.steps.overlap import processors

pytestmark = pytest.mark.integration
ROWS, SHARD_ROWS = 600_000, 150_000


def write_request(path: Path, rows: int, seed: int = 0) -> Path:
    """Keys of every fate, duplicates among them, a number and a text of the caller's own."""
    keys = np.random.default_rng(seed).choice([*FRESH, STALE, NULL, UNKNOWN], rows)
    table = pa.table(
        {
            "request": pa.array(np.arange(rows)),
            "driver_id": keys,
            "event_timestamp": pa.repeat(NOW, rows),
            "note": pa.array([f"n{n % 7}" for n in range(rows)]),
        }
    )
    pq.write_table(table, path)
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_request(tmp_path_factory.mktemp("large") / "large.parquet", ROWS)


@pytest.fixture(scope="module")
def undisturbed(rides: World, large: Path) -> dict[str, bytes]:
    """What the run `same` comes to when nothing happens to it; it is taken away again."""
    batch = Batch(rides, "same").sharded(SHARD_ROWS)
    batch.all(large)
    content = batch.bytes
    forget(batch)
    return content


@pytest.fixture
def same(rides: World) -> Batch:
    """The run `same`, from the beginning."""
    batch = Batch(rides, "same").sharded(SHARD_ROWS)
    forget(batch)
    batch.init()
    return batch


@pytest.fixture
def batch(rides: World, request: pytest.FixtureRequest) -> Batch:
    return Batch(rides, request.node.name)


def forget(batch: Batch) -> None:
    for folder in (batch.run.output, batch.run.folder, batch.run.unfinished):
        shutil.rmtree(folder, ignore_errors=True)


def begun(batch: Batch, *words: str) -> subprocess.Popen[bytes]:
    """A command of the run, as a process."""
    return subprocess.Popen(
        [program(), "batch", words[0], "--run-key", batch.run.key, *words[1:]],
        env=batch.world.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@pytest.mark.parametrize("rows", [1, 2, 5, 6, 7])
def test_the_rows_are_the_same_in_any_number_of_files(batch: Batch, tmp_path: Path, rows: int) -> None:
    request = write_request(tmp_path / "few.parquet", 6)
    whole = Batch(batch.world, f"{batch.run.key}-whole")
    whole.all(request)
    cut = batch.sharded(rows)
    result = cut.all(request)
    assert cut.table.equals(whole.table)
    files = sorted(cut.run.output.iterdir())
    assert [pq.read_metadata(file).num_rows for file in files] == [min(rows, 6 - start) for start in range(0, 6, rows)]
    assert result["files"] == len(files)
    figures, expected = result["scores"], whole.predict()["scores"]
    assert figures == {name: pytest.approx(value) for name, value in expected.items()}


@pytest.mark.parametrize("sizes", [[1], [7] * 40, [300_000], [CHUNK, 1, CHUNK - 1, 0, 99]])
@pytest.mark.parametrize("shard_rows", [10, CHUNK, CHUNK + 1, 10**6])
def test_files_are_cut_by_rows_however_these_arrive(sizes: list[int], shard_rows: int) -> None:
    if sum(sizes) // shard_rows > 1000:
        sizes = [size // 1000 for size in sizes]
    numbers = np.arange(sum(sizes))
    pieces = np.split(numbers, np.cumsum(sizes)[:-1])
    batches = [pa.record_batch({"n": piece}) for piece in pieces]
    groups = [(shard, table["n"].to_numpy()) for shard, table in row_groups(batches, shard_rows)]
    np.testing.assert_array_equal(np.concatenate([found for _, found in groups]), numbers)
    for shard, found in groups:
        assert set(found // shard_rows) == {shard}
    starts = [int(found[0]) for _, found in groups]
    assert starts == [n for first in range(0, len(numbers), shard_rows)
                      for n in range(first, min(first + shard_rows, len(numbers)), CHUNK)]  # fmt: skip


def test_statistics_add_up() -> None:
    scores = np.random.default_rng(0).normal(5, 2, 1000)
    scores[::10] = np.nan
    whole, joined = ScoreSummary.of(scores), ScoreSummary()
    for piece in np.split(scores, [0, 1, 10, 500]):
        joined = joined.joined(ScoreSummary.of(piece))
    assert joined.model_dump() == {name: pytest.approx(value) for name, value in whole.model_dump().items()}
    figures = joined.figures()
    assert figures is not None
    assert figures["std"] == pytest.approx(np.nanstd(scores))
    assert ScoreSummary().figures() is None


def test_who_does_the_last_shard_publishes(same: Batch, large: Path, undisturbed: dict[str, bytes]) -> None:
    assert same.extract(large)["shards"] == 4
    told = [same.predict(shard) for shard in (2, 0, 3)]
    assert [t["published"] for t in told] == [False] * 3
    assert not same.run.output.exists()
    assert not same.predict(2)["published"]  # again, to no harm
    last = same.predict(1)
    assert (last["shard"], last["shards"], last["rows"], last["published"]) == (1, 4, SHARD_ROWS, True)
    assert same.bytes == undisturbed
    assert not same.run.unfinished.exists()
    again = same.predict(3)
    assert untimed(again) == untimed(told[2]) | {"published": True, "finished_before": True}
    assert same.predict()["rows"] == ROWS == sum(t["rows"] for t in [*told, last])
    assert same.extract(large)["shards"] == 4
    with pytest.raises(BadInput, match="has no shard 4"):
        same.predict(4)


def test_shards_at_once_and_twice_over(same: Batch, large: Path, undisturbed: dict[str, bytes]) -> None:
    """Who comes to a shard at which somebody else is, is told to come again; the others are not in each other's way."""
    same.extract(large)
    processes = [begun(same, "batch-prediction", "--shard", str(shard)) for shard in (0, 1, 2, 3, 1)]
    ended = [process.wait(120) for process in processes]
    said = [process.stderr.read().decode() for process in processes if process.stderr]
    once, twice = [ended[n] for n in (0, 2, 3)], sorted([ended[1], ended[4]])
    assert (once, twice) in [([0] * 3, [0, 0]), ([0] * 3, [0, ExitCode.TRANSIENT])], said
    if ExitCode.TRANSIENT in ended:
        told = said[ended.index(ExitCode.TRANSIENT)]
        assert "batch-prediction of shard 1 of run 'same' (process " in told
    assert same.bytes == undisturbed
    assert not same.run.unfinished.exists()


def test_two_that_finish_at_the_same_moment_publish_once(same: Batch, large: Path) -> None:
    same.extract(large)
    for shard in range(2):
        same.predict(shard)
    with ThreadPoolExecutor(4) as threads:
        told = list(threads.map(same.predict, [3, 2, 0, 1]))
    assert any(t["published"] for t in told)
    assert same.table.num_rows == ROWS


@pytest.mark.parametrize("done", [0, 2, 3])
def test_a_kill_keeps_the_files_that_are_done(
    same: Batch, large: Path, undisturbed: dict[str, bytes], done: int
) -> None:
    same.extract(large)
    killed = begun(same, "batch-prediction")
    target = f".part-{done:05}.parquet."
    until("the file is begun", lambda: same.run.unfinished.is_dir() and any(
        file.name.startswith(target) for file in same.run.unfinished.iterdir()), pause=0.002)  # fmt: skip
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not same.run.output.exists(), "the kill came too late to mean anything"
    kept = {file: file.stat().st_mtime_ns for file in same.run.unfinished.glob("part-*.parquet")}
    assert len(kept) >= done
    assert same.predict()["rows"] == ROWS
    assert same.bytes == undisturbed
    assert all((same.run.output / file.name).stat().st_mtime_ns == stamp for file, stamp in kept.items())
    assert sorted(same.bytes) == [f"part-{n:05}.parquet" for n in range(4)]


@pytest.mark.parametrize("seen", ["asked.parquet", "further/part-00001.parquet", "features/part-00001.parquet"])
def test_an_extraction_that_was_killed_is_done_again(
    same: Batch, large: Path, undisturbed: dict[str, bytes], seen: str
) -> None:
    killed = begun(same, "data-extraction", "--input", str(large))
    until("it got so far", lambda: (same.run.folder / seen).exists() or killed.poll() is not None, pause=0.002)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    if not (same.run.folder / "extraction.json").exists():
        with pytest.raises(StepMissing, match="model-serving batch data-extraction --run-key same"):
            same.predict()
    same.extract(large)
    assert same.predict()["rows"] == ROWS
    assert same.bytes == undisturbed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing_half_done(
    same: Batch, large: Path, undisturbed: dict[str, bytes], number: signal.Signals
) -> None:
    same.extract(large)
    stopped = begun(same, "batch-prediction")
    until("a file is begun", lambda: list(same.run.unfinished.glob(".part-*")), pause=0.002)
    stopped.send_signal(number)
    assert stopped.wait(30) == 128 + number, stopped.stderr and stopped.stderr.read()
    assert not [file for file in same.run.unfinished.iterdir() if file.name.startswith(".")]
    same.predict()
    assert same.bytes == undisturbed


@pytest.mark.parametrize("folder", ["features", "further"])
@pytest.mark.parametrize("harm", ["cut", "gone", "shorter"])
def test_a_lost_step_file_is_named(same: Batch, large: Path, folder: str, harm: str) -> None:
    same.extract(large)
    file = same.run.folder / folder / "part-00002.parquet"
    match harm:
        case "cut":
            file.write_bytes(file.read_bytes()[:-100])
        case "gone":
            file.unlink()
        case "shorter":
            pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(StepMissing, match=r"part-00002.parquet is missing or damaged.*data-extraction --run-key same"):
        same.predict()
    assert not same.run.output.exists()
    assert same.predict(0)["rows"] == SHARD_ROWS  # the others are as they were
    same.extract(large)
    assert same.predict()["rows"] == ROWS


def test_a_file_damaged_in_the_middle_is_named(same: Batch, large: Path) -> None:
    same.extract(large)
    file = same.run.features / "part-00001.parquet"
    content = bytearray(file.read_bytes())
    content[len(content) // 3 : len(content) // 3 + 50_000] = bytes(50_000)
    file.write_bytes(content)
    with pytest.raises(StepMissing, match=r"part-00001.parquet is missing or damaged"):
        same.predict()
    assert not same.run.output.exists()


def test_the_second_of_two_extractions_is_told(same: Batch, large: Path, tmp_path: Path) -> None:
    other = write_request(tmp_path / "other.parquet", ROWS - 50_000, seed=1)
    first = begun(same, "data-extraction", "--input", str(large))
    until(
        "the first is at work", lambda: (same.run.folder / "further").exists() or first.poll() is not None, pause=0.002
    )
    with pytest.raises(TransientError, match=rf"data-extraction of run 'same' \(process {first.pid} on "):
        same.extract(other)
    with pytest.raises(TransientError, match="data-extraction of run 'same'"):
        same.predict(0)
    assert first.wait(120) == 0, first.stderr and first.stderr.read()
    same.predict()
    for column in ("request", "driver_id"):
        assert same.table[column].equals(pq.read_table(large)[column])


def test_one_who_does_all_and_one_who_does_a_shard_are_not_at_work_at_once(same: Batch, large: Path) -> None:
    same.extract(large)
    with same.run.alone_with(2), pytest.raises(TransientError, match="batch-prediction of shard 2 of run 'same'"):
        same.predict()
    with same.run.alone("batch-prediction"), pytest.raises(TransientError, match="batch-prediction of run 'same'"):
        same.predict(2)
    with same.run.alone_with(2):
        assert same.predict(1)["rows"] == SHARD_ROWS


@pytest.mark.parametrize("folder", ["features", "further"])
def test_files_of_a_newer_extraction_are_not_taken_for_those_of_an_older(
    batch: Batch, tmp_path: Path, folder: str
) -> None:
    source, cut = write_request(tmp_path / "in.parquet", 10), batch.sharded(5)
    cut.init()
    cut.extract(source)
    older, kept = cut.run.needed_extraction(), (cut.run.folder / folder / "part-00001.parquet").read_bytes()
    cut.extract(source)
    with pytest.raises(StepMissing, match=r"part-00001.parquet is of another extraction.*data-extraction --run-key"):
        ShardRows(cut.run, older, 1)
    assert ShardRows(cut.run, cut.run.needed_extraction(), 1)
    (cut.run.folder / folder / "part-00001.parquet").write_bytes(kept)
    with pytest.raises(StepMissing, match=rf"{folder}/part-00001.parquet is of another extraction"):
        cut.predict()


class Watched:
    """A score that counts the threads in it."""

    def __init__(self) -> None:
        self.inside = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, rows: Matrix) -> NDArray[np.float64]:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        time.sleep(0.05)
        with self._lock:
            self.inside -= 1
        return np.zeros(len(rows))


@pytest.mark.parametrize("form", ["original", "onnx"])
def test_a_form_is_called_by_as_many_threads_as_it_takes(same: Batch, large: Path, form: Form) -> None:
    same.extract(large)
    watched = Watched()

    def load(version: str) -> ServedModel:
        return replace(same.world.registry.load_version(version), score=watched, form=form)

    batch_prediction(same.run, load)
    assert watched.most == (1 if form == "original" else processors())


def test_an_input_that_changes_between_the_steps(batch: Batch, tmp_path: Path) -> None:
    source = write_request(tmp_path / "in.parquet", 10)
    batch.init()
    batch.extract(source)
    write_request(source, 20, seed=1)
    assert batch.predict()["rows"] == 10  # what was extracted
    with pytest.raises(BadInput, match="was finished with another input"):
        batch.extract(source)


def test_an_input_corrected_after_some_files_were_done(batch: Batch, tmp_path: Path) -> None:
    cut = batch.sharded(10)
    cut.init()
    cut.extract(write_request(tmp_path / "first.parquet", 55))
    for shard in range(5):
        cut.predict(shard)
    corrected = write_request(tmp_path / "second.parquet", 23, seed=1)
    cut.extract(corrected)
    assert cut.predict()["files"] == 3
    assert cut.table["request"].to_pylist() == list(range(23))
    assert cut.table["driver_id"].to_pylist() == pq.read_table(corrected)["driver_id"].to_pylist()


def test_another_size_of_files_between_the_attempts(batch: Batch, tmp_path: Path) -> None:
    source = write_request(tmp_path / "in.parquet", 20)
    small, larger = batch.sharded(5), batch.sharded(10)
    small.init()
    small.extract(source)
    small.predict(3)
    larger.extract(source)
    assert larger.predict()["files"] == 2
    assert larger.table["request"].to_pylist() == list(range(20))


def test_a_ragged_line_in_the_middle_refuses_the_run(batch: Batch, tmp_path: Path) -> None:
    source = tmp_path / "in.csv"
    line = f"1001,{NOW.isoformat()}\n"
    source.write_text("driver_id,event_timestamp\n" + line * 200_000 + f"1001,{NOW.isoformat()},more\n" + line)
    batch.init()
    with pytest.raises(BadInput, match=r"in.csv, line 200002: 3 fields, where the header has 2"):
        batch.extract(source)
    with pytest.raises(StepMissing, match="data-extraction"):
        batch.predict()


def test_an_output_of_an_earlier_release_counts_as_finished(batch: Batch, tmp_path: Path) -> None:
    source = write_request(tmp_path / "in.parquet", 10)
    batch.all(source)
    (part,) = batch.run.output.iterdir()
    earlier = batch.run.output / "predictions.parquet"
    table, footer = pq.read_table(part), pq.read_metadata(part).metadata[b"twinserve"].decode()
    facts = {"run_key", "input_digest", "model_name", "model_version", "rows", "predicted", "left_out"}
    write_earlier(earlier, table, footer, facts)
    part.unlink()
    shutil.rmtree(batch.run.folder)
    assert batch.init()["finished_before"]
    assert (batch.extract(source)["finished_before"], batch.extract(source)["shards"]) == (True, 1)
    for result in (batch.predict(), batch.predict(0)):
        assert (result["rows"], result["finished_before"], result["published"]) == (10, True, True)
        assert (result["output"], result["scores"]) == (str(batch.run.output), None)
    assert list(batch.run.output.iterdir()) == [earlier]


def write_earlier(file: Path, table: pa.Table, footer: str, facts: set[str]) -> None:
    kept = {name: value for name, value in json.loads(footer).items() if name in facts}
    with pq.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({"twinserve": json.dumps(kept)})


def test_what_an_earlier_release_left_when_it_was_killed_is_in_nobodys_way(batch: Batch, tmp_path: Path) -> None:
    batch.run.output.mkdir(parents=True)
    (batch.run.output / ".predictions.parquet.0123456789ab.tmp").write_bytes(b"half")
    assert batch.all(write_request(tmp_path / "in.parquet", 10))["rows"] == 10
    assert [file.name for file in batch.run.output.iterdir()] == ["part-00000.parquet"]


def test_a_published_file_that_is_gone_is_told(batch: Batch, tmp_path: Path) -> None:
    cut = batch.sharded(4)
    cut.all(write_request(tmp_path / "in.parquet", 10))
    (cut.run.output / "part-00001.parquet").unlink()
    with pytest.raises(BadInput, match="is no output of a batch run"):
        cut.predict()


def test_a_full_disk_is_told_and_the_rest_done_later(batch: Batch, large: Path, undisturbed: dict[str, bytes]) -> None:
    cut = batch.sharded(SHARD_ROWS)
    cut.init()
    cut.extract(large)
    command = [program(), "batch", "batch-prediction", "--run-key", batch.run.key]
    ended = on_small_disk(batch.run.unfinished, "128k", command, batch.world.environment)
    assert (ended.code, ended.left) == (ExitCode.TRANSIENT, ())
    assert "no space left to write" in ended.said
    assert cut.predict()["rows"] == ROWS
    for name, content in cut.bytes.items():
        assert len(content) == pytest.approx(len(undisturbed[name]), abs=200)  # all but the run's name


def test_an_input_that_is_refused_costs_nothing_that_was_extracted(batch: Batch, tmp_path: Path) -> None:
    batch.init()
    batch.extract(write_request(tmp_path / "in.parquet", 10))
    other = tmp_path / "other.csv"
    other.write_text("driver_id,conv_rate,event_timestamp\n")
    for source in (tmp_path / "nowhere.csv", other):
        with pytest.raises(BadInput):
            batch.extract(source)
    assert batch.predict()["rows"] == 10
