"""`python -m benchmarks.online`, which `make bench-online` calls."""

from __future__ import annotations

import logging
from typing import Annotated

import typer

from benchmarks.online.closed import closed_loops
from benchmarks.online.contestants import chosen as chosen_contestants
from benchmarks.online.works import chosen
from benchmarks.online.world import open_world
from benchmarks.workshop import workshop
from twinserve.console import report, run_app
from twinserve.locks import one_at_a_time
from twinserve.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
logger = logging.getLogger("benchmarks")


@app.command()
def run(
    *,
    only: Annotated[str, typer.Option(help="names of works; empty: all")] = "",
    contestants: Annotated[str, typer.Option(help="names of contestants; empty: all")] = "",
    runs: Annotated[int, typer.Option(min=1, help="of each contestant")] = 3,
    seconds: Annotated[float, typer.Option(min=1, help="of each run")] = 10,
) -> None:
    """Measure."""
    works, who = chosen(only), chosen_contestants(contestants)
    settings = load_settings()
    shop = workshop(settings)
    with one_at_a_time(settings.home / "locks" / "benchmarks"), shop.at_work():
        for plan in dict.fromkeys(work.plan for work in works):
            with open_world(shop, plan) as world:
                closed_loops(shop, world, [w for w in works if w.plan == plan], who, runs, seconds, logger.info)
    report({})


@app.callback()
def commands() -> None:
    """Online."""


if __name__ == "__main__":
    run_app(app)
