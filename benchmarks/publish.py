"""From results to the documentation: the sections that were run are replaced, with command, machine and date."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.contest import Work
from benchmarks.measurement import Results
from benchmarks.plot import draw
from benchmarks.process import CHECKOUT
from benchmarks.table import markdown, rows_of
from twinserve.errors import BadInput
from twinserve.files.atomic import write_atomically

PAGE = CHECKOUT / "docs" / "benchmarks.md"
IMAGES = CHECKOUT / "docs" / "images"


def publish(results: Results, works: tuple[Work, ...], page: Path = PAGE, images: Path = IMAGES) -> list[str]:
    """Write the page's sections and their pictures; names of the works that were published.

    Raises:
        BadInput: the page has no place for one of them.
    """
    text = page.read_text(encoding="utf-8")
    published = []
    for work in works:
        if any(each.work == work.name and not each.absent for each in results.measurements):
            picture = draw(work, list(results.measurements), images / f"bench-{work.name}.png")
            text = replaced(text, work.name, section(results, work, picture))
            published.append(work.name)
    write_atomically(page, text)
    return published


def replaced(text: str, name: str, content: str) -> str:
    """The page with another content between the two marks of a section."""
    place = re.compile(rf"(<!-- bench {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(text):
        raise BadInput(f"the page has no section {name!r}", fix=f"Add <!-- bench {name} --> and <!-- end --> to it")
    return place.sub(lambda found: f"{found[1]}{content}{found[2]}", text)


def section(results: Results, work: Work, picture: Path | None) -> str:
    """Title, what is measured, the table, the picture, and how it came about."""
    rows = rows_of(each for each in results.measurements if each.work == work.name)
    shown = f"\n![{work.title}: cost against size](images/{picture.name})\n" if picture else ""
    machine = results.machine
    return (
        f"## {work.title}\n\nMeasured: {work.measured}.\n\n{markdown(rows, work.unit)}\n{shown}\n"
        f"`{results.command}` on {results.date[:10]}; best of several runs unless marked; {machine['processor']}, "
        f"{machine['memory']}, {machine['system']}, Python {machine['python']}; {machine['libraries']}.\n"
    )
