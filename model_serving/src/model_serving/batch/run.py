"""What the three steps of one batch run hand each other, and where its output lies.

<home>/runs/batch_serving/<run key>/run.json           the model version that the run is pinned to, its contract
<home>/runs/batch_serving/<run key>/extraction.json    which input was joined; there while the files below are whole
<home>/runs/batch_serving/<run key>/features/part-…    keys, times and features of the input, row by row
<home>/runs/batch_serving/<run key>/further/part-…     the other columns of the input, if it has any, row by row
<home>/predictions/<run key>/part-…                    the output
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from model_serving.batch.shards import shard_name
from twinserve.contract import Contract
from twinserve.errors import BadInput, StepMissing
from twinserve.features.feast_repo.registry_state import joined_definitions
from twinserve.files.atomic import write_atomically
from twinserve.files.locks import alone
from twinserve.settings import Settings, safe_name
from twinserve.steps.same_arguments import refuse_others

TIMESTAMP = "event_timestamp"


class _Note(BaseModel):
    """A small JSON file; a damaged one counts as missing, since the step that writes it can be run again."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: Literal[1] = 1
    run_key: str

    def write(self, path: Path) -> None:
        """Replace the file in one step."""
        write_atomically(path, self.model_dump_json(indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The file's content, None if it is not there."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None


class Pin(_Note):
    """The version that every step of the run uses, however the alias moves meanwhile.

    Attributes:
        definitions: digest of what the join goes by; None where it could not be told, or an earlier release noted none.
    """

    model_name: str
    model_version: str
    contract: Contract
    definitions: str | None = None


class Extraction(_Note):
    """One input file, typed, and joined with its features, in files of `shard_rows` rows.

    Attributes:
        identity: of this one extraction; its files bear it too, so that nobody takes those of another for them.
        columns: of the input, in its order.
        definitions: as in `Pin`, of the join.
    """

    identity: str
    input: str
    input_digest: str
    model_version: str
    rows: int
    notes: tuple[str, ...]
    columns: tuple[str, ...]
    shard_rows: int
    shards: int
    definitions: str | None = None

    def rows_of(self, shard: int) -> int:
        """How many rows one shard has."""
        return min(self.shard_rows, self.rows - shard * self.shard_rows)


_AnyNote = TypeVar("_AnyNote", bound=_Note)


@dataclass(frozen=True)
class BatchRun:
    """Paths and notes of one run key.

    Attributes:
        folder: scratch; may be removed once the run is finished.
        output: the folder of the finished files. There, or not: nothing else says whether the run is done.
        settings: those that this step was called with.
    """

    key: str
    folder: Path
    output: Path
    settings: Settings

    @classmethod
    def of(cls, settings: Settings, key: str) -> BatchRun:
        """The run of this key.

        Raises:
            BadInput: the key can't name a folder.
        """
        output = settings.home / "predictions" / safe_name(key)
        return cls(key, settings.scratch("batch_serving", key), output, settings)

    def pin(self) -> Pin | None:
        """The pinned version, if there is one yet.

        Raises:
            BadInput: the run is of another model.
        """
        found = self._own(Pin.read(self.folder / "run.json"))
        if found:
            self.refuse_others(found.model_name, "")
        return found

    def needed_pin(self) -> Pin:
        """The pinned version.

        Raises:
            StepMissing: none is pinned.
        """
        if found := self.pin():
            return found
        raise StepMissing(
            f"run {self.key!r} has no pinned model version",
            fix=f"Run `model-serving batch feature-store-init --run-key {self.key}` first",
        )

    def needed_extraction(self) -> Extraction:
        """The joined input.

        Raises:
            StepMissing: there is none, or it was made for another model version.
        """
        pin, found = self.pin(), self._own(Extraction.read(self.folder / "extraction.json"))
        if found and found.model_version == (pin or self.needed_pin()).model_version:
            return found
        raise StepMissing(
            f"run {self.key!r} has no extracted features",
            fix=f"Run `model-serving batch data-extraction --run-key {self.key}` first",
        )

    def write_pin(self, model_name: str, model_version: str, contract: Contract) -> None:
        """Pin the run to a version, and to the definitions as they are now."""
        pin = Pin(
            run_key=self.key,
            model_name=model_name,
            model_version=model_version,
            contract=contract,
            definitions=self.definitions(contract.feature_service),
        )
        pin.write(self.folder / "run.json")

    def definitions(self, service: str) -> str | None:
        """Digest of what the join of a feature service goes by now."""
        return joined_definitions(self.settings, service)

    def refuse_others(
        self, model_name: str, service: str | None, definitions: str | None = None, fix: str = "Take another run key"
    ) -> None:
        """A run is of one model and one state of the definitions.

        Args:
            model_name, service, definitions: what the run was begun with; `definitions` as in `Pin`.

        Raises:
            BadInput: this step was called with others; names them.
        """
        now = self.definitions(service) if service and definitions else None
        refuse_others(
            f"run {self.key!r}",
            {"TWINSERVE_MODEL_NAME": model_name, f"state of the definitions of {service}": definitions},
            {"TWINSERVE_MODEL_NAME": self.settings.model_name, f"state of the definitions of {service}": now},
            fix,
        )

    @property
    def asked(self) -> Path:
        """Keys and times of the input, until they are joined."""
        return self.folder / "asked.parquet"

    @property
    def features(self) -> Path:
        """Keys, times and features of the input, row by row."""
        return self.folder / "features"

    @property
    def further(self) -> Path:
        """The input's other columns, row by row; not there if it has none."""
        return self.folder / "further"

    @property
    def unfinished(self) -> Path:
        """Output files that are done, until all are; beside the output, so that a rename is enough."""
        return self.output.with_name(f".{self.output.name}.unfinished")

    def lock(self, name: str) -> Path:
        """A file that processes which work on this run lock."""
        return self.folder / "locks" / name

    def alone(self, step: str) -> AbstractContextManager[None]:
        """A block in which no other step of this run is at work.

        Raises:
            TransientError: one is; names it.
        """
        return alone(self.lock("run"), f"{step} of run {self.key!r}")

    @contextmanager
    def alone_with(self, shard: int) -> Iterator[None]:
        """A block in which nobody else works on this shard; others may work on others.

        Raises:
            TransientError: somebody does, or a step that needs the whole run is at work; names it.
        """
        doing = f"batch-prediction of shard {shard} of run {self.key!r}"
        with alone(self.lock("run"), doing, shared=True), alone(self.lock(shard_name(shard)), doing):
            yield

    def forget_extraction(self) -> None:
        """Remove the extracted rows; the note first, so that nobody takes a part of them for the whole."""
        (self.folder / "extraction.json").unlink(missing_ok=True)
        self.asked.unlink(missing_ok=True)
        for folder in (self.features, self.further):
            shutil.rmtree(folder, ignore_errors=True)

    def _own(self, note: _AnyNote | None) -> _AnyNote | None:
        if note:
            self.refuse_other_key(note.run_key)
        return note

    def refuse_other_key(self, other: str) -> None:
        """Two keys may give one folder name; the files in it belong to the first.

        Raises:
            BadInput: `other` is not this run's key.
        """
        if other != self.key:
            raise BadInput(
                f"run key {self.key!r} names the same folder as the earlier {other!r}", fix="Take another run key"
            )


def digest_as_of(digest: str, moment: datetime) -> str:
    """The digest of a file whose rows take their time from `moment`: at another one they ask for other features."""
    return hashlib.sha256(f"{digest} as of {moment.astimezone(UTC).isoformat()}".encode()).hexdigest()


def file_digest(path: Path) -> str:
    """sha256 of the file's bytes.

    Raises:
        BadInput: it is not there or can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(
            f"{path} can't be read: {error.strerror}", fix="Check --input; it is seen from where the command runs"
        ) from None
