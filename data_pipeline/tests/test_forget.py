"""A key that is forgotten is nowhere, stays away while its source still has it, and nobody else is touched."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import redis
from small_feature_repo import write_feature_repo

from data_pipeline.forgetting.command import forget
from data_pipeline.forgetting.copies import forget_run
from data_pipeline.forgetting.entity_key import KeyColumns, parse_key, source_columns, stored_columns
from data_pipeline.forgetting.forgotten_keys import ForgottenKeys, put_on_list, take_off_list
from data_pipeline.forgetting.held_runs import HeldRuns
from data_pipeline.forgetting.parquet_rows import rows_by_columns, rows_by_json
from data_pipeline.run_folder import STEPS, ViewRun
from twinserve.embedded.redis import leased_redis
from twinserve.errors import BadInput, ExitCode
from twinserve.features.feast_repo.store import open_store
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.files import atomic
from twinserve.settings import load_settings

Result = Any
SMALL = ("generate", "--drivers", "20", "--days", "3", "--orders", "100", "--dirt", "0.05")
FEATURES = ["driver_stats:conv_rate", "driver_stats:avg_daily_trips"]
GONE, OTHER = 1001, 1002


def through(command: Callable[..., Result], key: str, *more: str) -> dict[str, Any]:
    """Ingest, clean, validate, materialize; what the steps said."""
    said = {step: command(step, "--run-key", key, *(more if step == "ingest" else ())) for step in STEPS}
    said["materialize"] = command("materialize")
    assert [result.err for result in said.values() if result.code] == []
    return {step: result.out for step, result in said.items()}


def online(ids: list[int]) -> list[Any]:
    """Feast's own answer."""
    settings = load_settings()
    with leased_redis(settings) as url:
        rows = [{"driver_id": each} for each in ids]
        found = open_store(settings, url).get_online_features(features=FEATURES, entity_rows=rows).to_dict()
    return list(found["avg_daily_trips"])


def offline(ids: list[int]) -> list[Any]:
    """Feast's own answer, at this moment."""
    settings = load_settings()
    asked = pd.DataFrame({"driver_id": ids, "event_timestamp": datetime.now(UTC)})
    with leased_redis(settings) as url:
        found = open_store(settings, url).get_historical_features(entity_df=asked, features=FEATURES).to_df()
    return list(found.set_index("driver_id").loc[ids, "avg_daily_trips"])


def hashes() -> dict[bytes, Any]:
    """Everything of Feast in Redis."""
    settings = load_settings()
    with leased_redis(settings) as url, redis.Redis.from_url(url) as client:
        names = [name for name in client.scan_iter() if not name.startswith(b"twinserve:")]
        return {name: client.hgetall(name) for name in names}


def stored(home: Path) -> pd.DataFrame:
    files = sorted((home / "offline" / "driver_stats").rglob("*.parquet"))
    rows: pd.DataFrame = pd.concat(
        [pq.read_table(file, partitioning=None).to_pandas() for file in files], ignore_index=True
    )
    return rows


def copies(home: Path) -> dict[str, bytes]:
    """Every file in the home but those of servers and locks."""
    left_out = {"redis", "locks", "feast", "source", "cache", "tmp"}
    files = [f for f in home.rglob("*") if f.is_file() and not left_out & set(f.relative_to(home).parts)]
    return {str(file.relative_to(home)): file.read_bytes() for file in files}


def holding(home: Path, key: int) -> set[str]:
    """The folders below home with a Parquet file or page that has the key."""
    found = set()
    for file in [*home.rglob("*.parquet"), *home.rglob("*.html")]:
        if file.suffix == ".html":
            has = f"driver_id&#34;: {key}," in file.read_text()
        else:
            table = pq.read_table(file, partitioning=None).to_pandas()
            has = any((table[c].astype(str) == str(key)).any() for c in table.columns if c in ("driver_id", "rider"))
            texts = [table[c] for c in ("original", "row") if c in table.columns and table[c].dtype == object]
            has |= any(f'"driver_id": {key},' in str(t) or f'"driver_id": {key}}}' in str(t) for c in texts for t in c)
        if has:
            found.add(file.relative_to(home).parts[0])
    return found


