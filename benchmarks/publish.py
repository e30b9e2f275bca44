"""From results to the documentation: the sections that were run are replaced, with command, machine and date."""

from __future__ import annotations

import re
from pathlib import Path

from benchmarks.contest import Case
from benchmarks.measurement import Results
from benchmarks.plot import draw
from benchmarks.process import CHECKOUT
from benchmarks.table import markdown, rows_of
from twinserve.errors import BadInput
from twinserve.files.atomic import write_atomically

PAGE = CHECKOUT / "docs" / "benchmarks.md"
IMAGES = CHECKOUT / "docs" / "images"


def publish(results: Results, cases: tuple[Case, ...], page: Path = PAGE, images: Path = IMAGES) -> list[str]:
    """Write the page's sections and their pictures; names of the cases that were published.

    Raises:
        BadInput: the page has no place for one of them.
    """
    text = page.read_text(encoding="utf-8")
    published = []
    for case in cases:
        if any(each.case == case.name and not each.absent for each in results.measurements):
            picture = draw(case, list(results.measurements), images / f"bench-{case.name}.png")
            text = replaced(text, case.name, section(results, case, picture))
            published.append(case.name)
    write_atomically(page, text)
    return published


def replaced(text: str, name: str, content: str) -> str:
    """The page with another content between the two marks of a section."""
    place = re.compile(rf"(<!-- bench {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    if not place.search(text):
        raise BadInput(f"the page has no section {name!r}", fix=f"Add <!-- bench {name} --> and <!-- end --> to it")
    return place.sub(lambda found: f"{found[1]}{content}{found[2]}", text)


def section(results: Results, case: Case, picture: Path | None) -> str:
    """Title, what is measured, the table, the picture, and how it came about."""
    rows = rows_of(each for each in results.measurements if each.case == case.name)
    shown = f"\n![{case.title}: cost against size](images/{picture.name})\n" if picture else ""
    machine = results.machine
    return (
        f"## {case.title}\n\nMeasured: {case.measured}.\n\n{markdown(rows, case.unit)}\n{shown}\n"
        f"`{results.command}` on {results.date[:10]}; best of several runs unless marked; {machine['processor']}, "
        f"{machine['memory']}, {machine['system']}, Python {machine['python']}; {machine['libraries']}.\n"
    )
