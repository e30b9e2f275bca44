"""MLflow's check of a model's requirements, without a look at every file of every installed package.

MLflow compares each requirement with what is installed, and for that lists which module every package brings: half a
second and more. It needs the list for a package that is known by a module alone, as one of its source checkout; what
we require are packages by the names and versions that they are installed under.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_list_of_packages() -> Iterator[None]:
    """A block in which MLflow goes by the installed packages' own names."""
    from mlflow.utils import requirements_utils as theirs

    before = theirs._MODULES_TO_PACKAGES
    theirs._MODULES_TO_PACKAGES = before or {}  # type: ignore[assignment]
    try:
        yield
    finally:
        theirs._MODULES_TO_PACKAGES = before