@pytest.fixture
def world(command: Callable[..., Result], tmp_path: Path) -> Path:
    """The example, small, in both stores, with a finished prediction and a training run's copy."""
    command(*SMALL)
    through(command, "r1")
    home = tmp_path / "home"
    rows = pa.table({"driver_id": [GONE, OTHER, GONE], "score": [0.5, 0.25, 0.125]})
    for folder in ("predictions/today", "runs/training_pipeline/t1", "runs/batch_serving/b1"):
        (home / folder).mkdir(parents=True)
        pq.write_table(rows.replace_schema_metadata({"twinserve": "{}"}), home / folder / "part-0.parquet")
    return home


@pytest.mark.integration
def test_it_is_gone_from_both_stores_and_does_not_come_back(command: Callable[..., Result], world: Path) -> None:
    before, kept = hashes(), stored(world).query("driver_id != @GONE").reset_index(drop=True)
    assert GONE in stored(world)["driver_id"].to_numpy()
    assert holding(world, GONE) >= {"offline", "runs", "predictions"}
    said = command("forget", f"driver_id={GONE}", "--yes").out
    assert (said["found"], said["removed"], said["on_the_list"]) == (True, True, True)
    assert said["rows"]["online store (keys)"] == 1
    assert said["rows"]["offline store"] == said["rows"]["times of reading"] > 0
    assert said["rows"]["predictions"] == said["rows"]["training runs"] == said["rows"]["batch runs"] == 2
    assert online([GONE, OTHER])[0] is None
    assert online([GONE, OTHER])[1] is not None
    assert pd.isna(offline([GONE, OTHER])).tolist() == [True, False]
    after = hashes()
    assert len(after) == len(before) - 1
    assert after.items() <= before.items()
    pd.testing.assert_frame_equal(stored(world), kept)
    assert holding(world, GONE) == set()

    again = through(command, "r2", "--full")
    pulled, checked = again["ingest"]["views"]["driver_stats"], again["explore-and-validate"]["views"]["driver_stats"]
    assert pulled["rows_not_read"]["forgotten"] > 0
    assert pulled["rows"] + sum(pulled["rows_not_read"].values()) == pulled["rows_at_source"]
    assert checked["rows_new"] == 0
    assert checked["ledger"]["seen"] == pulled["rows"]
    assert holding(world, GONE) == set()
    assert hashes() == after

    allowed = command("forget", f"driver_id={GONE}", "--allow-again").out
    assert allowed["was_on_the_list"]
    assert "`data-pipeline ingest --full` reads its rows again" in allowed["note"]
    through(command, "r3", "--full")
    assert online([GONE])[0] is not None


@pytest.mark.integration
def test_a_dry_run_changes_nothing_and_counts_the_same(command: Callable[..., Result], world: Path) -> None:
    files, held = copies(world), hashes()
    said = command("forget", f"driver_id={GONE}").out
    assert (said["found"], said["removed"], said["on_the_list"]) == (True, False, False)
    assert (copies(world), hashes()) == (files, held)
    removed = command("forget", f"driver_id={GONE}", "--yes").out
    assert all(removed[part] == said[part] for part in ("rows", "runs", "begin_again"))
    nothing = command("forget", f"driver_id={GONE}", "--yes")
    assert (nothing.code, nothing.out["found"]) == (0, False)


