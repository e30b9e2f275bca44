"""The feature repo: its Python definitions, read once, as Feast objects and as plain values."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from twinserve.errors import BadInput, StepMissing
from twinserve.features.feast_repo.views import ViewSpec
from twinserve.settings import Settings

if TYPE_CHECKING:
    from feast.repo_contents import RepoContents


def load_views(settings: Settings) -> list[ViewSpec]:
    """The feature views of the repo at `settings.feature_repo`, in the order of their names.

    Raises:
        StepMissing: there is no such folder.
        BadInput: its Python files can't be imported; names the file and the error. Or a view leaves out what can't
            be told, or its data are not Parquet files on this machine.
    """
    from twinserve.features.feast_repo.declared import declared_view
    from twinserve.features.stored_files.source_files import source_path

    views = load_definitions(settings).feature_views
    return [
        declared_view(view).spec(source_path(view.batch_source, settings.feature_repo))
        for view in sorted(views, key=lambda view: view.name)
    ]


def load_definitions(settings: Settings) -> RepoContents:
    """Import the feature repo's Python files and collect the Feast objects in them, complete as after an apply.

    Raises:
        StepMissing, BadInput: as `load_views`.
    """
    repo = settings.feature_repo
    if not (repo / "feature_store.yaml").is_file():
        raise StepMissing(f"no feature_store.yaml in {repo}", fix="Point TWINSERVE_FEATURE_REPO at a feature repo")
    from feast.repo_operations import parse_repo

    from twinserve.features.feast_repo.declared import complete
    from twinserve.features.sources import definitions_for

    with definitions_for(settings), _imported_from(repo):
        try:
            contents = parse_repo(repo)
        except Exception as error:
            raise BadInput(
                f"the feature repo {repo} can't be read: {type(error).__name__}: {error}",
                fix="Mend its definitions",
            ) from error
    complete(contents.feature_views, contents.entities, repo)
    return contents


@contextmanager
def _imported_from(folder: Path) -> Iterator[None]:
    """Feast imports definitions by their path relative to the working directory; leave no trace of that."""
    before, loaded, caching = Path.cwd(), set(sys.modules), sys.dont_write_bytecode
    os.chdir(folder)
    # byte code goes by the second: an edit within one would go unseen
    sys.dont_write_bytecode = True
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(before)
        sys.dont_write_bytecode = caching
        sys.path.remove(str(folder))
        for name in set(sys.modules) - loaded:
            if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]
