"""From results to the documentation: the sections that were run are replaced, with command, machine and date."""

from __future__ import annotations

from pathlib import Path

from benchmarks.online.cases import CASES, Case
from benchmarks.online.measured import OnlineResults
from benchmarks.online.plot import draw
from benchmarks.online.table import markdown
from benchmarks.publish import IMAGES, PAGE, replaced
from twinserve.files.atomic import write_atomically


def publish(results: OnlineResults, page: Path = PAGE, images: Path = IMAGES) -> list[str]:
    """Write the page's sections and their pictures; names of the cases that were published.

    Raises:
        BadInput: the page has no place for one of them.
    """
    text, published = page.read_text(encoding="utf-8"), []
    for case in CASES:
        if picture := draw(case, list(results.figures), images / f"bench-{case.section}.png"):
            text = replaced(text, case.section, section(results, case, picture))
            published.append(case.name)
    write_atomically(page, text)
    return published


def section(results: OnlineResults, case: Case, picture: Path) -> str:
    """Title, what is measured, the table, the picture, and how it came about."""
    machine = results.machine
    return (
        f"## {case.title}\n\nMeasured: {case.measured}.\n\n{markdown(case, results.figures)}\n\n"
        f"![{case.title}](images/{picture.name})\n\n"
        f"`{results.command}` on {results.date[:10]}; {machine['processor']}, {machine['memory']}, "
        f"{machine['system']}, Python {machine['python']}; {machine['libraries']}.\n"
    )
