"""Bundles on disk: laid down whole, reused, replaced when damaged, removed when old and unused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from twinserve.errors import ContractMismatch, PermanentError
from twinserve.model.model_bundle import (
    DRAFT,
    FILES,
    KEPT,
    BundleNote,
    in_use,
    laid_down,
    load_prepared,
    newest,
    read_note,
)
from twinserve.model.model_files import folder_digest


def version_of(source: Path, text: str) -> BundleNote:
    source.mkdir()
    (source / "model").write_text(text)
    return BundleNote("ranker", text, folder_digest(source))


class Fetch:
    """Brings the files of a version, and counts how often."""

    def __init__(self, text: str) -> None:
        self.text, self.calls = text, 0

    def __call__(self, target: Path) -> Path:
        self.calls += 1
        (target / "model").write_text(self.text)
        return target


@pytest.fixture
def lay(tmp_path: Path) -> Callable[[str], Path]:
    """Lays down a version and makes it older than whatever comes later."""
    clock = iter(range(1, 100))

    def lay(text: str) -> Path:
        bundle = laid_down(tmp_path / "shelf", version_of(tmp_path / text, text), Fetch(text))
        os.utime(bundle, (0, next(clock)))
        return bundle

    return lay


def test_a_bundle_is_fetched_once(tmp_path: Path) -> None:
    wanted, fetch = version_of(tmp_path / "source", "1"), Fetch("1")
    bundles = {laid_down(tmp_path / "shelf", wanted, fetch) for _ in range(3)}
    assert fetch.calls == 1
    (bundle,) = bundles
    assert read_note(bundle) == wanted
    assert (bundle / FILES / "model").read_text() == "1"


@pytest.mark.parametrize("damage", [f"{FILES}/model", "bundle.json"])
@pytest.mark.parametrize("content", ["", "x", None])
def test_a_damaged_one_is_fetched_again(tmp_path: Path, damage: str, content: str | None) -> None:
    wanted, fetch = version_of(tmp_path / "source", "1"), Fetch("1")
    bundle = laid_down(tmp_path / "shelf", wanted, fetch)
    (bundle / damage).unlink() if content is None else (bundle / damage).write_text(content)
    assert laid_down(tmp_path / "shelf", wanted, fetch) == bundle
    assert fetch.calls == 2
    assert folder_digest(bundle / FILES) == wanted.digest
    assert not list((tmp_path / "shelf").glob(f"{DRAFT}*"))


def test_what_was_left_half_done_is_removed_and_a_failure_leaves_nothing(tmp_path: Path) -> None:
    shelf, wanted = tmp_path / "shelf", version_of(tmp_path / "source", "1")
    (shelf / f"{DRAFT}abandoned").mkdir(parents=True)

    def fails(target: Path) -> Path:
        (target / "half").write_text("")
        raise ContractMismatch("damaged")

    with pytest.raises(ContractMismatch):
        laid_down(shelf, wanted, fails)
    assert [each.name for each in shelf.iterdir()] == ["changing"]
    assert newest(shelf) is None


def test_old_bundles_go_but_none_that_serves(lay: Callable[[str], Path]) -> None:
    serves = lay("0")
    with in_use(serves):
        os.utime(serves, (0, 0))
        bundles = [lay(str(number)) for number in range(1, 6)]
        assert serves.exists()
        assert [bundle.exists() for bundle in bundles] == [False] * (5 - KEPT) + [True] * KEPT
        assert newest(serves.parent) == bundles[-1]
    lay("6")
    assert not serves.exists()


def test_nobody_else_may_enter_the_folder_of_the_bundles(tmp_path: Path) -> None:
    wanted, shelf = version_of(tmp_path / "source", "1"), tmp_path / "shelf"
    shelf.mkdir()
    for mode in (0o777, 0o775, 0o750):
        shelf.chmod(mode)
        bundle = laid_down(shelf, wanted, Fetch("1"))
        assert shelf.stat().st_mode & 0o777 == 0o700
        shelf.chmod(mode)
        with pytest.raises(PermanentError, match="others may enter"):
            load_prepared(bundle)


def test_somebody_elses_folder_is_refused(tmp_path: Path) -> None:
    theirs = Path("/")
    if os.geteuid() == 0:
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        os.chown(theirs, 1, 1)
    fetch = Fetch("1")
    with pytest.raises(PermanentError, match="belongs to user"):
        laid_down(theirs, version_of(tmp_path / "source", "1"), fetch)
    assert fetch.calls == 0
