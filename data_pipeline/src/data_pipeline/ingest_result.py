"""What `ingest` prints of its outcome: counts, references and what a person should know, on a line of bounded length.

The whole of it, with watermarks, columns and parts, is what the next steps read from the run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST = 10  # sources, days, files and warnings named
FOR_THE_STEPS = ("columns", "parts", "watermark", "warnings", "ordered")  # warnings are the view's too, with the name


def printed(outcome: Mapping[str, Any], details: Path) -> dict[str, Any]:
    """One view's part of the line.

    Args:
        details: the file that has all of it.
    """
    cut = {name: _first(outcome[name], name) for name in ("files_passed_over", "warnings")}
    sources = outcome["sources"]
    if len(sources) > MOST:  # a folder of files: those that had something
        sources = [source for source in sources if source["rows"] or source["late_days"]][:MOST]
    left_out = len(outcome["sources"]) - len(sources)
    said = {"sources": [_source(source) for source in sources], "sources_not_shown": left_out}
    return {**outcome, **cut, **said, "details": str(details)}


def _source(source: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in source.items() if name not in FOR_THE_STEPS}
    return kept | {name: _first(kept[name], name) for name in ("late_days", "notes")}


def _first(entries: list[Any], name: str) -> list[Any]:
    """The first ones; how many more there are is told by the last."""
    more = len(entries) - MOST
    return [*entries[:MOST], f"and {more} more {name.replace('_', ' ')}"] if more > 0 else entries