@pytest.mark.integration
def test_a_source_that_fits_no_definition_keeps_no_key(
    command: Callable[..., Result], world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "repo"
    shutil.copytree(load_settings().feature_repo, repo)
    with (repo / "sources.yaml").open("a") as file:
        file.write("  of_another_repo:\n    table: other\n")
    monkeypatch.setenv("TWINSERVE_FEATURE_REPO", str(repo))
    assert "no definition has a feature view of that name" in command("ingest", "--run-key", "r2").err
    assert command("forget", f"driver_id={GONE}", "--yes").code == 0
    (repo / "sources.yaml").unlink()
    assert command("forget", f"driver_id={OTHER}", "--yes").code == 0
    assert not {GONE, OTHER} & set(stored(world)["driver_id"])


def test_the_runs_that_lose_rows_are_named_with_what_begins_them_anew(
    command: Callable[..., Result], world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("ingest", "--run-key", "r2", "--full")
    said = forget([f"driver_id={GONE}"], None, load_settings(), yes=True)
    text = capsys.readouterr().out
    assert "data pipeline runs: r1, r2\n" in text
    assert "with the options that they had:\n  data-pipeline ingest --run-key r2\n" in text
    assert said["runs"] == {"data pipeline runs": ["r1", "r2"], "batch runs": ["b1"], "training runs": ["t1"]}
    assert said["begin_again"] == ["data-pipeline ingest --run-key r2"]
    refused = command("clean", "--run-key", "r2")
    assert "Run `data-pipeline ingest --run-key r2` first" in refused.err
    command(*shlex.split(said["begin_again"][0])[1:])
    assert command("clean", "--run-key", "r2").code == 0


def test_a_run_of_several_views_begins_anew_for_all_that_lost_rows(tmp_path: Path) -> None:
    """Also for one that has ended: until it has rows again, no step goes on with the others."""
    key = "scheduled__2026-01-05T00:00:00+00:00"
    visits, prices = (ViewRun(tmp_path / key, name, key) for name in ("visits", "prices"))
    done = ViewRun(tmp_path / "done", "visits", "done")
    for run, steps in ((visits, STEPS), (prices, STEPS[:1]), (done, STEPS)):
        for step in steps:
            run.finish(step, {})
    runs = HeldRuns.among([visits, prices, done])
    for run in (visits, done):
        run.begin("ingest")
        runs.note_own(run)
    assert runs.commands() == [f"data-pipeline ingest --run-key {key} --view visits"]
    runs.note_own(prices)
    assert runs.commands() == [f"data-pipeline ingest --run-key {key}"]


def test_many_runs_are_counted_and_some_named() -> None:
    runs = HeldRuns()
    for number in range(12):
        runs.note("training runs", f"r{number}")
    assert runs.named("training runs") == ": r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 and 2 more"
    assert runs.named("offline store") == ""


@pytest.mark.integration
@pytest.mark.parametrize("files", [1, 2, 4, 6])
def test_after_a_kill_the_same_command_finishes(
    command: Callable[..., Result], world: Path, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    class Killed(BaseException):
        pass

    renames, sync = iter(range(files)), atomic._sync

    def killed(path: Path) -> None:
        if path.suffix == ".tmp" and next(renames, None) is None:
            raise Killed
        sync(path)

    with monkeypatch.context() as patched:
        patched.setattr(atomic, "_sync", killed)
        with pytest.raises(Killed):
            command("forget", f"driver_id={GONE}", "--yes")
    assert holding(world, GONE)
    assert command("forget", f"driver_id={GONE}", "--yes").out["found"]
    assert holding(world, GONE) == set()
    assert online([GONE, OTHER])[0] is None
    assert not command("forget", f"driver_id={GONE}").out["found"]


@pytest.mark.integration
def test_nobody_else_may_work_meanwhile(command: Callable[..., Result], world: Path) -> None:
    from data_pipeline.publishing.offline_files import publishing

    with publishing(world / "locks" / "publish-driver_stats"):
        refused = command("forget", f"driver_id={GONE}", "--yes")
    assert refused.code == ExitCode.TRANSIENT
    assert GONE in stored(world)["driver_id"].to_numpy()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("driver=1001",), "no feature view has the join keys driver. The join keys are: driver_stats: driver_id"),
        (("driver_id=anna",), "the value given for driver_id is no INT64; the join keys of driver_stats are driver_id"),
        (("driver_id=1.5",), "is no INT64"),
        (("1001",), "is no JOIN_KEY=VALUE"),
        (("driver_id=1", "driver_id=2"), "given twice"),
        (("driver_id=1", "--view", "nope"), "no feature view 'nope'"),
        (("driver_id=1", "--yes", "--allow-again"), "Give one or the other"),
    ],
)
def test_what_is_no_key_is_refused_by_name(
    command: Callable[..., Result], words: tuple[str, ...], message: str
) -> None:
    result = command("forget", *words)
    assert result.code == ExitCode.PERMANENT
    assert message in result.err
    assert "Traceback" not in result.err


