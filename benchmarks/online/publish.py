"""From results to the documentation: the sections that were run are replaced, with command, machine and date."""

from __future__ import annotations

from pathlib import Path

from benchmarks.online.measured import OnlineResults
from benchmarks.online.plot import draw
from benchmarks.online.table import markdown
from benchmarks.online.works import WORKS, Work
from benchmarks.publish import IMAGES, PAGE, replaced
from twinserve.files.atomic import write_atomically


def publish(results: OnlineResults, page: Path = PAGE, images: Path = IMAGES) -> list[str]:
    """Write the page's sections and their pictures; names of the works that were published.

    Raises:
        BadInput: the page has no place for one of them.
    """
    text, published = page.read_text(encoding="utf-8"), []
    for work in WORKS:
        if picture := draw(work, list(results.figures), images / f"bench-{work.section}.png"):
            text = replaced(text, work.section, section(results, work, picture))
            published.append(work.name)
    write_atomically(page, text)
    return published


def section(results: OnlineResults, work: Work, picture: Path) -> str:
    """Title, what is measured, the table, the picture, and how it came about."""
    machine = results.machine
    return (
        f"## {work.title}\n\nMeasured: {work.measured}.\n\n{markdown(work, results.figures)}\n\n"
        f"![{work.title}](images/{picture.name})\n\n"
        f"`{results.command}` on {results.date[:10]}; {machine['processor']}, {machine['memory']}, "
        f"{machine['system']}, Python {machine['python']}; {machine['libraries']}.\n"
    )
