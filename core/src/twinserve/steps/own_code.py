"""Whether our own code is the same as when something was made: its version moves with a release, not with a change."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@cache
def code_digest(package: str) -> str | None:
    """Digest of the source of a package, with all below it; None where it is installed without source.

    A comment counts too: to do the work again is cheaper than to know which change alters what comes out.
    """
    spec = find_spec(package)
    folders = [Path(folder) for folder in (spec.submodule_search_locations if spec else None) or []]
    files = sorted((file.relative_to(folder), file) for folder in folders for file in folder.rglob("*.py"))
    total = hashlib.sha256()
    for name, file in files:
        total.update(name.as_posix().encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest() if files else None
