"""`python -m benchmarks`, which `make bench` calls."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.cases.catalogue import catalogue, chosen
from benchmarks.contest import Case
from benchmarks.machine import describe_machine
from benchmarks.measurement import Results
from benchmarks.race import RUNS, race, wrong
from benchmarks.workspace import Workspace, open_workspace
from twinserve.command.console import report, run_app
from twinserve.errors import BadInput, PermanentError
from twinserve.files.locks import one_at_a_time
from twinserve.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
logger = logging.getLogger("benchmarks")


@app.command()
def run(
    *,
    only: Annotated[str, typer.Option(help="names of benchmarks, or how they begin; empty: all")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="tiny sizes: proves that everything works")] = False,
    large: Annotated[
        bool, typer.Option("--large", help="the largest sizes too: hours, and tens of GB of disk")
    ] = False,
    publish: Annotated[bool, typer.Option("--publish", help="write table and pictures into docs/")] = False,
    runs: Annotated[int, typer.Option(min=1, help="of each contestant at each size")] = RUNS,
    older: Annotated[
        Path | None, typer.Option(help="a checked out tree with its environment: its steps beside ours")
    ] = None,
) -> None:
    """Measure, compare answers, print the table; fail if a contestant did, or gave a wrong answer."""
    if publish and quick:
        raise BadInput("quick figures say nothing", fix="Leave out QUICK or PUBLISH")
    if older and not (older / ".venv" / "bin" / "data-pipeline").exists():
        raise BadInput(f"no environment with our commands in {older}", fix="Run `make setup` there")
    settings, cases = load_settings(), chosen(catalogue(quick=quick, older=older and older.absolute()), only)
    sizes = {case.name: case.sizes.chosen(quick=quick, large=large) for case in cases}
    workspace = open_workspace(settings)
    command = _command(only, runs, quick=quick, large=large)
    with one_at_a_time(settings.home / "locks" / "benchmarks"), workspace.at_work():
        results, file = measure(workspace, cases, sizes, 1 if quick else runs, command)
    _draw(file, results, cases)
    _show(cases, results)
    published = _publish(results, cases) if publish else []
    report({"results": str(file), "measurements": len(results.measurements), "published": published})
    if problems := list(wrong(list(results.measurements))):
        raise PermanentError("; ".join(problems), fix="The lines above say more")


@app.command()
def publish(results: Annotated[Path, typer.Argument(help="a JSON file of an earlier run")]) -> None:
    """Write table and pictures of an earlier run into docs/."""
    if not results.is_file():
        raise BadInput(f"no file {results}", fix="See the folder results")
    report({"published": _publish(Results.read(results), catalogue(quick=False))})


def measure(
    workspace: Workspace, cases: tuple[Case, ...], sizes: dict[str, tuple[int, ...]], runs: int, command: str
) -> tuple[Results, Path]:
    """Every case at every size, and the file that has all of it that is finished, whatever becomes of the rest."""
    begin = datetime.now(UTC).isoformat(timespec="seconds")
    file = workspace.results / f"{begin.replace(':', '').replace('+0000', 'Z')}.json"
    results = Results(command, describe_machine(), begin, ())
    for number, case in enumerate(cases, 1):
        for size in sizes[case.name]:
            logger.info("%d of %d: %s, %s %s", number, len(cases), case.title, f"{size:,}", case.unit)
            found = race(workspace, case, size, runs, logger.info)
            results = replace(results, measurements=(*results.measurements, *found))
            results.write(file)
    return results, file


def _command(only: str, runs: int, *, quick: bool, large: bool) -> str:
    """What gives these figures again."""
    if runs == RUNS or quick:
        words = ["make bench", f'ONLY="{only}"' if only else "", "QUICK=1" if quick else "", "LARGE=1" if large else ""]
    else:  # make has no word for it
        chosen_works = f'--only "{only}"' if only else ""
        words = ["python -m benchmarks run", chosen_works, f"--runs {runs}", "--large" if large else ""]
    return " ".join(word for word in words if word)


def _draw(file: Path, results: Results, cases: tuple[Case, ...]) -> None:
    from benchmarks.plot import draw

    for case in cases:
        draw(case, list(results.measurements), file.with_name(f"{file.stem}-{case.name}.png"))


def _publish(results: Results, cases: tuple[Case, ...]) -> list[str]:
    from benchmarks.publish import publish as write

    return write(results, cases)


def _show(cases: tuple[Case, ...], results: Results) -> None:
    from benchmarks.show import show

    show(cases, results, terminal=sys.stdout.isatty())


if __name__ == "__main__":
    run_app(app)
