"""`python -m benchmarks.online`, which `make bench-online` calls."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.machine import describe_machine
from benchmarks.online.cases import Case, chosen
from benchmarks.online.contest import Effort, contest
from benchmarks.online.contestants import chosen as chosen_names
from benchmarks.online.measured import Figures, OnlineResults
from benchmarks.online.plot import draw
from benchmarks.online.publish import publish as write
from benchmarks.online.show import show
from benchmarks.online.world import open_world
from benchmarks.online.wrk import program
from benchmarks.workspace import Workspace, open_workspace
from twinserve.command.console import report, run_app
from twinserve.errors import BadInput, PermanentError
from twinserve.files.locks import one_at_a_time
from twinserve.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
logger = logging.getLogger("benchmarks")
QUICK = Effort(runs=1, seconds=1, open_seconds=2)
LONG_SECONDS = 600
OPEN_TIMES = 6  # an open loop runs so many times as long as a closed one


@app.command()
def run(
    *,
    only: Annotated[str, typer.Option(help="names of cases; empty: all")] = "",
    contestants: Annotated[str, typer.Option(help="names of contestants; empty: all")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="a second each: proves that everything works")] = False,
    long: Annotated[bool, typer.Option("--long", help="ten minutes for each open loop")] = False,
    publish: Annotated[bool, typer.Option("--publish", help="write tables and pictures into docs/")] = False,
    runs: Annotated[int, typer.Option(min=1, help="of each contestant")] = Effort.runs,
    seconds: Annotated[
        float, typer.Option(min=1, help="of each closed loop; an open loop: six times that")
    ] = Effort.seconds,
) -> None:
    """Compare answers, measure, print the tables; fail if a contestant did."""
    if publish and quick:
        raise BadInput("quick figures say nothing", fix="Leave out QUICK or PUBLISH")
    cases, names, settings = chosen(only, quick=quick), chosen_names(contestants), load_settings()
    effort = QUICK if quick else Effort(runs, seconds, LONG_SECONDS if long else OPEN_TIMES * seconds)
    program()  # missing is said before a world is made
    workspace = open_workspace(settings)
    with one_at_a_time(settings.home / "locks" / "benchmarks"), workspace.at_work():
        results, file = measure(workspace, cases, names, effort, _command(only, contestants, effort))
    for case in cases:
        draw(case, list(results.figures), file.with_name(f"{file.stem}-{case.name}.png"))
    show(cases, results, terminal=sys.stdout.isatty())
    published = write(results) if publish else []
    report({"results": str(file), "figures": len(results.figures), "published": published})
    if failed := [f"{each.contestant} at {each.case}" for each in results.figures if each.absent]:
        raise PermanentError(f"{', '.join(failed)} failed", fix="The lines above say more")


@app.command()
def publish(results: Annotated[Path, typer.Argument(help="a JSON file of an earlier run")]) -> None:
    """Write tables and pictures of an earlier run into docs/."""
    if not results.is_file():
        raise BadInput(f"no file {results}", fix="See the folder results")
    report({"published": write(OnlineResults.read(results))})


def measure(
    workspace: Workspace, cases: tuple[Case, ...], names: set[str], effort: Effort, command: str
) -> tuple[OnlineResults, Path]:
    """Every world with all its cases, and the file that has all that is finished, whatever becomes of the rest."""
    begin = datetime.now(UTC).isoformat(timespec="seconds")
    file = workspace.results / f"online-{begin.replace(':', '').replace('+0000', 'Z')}.json"
    results = OnlineResults(command, describe_machine(), begin, ())
    for plan in dict.fromkeys(case.plan for case in cases):
        with open_world(workspace, plan) as world:
            mine = [case for case in cases if case.plan == plan]
            found: list[Figures] = contest(workspace, world, mine, names, effort, logger.info)
        results = replace(results, figures=(*results.figures, *found))
        results.write(file)
    return results, file


def _command(only: str, contestants: str, effort: Effort) -> str:
    """What gives these figures again."""
    usual = Effort()
    words = {
        f'ONLY="{only}"': only,
        f'CONTESTANTS="{contestants}"': contestants,
        "QUICK=1": effort == QUICK,
        "LONG=1": effort.open_seconds == LONG_SECONDS,
        f"RUNS={effort.runs}": effort not in (QUICK, usual) and effort.runs != usual.runs,
        f"SECONDS_EACH={effort.seconds:g}": effort != QUICK and effort.seconds != usual.seconds,
    }
    return " ".join(["make bench-online", *(word for word, given in words.items() if given)])


if __name__ == "__main__":
    run_app(app)
