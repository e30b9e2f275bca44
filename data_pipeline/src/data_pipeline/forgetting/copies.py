"""The rows of a key in what the runs of all pipelines left: bad rows, corrections, reports, scratch, predictions."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from data_pipeline.forgetting.entity_key import KeyColumns
from data_pipeline.forgetting.parquet_rows import rows_by_columns, rows_by_json
from data_pipeline.run_folder import ViewRun
from twinserve.features.stored_files.source_files import parquet_in

OWN = "data_pipeline"


def forget_json(folder: Path, column: str, ways: Sequence[KeyColumns], *, remove: bool) -> int:
    """Rows kept as JSON in the Parquet files of a folder; a file that loses all stays, empty."""
    return sum(rows_by_json(file, column, ways, remove=remove) for file in parquet_in(folder))


def forget_reports(folder: Path, ways: Sequence[KeyColumns], *, remove: bool) -> int:
    """Reports that quote a row of the key. They are deleted whole: no row can be taken out of a page."""
    pages = [file for file in sorted(folder.glob("*.html")) if _quotes(file, ways)]
    for file in pages if remove else []:
        file.unlink()
    return len(pages)


def _quotes(file: Path, ways: Sequence[KeyColumns]) -> bool:
    page = file.read_text(encoding="utf-8", errors="replace")
    return any(way.in_report(page) for way in ways)


def own_runs(home: Path, view: str) -> list[ViewRun]:
    """What the data pipeline's runs left of a view."""
    folders = sorted((home / "runs" / OWN).glob(f"*/{view}"))
    return [ViewRun(folder.parent, view, folder.parent.name) for folder in folders]


def forget_run(run: ViewRun, stored: KeyColumns, source: Sequence[KeyColumns], *, remove: bool) -> int:
    """Rows of the key among those of a run of the data pipeline.

    Rows are known by their number in it, so that none can be taken out: the run loses all its rows, which the source
    still has, and begins again with ingest.
    """
    files = parquet_in(run.raw)
    found = sum(rows_by_columns(file, [*source, stored], remove=False) for file in files)
    typed = (run.clean, run.present, run.deleted, run.refused_deletions)
    found += sum(rows_by_columns(file, [stored], remove=False) for file in typed if file.exists())
    for file, column, ways in (
        (run.refused, "original", source),
        (run.refused_corrections, "row", [stored]),
    ):
        found += rows_by_json(file, column, ways, remove=False) if file.exists() else 0
    if found and remove:
        run.begin("ingest")
        for file in (*typed, run.rejected, run.refused, run.refused_corrections):
            file.unlink(missing_ok=True)
        shutil.rmtree(run.raw, ignore_errors=True)
    return found


def other_runs(home: Path) -> dict[Path, Path]:
    """The folder of each run of the other pipelines → the file that its steps lock."""
    folders = [f for f in sorted((home / "runs").glob("*/*")) if f.is_dir() and f.parent.name != OWN]
    return {f: f / "locks" / "run" if f.parent.name == "batch_serving" else f / "lock" for f in folders}


def forget_copies(folder: Path, ways: Sequence[KeyColumns], *, remove: bool) -> int:
    """Rows in Parquet files that have the join keys as columns; each says in its footer how many it lost."""
    return sum(rows_by_columns(file, ways, remove=remove, noted=True) for file in parquet_in(folder))
