"""What is written of a correction, and a list that only grows."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline.publishing.corrections import SCHEMA, Correction, CorrectionLog, corrections
from twinserve.features.feast_repo.views import ViewSpec

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
VIEW = ViewSpec(
    "visits",
    {"shop": "INT64", "town": "STRING"},
    {"rate": "DOUBLE", "opened": "UNIX_TIMESTAMP"},
    Path("offline"),
    "event_timestamp",
    "created",
    None,
)


def table(*rows: Any) -> pa.Table:
    """Rows of a shop and a rate, with a column that is not declared."""
    names = ("rate", "town", "shop", "created", "event_timestamp", "opened", "note")
    return pa.Table.from_pylist(
        [dict(zip(names, (rate, "Köln", shop, NOON, NOON, opened, "x"), strict=True)) for shop, rate, opened in rows]
    )


def test_a_correction_has_the_rows_keys_and_times_and_both_sets_of_features() -> None:
    before, after = table((1, 0.5, None), (2, 0.5, NOON)), table((1, 1.5, NOON), (2, None, NOON))
    place = '"town": "Köln", "event_timestamp": "2026-03-10T12:00:00+00:00", "created": "2026-03-10T12:00:00+00:00"}'
    noon = '"opened": "2026-03-10T12:00:00+00:00"}'
    assert corrections(before, after, VIEW, "replaced") == [
        Correction('{"shop": 1, ' + place, '{"rate": 0.5, "opened": null}', '{"rate": 1.5, ' + noon, "replaced"),
        Correction('{"shop": 2, ' + place, '{"rate": 0.5, ' + noon, '{"rate": null, ' + noon, "replaced"),
    ]


def test_a_value_that_json_lacks_is_written_as_text() -> None:
    before, after = (table((1, Decimal(rate), None)) for rate in ("0.50", "1.10"))
    (found,) = corrections(before, after, VIEW, "keep_first")
    assert (found.before, found.after) == ('{"rate": "0.50", "opened": null}', '{"rate": "1.10", "opened": null}')


def correction(number: int, after: str = "b") -> Correction:
    return Correction(f"row {number}", "a", after, "replaced")


def test_the_list_of_a_run_holds_what_all_its_tries_found(tmp_path: Path) -> None:
    log = CorrectionLog(tmp_path / "corrections" / "visits")
    assert log.record([], "r1") is None
    assert not log.folder.exists()
    assert log.listed("r1") == []

    file = log.record([correction(2), correction(1), correction(2)], "r1")
    assert file == log.folder / "r1.parquet" == log.file("r1")
    assert pq.read_table(file).cast(SCHEMA).to_pylist() == [correction(1)._asdict(), correction(2)._asdict()]
    assert pq.read_schema(file).equals(SCHEMA)

    written = file.stat().st_ino
    assert log.record([], "r1") == log.record([correction(2)], "r1") == file
    assert log.listed("r1") == [correction(1), correction(2)]
    assert file.stat().st_ino == written, "nothing new, nothing written"

    log.record([correction(1, "c")], "r1")
    assert log.listed("r1") == [correction(1), correction(1, "c"), correction(2)]
    assert log.listed("r2") == []
