"""A model version laid down on this machine, so that a process can serve it without MLflow.

`TWINSERVE_HOME/serving/<model>/<version>-<digest>/` holds

    files/          the version as it was registered
    bundle.json     which version that is, and the digest of `files`
    features.json   what its features were last found to fit; see `twinserve.features.feast_repo.registry_state`
    in-use          locked (shared) by those who serve it

The folder of the model is ours alone: what a bundle is held against lies beside it. A bundle appears whole or not at
all. Those that nobody uses go, but for the newest few.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from twinserve.errors import ContractMismatch
from twinserve.files.atomic import move_folder, sync_tree, write_atomically
from twinserve.files.locks import one_at_a_time
from twinserve.files.private_folder import make_private, refuse_shared
from twinserve.model.model_files import folder_digest, refuse_damaged
from twinserve.model.served_model import ServedModel, load_served
from twinserve.settings import Settings

KEPT = 3  # with the one in use: enough to go back to an earlier version without a download
DIGITS = 16  # of the digest, in the folder's name
DRAFT = ".draft-"
FILES, NOTE, IN_USE = "files", "bundle.json", "in-use"
Fetch = Callable[[Path], Path]


@dataclass(frozen=True)
class BundleNote:
    """Which version a bundle holds, and the digest of its files."""

    name: str
    version: str
    digest: str


def shelf(settings: Settings) -> Path:
    """Where the bundles of the settings' model are."""
    return settings.home / "serving" / settings.model_name


def laid_down(folder: Path, wanted: BundleNote, fetch: Fetch) -> Path:
    """The bundle of a version: the one that is there, or a new one if there is none, or a damaged one.

    Args:
        folder: of the model's bundles.
        fetch: brings the version's files into the empty folder that it is given, checks their digest, and gives the
            folder in which they are.

    Raises:
        TransientError: the disk is full.
        PermanentError: the folder is somebody else's.
    """
    make_private(folder)  # before what is there is looked at
    bundle = folder / f"{wanted.version}-{wanted.digest[:DIGITS]}"
    with one_at_a_time(folder / "changing"):
        if not _is_intact(bundle, wanted):
            _replace(bundle, wanted, fetch)
        os.utime(bundle)  # it is the newest now
        _remove_old(folder)
    return bundle


def newest(folder: Path) -> Path | None:
    """The bundle that was used last."""
    return max(_bundles(folder), key=_age, default=None)


def read_note(bundle: Path) -> BundleNote:
    """Which version this is.

    Raises:
        ContractMismatch: that can't be read.
    """
    try:
        return BundleNote(**json.loads((bundle / NOTE).read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(bundle, str(error)) from error


def load_prepared(bundle: Path, scorer: str = "auto") -> ServedModel:
    """The version in a bundle, for requests, checked as ever. No MLflow; no estimator unless it scores.

    Args:
        scorer: `auto`, or `original` for the original whatever the contract names.

    Raises:
        ContractMismatch: it is damaged, or does not reproduce the golden rows.
        PermanentError: others could have written it.
    """
    refuse_shared(bundle.parent)
    note = read_note(bundle)
    refuse_damaged(f"{note.name} version {note.version} in {bundle}", bundle / FILES, note.digest)
    return load_served(note.name, note.version, bundle / FILES, scorer, with_original=False, few=True)


@contextmanager
def in_use(bundle: Path) -> Iterator[None]:
    """A block in which nobody removes the bundle."""
    with (bundle / IN_USE).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def _is_intact(bundle: Path, wanted: BundleNote) -> bool:
    try:
        return read_note(bundle) == wanted and folder_digest(bundle / FILES) == wanted.digest
    except (ContractMismatch, OSError):
        return False


def _replace(bundle: Path, wanted: BundleNote, fetch: Fetch) -> None:
    for abandoned in bundle.parent.glob(f"{DRAFT}*"):  # nobody else is in here
        shutil.rmtree(abandoned, ignore_errors=True)
    draft = bundle.with_name(DRAFT + secrets.token_hex(6))
    download = draft / "download"
    try:
        download.mkdir(parents=True)
        fetch(download).rename(draft / FILES)
        shutil.rmtree(download, ignore_errors=True)
        write_atomically(draft / NOTE, json.dumps(asdict(wanted)) + "\n")
        sync_tree(draft)
        if bundle.exists():
            bundle.rename(bundle.with_name(DRAFT + secrets.token_hex(6)))
        move_folder(draft, bundle)
    finally:
        for left in bundle.parent.glob(f"{DRAFT}*"):
            shutil.rmtree(left, ignore_errors=True)


def _remove_old(folder: Path) -> None:
    for bundle in sorted(_bundles(folder), key=_age, reverse=True)[KEPT:]:
        with suppress(FileNotFoundError, BlockingIOError), (bundle / IN_USE).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(bundle, ignore_errors=True)


def _bundles(folder: Path) -> list[Path]:
    return [each for each in folder.glob("[!.]*") if each.is_dir()]


def _age(bundle: Path) -> float:
    try:
        return bundle.stat().st_mtime
    except FileNotFoundError:  # removed meanwhile
        return 0.0


def _damaged(bundle: Path, why: str) -> ContractMismatch:
    return ContractMismatch(f"the bundle {bundle} is damaged: {why}", fix="Start the service again: it is laid anew")
