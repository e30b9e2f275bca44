"""`python -m benchmarks`, which `make bench` calls."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.contest import Work
from benchmarks.machine import describe_machine
from benchmarks.measurement import Results
from benchmarks.race import RUNS, race, wrong
from benchmarks.works.catalogue import catalogue, chosen
from benchmarks.workshop import Workshop, workshop
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
) -> None:
    """Measure, compare answers, print the table; fail if a contestant did, or gave a wrong answer."""
    if publish and quick:
        raise BadInput("quick figures say nothing", fix="Leave out QUICK or PUBLISH")
    settings, works = load_settings(), chosen(catalogue(quick=quick), only)
    sizes = {work.name: work.sizes.chosen(quick=quick, large=large) for work in works}
    shop = workshop(settings)
    command = _command(only, runs, quick=quick, large=large)
    with one_at_a_time(settings.home / "locks" / "benchmarks"), shop.at_work():
        results, file = measure(shop, works, sizes, 1 if quick else runs, command)
    _draw(file, results, works)
    _show(works, results)
    published = _publish(results, works) if publish else []
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
    shop: Workshop, works: tuple[Work, ...], sizes: dict[str, tuple[int, ...]], runs: int, command: str
) -> tuple[Results, Path]:
    """Every work at every size, and the file that has all of it that is finished, whatever becomes of the rest."""
    begin = datetime.now(UTC).isoformat(timespec="seconds")
    file = shop.results / f"{begin.replace(':', '').replace('+0000', 'Z')}.json"
    results = Results(command, describe_machine(), begin, ())
    for number, work in enumerate(works, 1):
        for size in sizes[work.name]:
            logger.info("%d of %d: %s, %s %s", number, len(works), work.title, f"{size:,}", work.unit)
            found = race(shop, work, size, runs, logger.info)
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


def _draw(file: Path, results: Results, works: tuple[Work, ...]) -> None:
    from benchmarks.plot import draw

    for work in works:
        draw(work, list(results.measurements), file.with_name(f"{file.stem}-{work.name}.png"))


def _publish(results: Results, works: tuple[Work, ...]) -> list[str]:
    from benchmarks.publish import publish as write

    return write(results, works)


def _show(works: tuple[Work, ...], results: Results) -> None:
    from benchmarks.show import show

    show(works, results, terminal=sys.stdout.isatty())


if __name__ == "__main__":
    run_app(app)