DEFINITIONS = """\
from datetime import timedelta
from feast import Entity, FeatureService, FeatureView, Field, ValueType
from feast.types import Float32, Int64, String
from twinserve.features.sources import offline_source

rider = Entity(name="rider", join_keys=["rider"], value_type=ValueType.STRING)
town = Entity(name="town", join_keys=["town"], value_type=ValueType.INT64)
trips = FeatureView(
    name="trips", entities=[rider, town], ttl=timedelta(days=9999), source=offline_source("trips"),
    schema=[Field(name="rider", dtype=String), Field(name="town", dtype=Int64), Field(name="rate", dtype=Float32)],
)
tips = FeatureView(
    name="tips", entities=[rider], ttl=timedelta(days=9999), source=offline_source("tips"),
    schema=[Field(name="rider", dtype=String), Field(name="tip", dtype=Float32)],
)
service = FeatureService(name="ranking", features=[trips, tips.with_join_key_map({"rider": "who"})])
"""
ANNA, ANN = 'Änna, "the" 1st', "Ann"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("words", "left_trips", "left_tips"),
    [
        ((f"rider={ANNA}",), [(ANN, 1)], [ANN]),  # a person: wherever it is part of the key
        ((f"rider={ANNA}", "town=1"), [(ANNA, 2), (ANN, 1)], [ANNA, ANN]),
        ((f"rider={ANNA}", "--view", "tips"), [(ANNA, 1), (ANNA, 2), (ANN, 1)], [ANN]),
    ],
)
def test_text_keys_and_several_of_them(
    command: Callable[..., Result],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    left_trips: list[tuple[str, int]],
    left_tips: list[str],
) -> None:
    repo, home = write_feature_repo(tmp_path / "repo", "rides", DEFINITIONS), tmp_path / "home"
    files = {name: tmp_path / f"{name}.parquet" for name in ("trips", "tips")}
    (repo / "sources.yaml").write_text(
        "views:\n" + "".join(f"  {name}: {{file: {file}, created: null}}\n" for name, file in files.items())
    )
    monkeypatch.setenv("TWINSERVE_FEATURE_REPO", str(repo))
    at = pd.Timestamp("2026-03-01", tz="UTC")
    trips = {"rider": [ANNA, ANNA, ANN], "town": [1, 2, 1], "rate": [1.0, 2.0, 3.0], "event_timestamp": at}
    pd.DataFrame(trips).to_parquet(files["trips"])
    pd.DataFrame({"rider": [ANNA, ANN], "tip": [1.0, 2.0], "event_timestamp": at}).to_parquet(files["tips"])
    through(command, "r1")
    pq.write_table(pa.table({"who": [ANNA, ANN], "score": [1.0, 2.0]}), _made(home / "predictions" / "p") / "p.parquet")
    assert command("forget", *words, "--yes").out["found"]
    for run in (None, "r2"):
        if run:
            through(command, run, "--full")
        settings = load_settings()
        with leased_redis(settings) as url:
            feast = open_store(settings, url)
            rows = [{"rider": r, "town": t} for r, t in [(ANNA, 1), (ANNA, 2), (ANN, 1)]]
            got = feast.get_online_features(features=["trips:rate", "tips:tip"], entity_rows=rows).to_dict()
        assert [
            pair
            for pair, rate in zip(zip(got["rider"], got["town"], strict=True), got["rate"], strict=True)
            if rate is not None
        ] == left_trips
        assert (
            list(dict.fromkeys(r for r, tip in zip(got["rider"], got["tip"], strict=True) if tip is not None))
            == left_tips
        )
    predicted = pq.read_table(home / "predictions" / "p" / "p.parquet")
    assert predicted["who"].to_pylist() == ([ANN] if len(words) == 1 else [ANNA, ANN])


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


VIEW = ViewSpec("visits", {"shop": "INT64"}, {"rate": "FLOAT"}, Path("x"), "at", None, None)


