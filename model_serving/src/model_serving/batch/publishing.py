"""From finished files to a finished run: whoever finishes the last file publishes all of them in one step."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from model_serving.batch.output import EARLIER_NAME, Facts, Finished, Source
from model_serving.batch.run import BatchRun
from model_serving.batch.shards import shard_name
from twinserve.errors import BadInput
from twinserve.files.atomic import move_folder
from twinserve.files.locks import one_at_a_time


def finished_of(run: BatchRun) -> Finished | None:
    """The run's finished output, None if there is none yet.

    Raises:
        BadInput: it is of another model or other definitions than this step was called with; or something else lies
            there.
    """
    finished = Finished.read(run.output)
    if finished:
        run.refuse_other_key(finished.run_key)
        run.refuse_others(finished.model_name, finished.feature_service, finished.definitions)
    return finished


def done(run: BatchRun, source: Source) -> Facts | None:
    """The facts of a shard that is done, in a run that is not; one made from something else is not that shard."""
    with suppress(BadInput):  # what is damaged is made again
        found = Facts.read(run.unfinished / shard_name(source.shard))
        # one that an earlier release has left lacks a column
        return found if found and found.made_from(source) and found.passed_as_nan is not None else None
    return None


def publish(run: BatchRun, sources: Sequence[Source]) -> Finished | None:
    """Make the output appear if all its files are done; None while they are not. Calling it again does no harm.

    Args:
        sources: of each file, in order.

    Raises:
        BadInput: something else lies in the output's place.
        TransientError: the disk is full.
    """
    with one_at_a_time(run.lock("publish")):
        if finished := Finished.read(run.output):
            shutil.rmtree(run.unfinished, ignore_errors=True)  # of somebody who was slower
            return finished
        if not all(done(run, source) for source in sources):
            return None
        _remove_others(run.unfinished, {shard_name(source.shard) for source in sources})
        _clear(run.output)
        move_folder(run.unfinished, run.output)
        return Finished.read(run.output)


def _remove_others(folder: Path, names: set[str]) -> None:
    """Files of an earlier try with more shards, and drafts that a kill has left: every writer is done."""
    for file in folder.iterdir():
        if file.name not in names:
            file.unlink()


def _clear(folder: Path) -> None:
    """Make way where an earlier release was killed: it left a folder, maybe with a draft in it."""
    for draft in folder.glob(f".{EARLIER_NAME}.*.tmp"):
        draft.unlink()
