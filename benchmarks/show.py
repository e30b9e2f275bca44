"""The table, for people: drawn on a terminal, a line for each row in a log."""

from __future__ import annotations

import sys

from benchmarks.contest import Work
from benchmarks.measurement import Results
from benchmarks.table import HEADINGS, Row, rows_of


def show(works: tuple[Work, ...], results: Results, *, terminal: bool) -> None:
    """Print the rows of all works to standard output."""
    for work in works:
        rows = rows_of(each for each in results.measurements if each.work == work.name)
        if terminal:
            _draw(work, rows)
        else:
            sys.stdout.writelines(f"{line(work, row)}\n" for row in rows)


def line(work: Work, row: Row) -> str:
    """One row as text."""
    size, against, *figures = row.cells()
    named = zip(HEADINGS[2:], figures, strict=True)
    return f"{work.name} {size} {work.unit} against {against}: {', '.join(f'{name} {each}' for name, each in named)}"


def _draw(work: Work, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=work.title, title_justify="left")
    for heading in (work.unit, *HEADINGS[1:]):
        words = heading in ("against", "our answer", "their answer")
        table.add_column(heading, justify="left" if words else "right", overflow="fold")
    for row in rows:
        table.add_row(*row.cells())
    Console().print(table)
