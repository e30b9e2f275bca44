"""The tables, for people: drawn on a terminal, a line for each row in a log."""

from __future__ import annotations

import sys

from benchmarks.online.measured import OnlineResults
from benchmarks.online.table import headings, rows
from benchmarks.online.works import Work


def show(works: tuple[Work, ...], results: OnlineResults, *, terminal: bool) -> None:
    """Print the rows of all works to standard output."""
    for work in works:
        if terminal:
            _draw(work, results)
        else:
            sys.stdout.writelines(f"{line(work, row)}\n" for row in rows(work, results.figures))


def line(work: Work, row: list[str]) -> str:
    """One row as text."""
    named = zip(headings(work)[1:], row[1:], strict=True)
    return f"{work.name}, {row[0]}: {'; '.join(f'{name} {each}' for name, each in named)}"


def _draw(work: Work, results: OnlineResults) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=work.title, title_justify="left")
    for place, heading in enumerate(headings(work)):
        table.add_column(heading, justify="right" if place else "left", overflow="fold")
    for row in rows(work, results.figures):
        table.add_row(*row)
    Console().print(table)
