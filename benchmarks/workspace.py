"""Where the benchmarks keep things, and how they start a process.

<home>/benchmarks/data/       inputs, made once from a seed
<home>/benchmarks/worlds/     a trained champion, made once for each state of the code
<home>/benchmarks/scratch/    what runs use; empty when nothing runs
<home>/benchmarks/bytecode/   Python's, of whatever was imported
<home>/benchmarks/results/    what was measured: JSON, plots
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.job import Job
from benchmarks.process import Run, run_module
from twinserve.errors import TransientError
from twinserve.settings import PREFIX, Settings, child_environment

CHORE_SECONDS = 3_600.0
GIB = 1 << 30


@dataclass(frozen=True)
class Workspace:
    """A folder, and the environment of the processes that work in it.

    Attributes:
        limit_seconds: how long a contestant may take; a longer run is stopped and counts as not run.
    """

    folder: Path
    environment: Mapping[str, str]
    limit_seconds: float = 900.0

    @property
    def data(self) -> Path:
        """Inputs that stay."""
        return self.folder / "data"

    @property
    def worlds(self) -> Path:
        """Homes with a champion."""
        return self.folder / "worlds"

    @property
    def results(self) -> Path:
        """What was measured."""
        return self.folder / "results"

    @property
    def scratch(self) -> Path:
        """Gone when the benchmarks end, well or not."""
        return self.folder / "scratch"

    @property
    def failed_log(self) -> Path:
        """What the last process that failed has written."""
        return self.folder / "failed.log"

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """An empty scratch folder inside the block, none after it."""
        shutil.rmtree(self.scratch, ignore_errors=True)  # of one that was killed
        self.failed_log.unlink(missing_ok=True)
        self.scratch.mkdir(parents=True)
        try:
            yield
        finally:
            shutil.rmtree(self.scratch, ignore_errors=True)

    @contextmanager
    def run_folder(self) -> Iterator[Path]:
        """An empty folder for one run."""
        folder = self.scratch / f"run-{time.monotonic_ns()}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def contest(self, module: str, job: Job, more: Mapping[str, str]) -> Run:
        """Run a contestant; its temporary files, and its home, if any, lie in the job's folder and are counted."""
        temporary = job.folder / "tmp"
        temporary.mkdir()
        own = {"TMPDIR": str(temporary), f"{PREFIX}HOME": str(job.folder / "home")}
        environment = {**self.environment, **own, **more}
        return run_module(module, job, environment, self.limit_seconds, self.failed_log)

    def fixture(self, module: str, job: Job, more: Mapping[str, str] | None = None) -> Run:
        """Run a module of `benchmarks.fixtures`: data, references, comparisons."""
        environment = {**self.environment, **(more or {})}
        return run_module(f"benchmarks.fixtures.{module}", job, environment, CHORE_SECONDS, self.failed_log)

    def need(self, size: float, what: str) -> None:
        """Refuse before the case what would fail in it.

        Raises:
            TransientError: the disk has not so many bytes free.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.folder).free
        if free < size:
            raise TransientError(
                f"{what} needs {size / GIB:.1f} GiB of disk, {free / GIB:.1f} GiB are free", fix="Make room"
            )


def open_workspace(settings: Settings) -> Workspace:
    """Our folder; processes with our settings only, whatever servers the user's own settings name."""
    folder = settings.home / "benchmarks"
    outer = child_environment(settings)
    own = {name: value for name, value in outer.items() if not name.startswith(PREFIX)}
    # a contestant's second start is like that of an installed program, and the checkout stays as it is
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    own["PYTHONPYCACHEPREFIX"] = str(folder / "bytecode")
    return Workspace(folder, {**own, f"{PREFIX}HOME": str(folder / "scratch" / "home")})
