"""`data-pipeline`: from a source database or files to the offline and the online store."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated, NoReturn

import typer

from data_pipeline.reading.interval import Interval
from data_pipeline.sample_world.command import generate
from twinserve.command.console import report, run_app
from twinserve.errors import BadInput

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)

RunKey = Annotated[str, typer.Option(help="names the run; all its steps share it")]


@app.callback()
def commands() -> None:
    """The steps in order: generate (sample), ingest, clean, explore-and-validate, apply, materialize."""


app.command()(generate)


@app.command()
def ingest(
    *,
    run_key: RunKey,
    source: Annotated[str | None, typer.Option(help="SQLAlchemy URL, file, folder or pattern instead")] = None,
    view: Annotated[str | None, typer.Option(help="this feature view only")] = None,
    since: Annotated[str | None, typer.Option(help="with --until: what arrived from then on, new or not")] = None,
    until: Annotated[str | None, typer.Option(help="and before then; ISO 8601, UTC where it names no zone")] = None,
    full: Annotated[bool, typer.Option("--full", help="all rows, whatever was read before")] = False,
) -> None:
    """Pull the rows that are new at the source, or those that arrived in an interval, or all."""
    from data_pipeline.ingest import ingest as run
    from data_pipeline.ingest_result import printed
    from data_pipeline.reading.locate import locate, passed_over
    from data_pipeline.step_context import Workplace

    interval = Interval.of(since, until)
    if interval and full:
        raise BadInput("--full reads all rows, --since and --until some", fix="Give one or the other")
    work = Workplace.open(run_key)
    views = work.chosen(view)
    found = {}
    with work.alone("ingest", views):
        for spec, rules in views:
            place = work.place(rules, source)
            found[spec.name] = run(
                work.run(spec), spec, rules, locate(place, rules.table), work.watermarks, datetime.now(UTC), interval,
                full=full, whole=source is None, passed_over=passed_over(place), forgotten=work.forgotten,
            )  # fmt: skip
    warnings = [said for outcome in found.values() for said in outcome["warnings"]]
    shown = {spec.name: printed(found[spec.name], work.run(spec).details("ingest")) for spec, _ in views}
    report({"run_key": run_key, "views": shown, "warnings": warnings})


@app.command()
def clean(*, run_key: RunKey) -> None:
    """Fix types and time zones, drop exact duplicates."""
    from data_pipeline.clean import clean as run
    from data_pipeline.step_context import Workplace

    work = Workplace.open(run_key)
    views = work.after("ingest")
    with work.alone("clean", views):
        found = {spec.name: run(work.run(spec), spec) for spec, _ in views}
    report({"run_key": run_key, "views": found})


@app.command()
def explore_and_validate(*, run_key: RunKey) -> None:
    """Check the rows, report on them, and publish the good ones to the offline store."""
    from data_pipeline.step_context import Workplace
    from data_pipeline.validate import explore_and_validate as run

    work = Workplace.open(run_key)
    views = work.after("clean")
    with work.alone("explore-and-validate", views):
        found = {
            spec.name: run(work.run(spec), spec, rules, work.places(spec), work.watermarks, datetime.now(UTC))
            for spec, rules in views
        }
    updated = Counter[str]()
    for outcome in found.values():
        updated.update(outcome["updated"])
    report({"run_key": run_key, "views": found, "updated": dict(updated)})


@app.command()
def apply() -> None:
    """Bring Feast's registry in line with the feature repo."""
    from twinserve.embedded.redis import leased_redis
    from twinserve.features.feast_repo.store import apply_definitions
    from twinserve.settings import load_settings

    settings = load_settings()
    with leased_redis(settings) as redis_url:
        report(apply_definitions(settings, redis_url))


@app.command()
def materialize(
    *,
    lookback_hours: Annotated[float | None, typer.Option(min=0, help="read the days of the last hours again")] = None,
    full: Annotated[
        bool, typer.Option("--full", help="compare all: what is no longer offline goes online too")
    ] = False,
) -> None:
    """Apply the feature definitions, and bring the latest row of each key to the online store."""
    from twinserve.embedded.redis import leased_redis
    from twinserve.features.feast_repo.store import apply_definitions
    from twinserve.features.materialization.materialize import materialize as run
    from twinserve.settings import load_settings

    settings = load_settings()
    lookback = None if lookback_hours is None else timedelta(hours=lookback_hours)
    with leased_redis(settings) as redis_url:
        apply_definitions(settings, redis_url)
        results = run(settings, redis_url, lookback, full=full)
    written = sum(result.written + result.resumed for result in results)  # of a killed run too: it told nobody
    changed = written + sum(result.removed for result in results)
    report({"views": {result.view: asdict(result) for result in results}, "updated": {"keys": changed}})


@app.command()
def forget(
    keys: Annotated[list[str], typer.Argument(help="join key and value: customer_id=1001", metavar="KEY=VALUE…")],
    *,
    view: Annotated[str | None, typer.Option(help="in this feature view only")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do it; without, only say what would be removed")] = False,
    allow_again: Annotated[bool, typer.Option("--allow-again", help="take the key off the list instead")] = False,
) -> None:
    """Remove all rows of a key from both stores and from the copies of them, and keep them from coming back."""
    from data_pipeline.forgetting.command import forget as run
    from twinserve.settings import load_settings

    if yes and allow_again:
        raise BadInput("--yes removes, --allow-again takes off the list", fix="Give one or the other")
    report(run(keys, view, load_settings(), yes=yes, allow_again=allow_again))


def main() -> NoReturn:
    """The console script."""
    run_app(app)
