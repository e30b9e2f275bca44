"""`model-serving batch`: from a file of keys to files of predictions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinserve.command.console import report
from twinserve.values.iso_time import iso_time

if TYPE_CHECKING:
    from twinserve.settings import Settings

app = typer.Typer(no_args_is_help=True, help=__doc__, rich_markup_mode=None)
RunKey = Annotated[str, typer.Option(help="names the run; its three steps share it, and it keeps its output for good")]


@app.command()
def feature_store_init(*, run_key: RunKey) -> None:
    """Apply the feature definitions, pin the run to the champion, and check that they fit."""
    from model_serving.batch.feature_store_init import feature_store_init as step
    from model_serving.batch.run import BatchRun
    from twinserve.embedded.redis import leased_redis
    from twinserve.registry import Registry
    from twinserve.settings import load_settings

    settings = load_settings()
    with leased_redis(settings) as redis_url:
        report(step(settings, redis_url, Registry(settings), BatchRun.of(settings, run_key)))


@app.command()
def data_extraction(
    *,
    run_key: RunKey,
    source: Annotated[
        str, typer.Option("--input", help="CSV, TSV or Parquet; empty: the sample's batch_request.csv")
    ] = "",
    as_of: Annotated[str, typer.Option(help="ISO 8601: the time of rows that name none; empty: refuse them")] = "",
) -> None:
    """Read the input and join each row's features as they stood at its moment."""
    from model_serving.batch.data_extraction import data_extraction as step
    from model_serving.batch.run import BatchRun
    from twinserve.embedded.redis import leased_redis
    from twinserve.settings import load_settings

    settings, moment = load_settings(), iso_time("--as-of", as_of) if as_of else None
    with leased_redis(settings) as redis_url:
        report(step(settings, redis_url, BatchRun.of(settings, run_key), _input(settings, source), moment))


@app.command()
def batch_prediction(
    *,
    run_key: RunKey,
    shard: Annotated[
        int | None, typer.Option(min=0, help="score this part of the rows only; the last one to be done publishes all")
    ] = None,
) -> None:
    """Score the extracted rows: one output row per input row, in input order."""
    from model_serving.batch.batch_prediction import batch_prediction as step
    from model_serving.batch.run import BatchRun
    from twinserve.registry import Registry
    from twinserve.settings import load_settings

    settings = load_settings()
    report(step(BatchRun.of(settings, run_key), lambda version: Registry(settings).load_version(version), shard))


def _input(settings: Settings, given: str) -> Path:
    return Path(given).expanduser().absolute() if given else settings.home / "source" / "batch_request.csv"
