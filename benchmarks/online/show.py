"""The tables, for people: drawn on a terminal, a line for each row in a log."""

from __future__ import annotations

import sys

from benchmarks.online.cases import Case
from benchmarks.online.measured import OnlineResults
from benchmarks.online.table import headings, rows


def show(cases: tuple[Case, ...], results: OnlineResults, *, terminal: bool) -> None:
    """Print the rows of all cases to standard output."""
    for case in cases:
        if terminal:
            _draw(case, results)
        else:
            sys.stdout.writelines(f"{line(case, row)}\n" for row in rows(case, results.figures))


def line(case: Case, row: list[str]) -> str:
    """One row as text."""
    named = zip(headings(case)[1:], row[1:], strict=True)
    return f"{case.name}, {row[0]}: {'; '.join(f'{name} {each}' for name, each in named)}"


def _draw(case: Case, results: OnlineResults) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=case.title, title_justify="left")
    for place, heading in enumerate(headings(case)):
        table.add_column(heading, justify="right" if place else "left", overflow="fold")
    for row in rows(case, results.figures):
        table.add_row(*row)
    Console().print(table)
