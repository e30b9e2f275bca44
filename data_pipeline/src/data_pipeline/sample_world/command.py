"""The command `data-pipeline generate`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from twinserve.command.console import report


def generate(
    *,
    drivers: Annotated[int, typer.Option(help="how many drivers")] = 200,
    days: Annotated[int, typer.Option(help="days of hourly statistics")] = 30,
    orders: Annotated[int, typer.Option(help="orders with a known outcome")] = 5000,
    seed: Annotated[int, typer.Option(help="same seed, same bytes")] = 7,
    dirt: Annotated[float, typer.Option(help="fraction of statistics with a defect")] = 0.002,
    end: Annotated[str | None, typer.Option(help="ISO time, UTC; default: the last midnight UTC")] = None,
    force: Annotated[bool, typer.Option("--force", help="replace tables that generate did not write")] = False,
) -> None:
    """Write a sample world: source database and batch request file."""
    from data_pipeline.reading.watermarks import Watermarks
    from data_pipeline.sample_world.generate import generate as write_world
    from data_pipeline.sample_world.parameters import WorldParameters, world_end
    from data_pipeline.sample_world.targets import target_for
    from twinserve.settings import load_settings
    from twinserve.values.databases import parse_url, public_name

    settings = load_settings()
    world = WorldParameters(drivers, days, orders, seed, dirt, world_end(end, datetime.now(UTC)))
    url = parse_url(settings.source_database)
    outcome = write_world(
        world,
        target_for(url),
        settings.home / "source" / "batch_request.csv",
        end_given=end is not None,
        ingested=Watermarks(settings.home / "watermarks").know(public_name(url)),
        force=force,
    )
    report(outcome)