def test_a_file_keeps_its_other_rows_its_groups_and_its_footer(tmp_path: Path) -> None:
    table = pa.table({"shop": pa.array([1, 2, 1, 3], pa.int32()), "rate": pa.array([1.0, float("nan"), None, -0.0])})
    file = tmp_path / "p.parquet"
    pq.write_table(table.replace_schema_metadata({"twinserve": "facts"}), file, row_group_size=2, compression="zstd")
    key = KeyColumns({"shop": ("INT64", 1)})
    assert rows_by_columns(file, [key], remove=False) == 2
    assert rows_by_columns(file, [key], remove=True, noted=True) == 2
    found = pq.ParquetFile(file)
    assert found.metadata.metadata[b"twinserve"] == b"facts"
    assert json.loads(found.metadata.metadata[b"twinserve.forgotten"]) == {"rows": 2}
    assert (found.num_row_groups, found.metadata.row_group(0).column(0).compression) == (2, "ZSTD")
    kept = found.read().replace_schema_metadata(None)
    assert kept.schema == table.schema
    assert [str(value) for value in kept["rate"].to_pylist()] == ["nan", "-0.0"]
    assert rows_by_columns(file, [KeyColumns({"shop": ("INT64", 3)})], remove=True, noted=True) == 1
    assert json.loads(pq.read_metadata(file).metadata[b"twinserve.forgotten"]) == {"rows": 3}
    assert rows_by_columns(file, [KeyColumns({"other": ("INT64", 2)})], remove=True) == 0


@pytest.mark.parametrize("value", ["7", "7.0", '"7"', '" 7 "', '"007"'])
def test_a_key_in_json_is_known_in_every_form_that_ingest_reads_as_it(tmp_path: Path, value: str) -> None:
    file = tmp_path / "q.parquet"
    rows = [f'{{"laden": {value}}}', '{"laden": 77}', '{"laden": null}', '{"laden": true}', '{"other": 7}']
    pq.write_table(pa.table({"original": rows}), file)
    ways = source_columns({"shop": "7"}, VIEW, {"laden": "shop"})
    assert rows_by_json(file, "original", ways, remove=True) == 1
    assert pq.read_table(file)["original"].to_pylist() == rows[1:]


def test_a_page_is_known_by_the_rows_that_it_quotes() -> None:
    key = stored_columns({"shop": "7"}, VIEW)
    assert key.in_report("<code>{&#34;rate&#34;: 1, &#34;shop&#34;: 7, &#34;x&#34;: 2}</code>")
    assert key.in_report("<code>{&#34;shop&#34;: &#34;7&#34;}</code>")
    assert not key.in_report("<code>{&#34;shop&#34;: 77}</code> 7 rows")


@pytest.mark.parametrize("name", ["clean", "present", "deleted", "refused_deletions"])
def test_a_run_that_holds_the_key_in_any_of_its_files_begins_again(tmp_path: Path, name: str) -> None:
    run, key = ViewRun(tmp_path, "visits", "r1"), stored_columns({"shop": "7"}, VIEW)
    run.folder.mkdir()
    file: Path = getattr(run, name)
    pq.write_table(pa.table({"shop": [6, 7, 7]}), file)
    run.finish("ingest", {})
    assert forget_run(run, key, [], remove=False) == forget_run(run, key, [], remove=True) == 2
    assert not file.exists()
    assert not run.did("ingest")


def test_the_list_names_nobody(tmp_path: Path) -> None:
    put_on_list(tmp_path, [{"shop": 7}], None)
    listed = put_on_list(tmp_path, [{"shop": "7"}], None)
    assert len(listed.entries) == 1
    assert "7" not in [part for entry in listed.entries for part in entry.keys]
    table = pa.table({"laden": ["7", "8", None]})
    rows = ForgottenKeys.read(tmp_path).rows(table, VIEW, {"shop": "laden"})
    assert rows.tolist() == [True, False, False]
    assert ForgottenKeys.read(tmp_path).salt == listed.salt
    other = put_on_list(tmp_path / "other", [{"shop": 7}], None)
    assert other.entries != listed.entries
    assert take_off_list(tmp_path, [{"shop": 7}], None)
    assert not take_off_list(tmp_path, [{"shop": 7}], None)


def test_a_damaged_list_stops_ingest(command: Callable[..., Result], tmp_path: Path) -> None:
    command(*SMALL)
    (tmp_path / "home" / "forgotten.json").write_text('{"salt": ')
    assert "forgotten.json is damaged" in command("ingest", "--run-key", "r1").err


def test_a_key_of_a_kind_that_no_candidate_has_is_refused() -> None:
    with pytest.raises(BadInput, match="is a DOUBLE"):
        parse_key(["x=1.5"], [ViewSpec("v", {"x": "DOUBLE"}, {}, Path("x"), "at", None, None)])
