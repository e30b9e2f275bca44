"""The table, for people: drawn on a terminal, a line for each row in a log."""

from __future__ import annotations

import sys

from benchmarks.contest import Case
from benchmarks.measurement import Results
from benchmarks.table import HEADINGS, Row, rows_of


def show(cases: tuple[Case, ...], results: Results, *, terminal: bool) -> None:
    """Print the rows of all cases to standard output."""
    for case in cases:
        rows = rows_of(each for each in results.measurements if each.case == case.name)
        if terminal:
            _draw(case, rows)
        else:
            sys.stdout.writelines(f"{line(case, row)}\n" for row in rows)


def line(case: Case, row: Row) -> str:
    """One row as text."""
    size, against, *figures = row.cells()
    named = zip(HEADINGS[2:], figures, strict=True)
    return f"{case.name} {size} {case.unit} against {against}: {', '.join(f'{name} {each}' for name, each in named)}"


def _draw(case: Case, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=case.title, title_justify="left")
    for heading in (case.unit, *HEADINGS[1:]):
        words = heading in ("against", "our answer", "their answer")
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row.cells())
    Console().print(table)
