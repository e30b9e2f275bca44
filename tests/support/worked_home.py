"""A home that commands work on, its Redis, and what both hold: to be saved, set back, and compared."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from disk_acts import ALL
from home_outcome import outcome_of
from killable_steps import KILLED, Ended, Said, Steps
from pipeline_steps import SCRIPTS, Step, write_params
from platform_under_test import ROOT

Outcome = dict[str, Any]


@dataclass
class WorkedHome:
    """Commands, and the place that they work on.

    Attributes:
        seen: the home as this process sees it; the commands may be in a name space of their own.
    """

    folder: Path
    client: redis.Redis
    steps: Steps
    seen: Path
    _keys: dict[bytes, bytes] = field(default_factory=dict)

    @classmethod
    def at(
        cls, folder: Path, client: redis.Redis, url: str, scripts: Sequence[str] = SCRIPTS, **more: Any
    ) -> WorkedHome:
        """A new one in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        home = folder / "disk" / "home"
        steps = Steps(folder / "steps", scripts, **more, **environment(folder, home, url))
        client.flushall()
        return cls(folder, client, steps, home)

    def run(self, step: Step, key: str = "") -> Outcome:
        """To its end; the closing line.

        Raises:
            Ended: it failed.
        """
        said = self.ended(step, key)
        if said.code:
            raise Ended(f"{step.name} → {said.code}\n{said.text[-3000:]}")
        return said.result

    def ended(self, step: Step, key: str = "", kinds: Sequence[str] = (), kill_at: int | None = None) -> Said:
        """To its end, or its kill."""
        self.steps.begin(step.script, *step.words(key), kinds=kinds, kill_at=kill_at)
        return self.steps.end()

    def prepare(self, step: Step) -> None:
        """What happens before it."""
        if step.before:
            step.before(self._brought())
            shutil.copytree(self._near / "source", self.seen / "source", dirs_exist_ok=True)

    def counted(self, step: Step) -> tuple[Outcome, list[str]]:
        """Its result and the acts that it came to."""
        said = self.ended(step, kinds=ALL)
        if said.code:
            raise Ended(f"{step.name} → {said.code}\n{said.text[-3000:]}")
        return said.result, self.steps.acts()

    def killed(self, step: Step, at: int) -> bool:
        """Killed before an act; False if it came to an end first."""
        said = self.ended(step, kinds=ALL, kill_at=at)
        if said.code not in (0, KILLED):
            raise Ended(f"{step.name} → {said.code}\n{said.text[-3000:]}")
        return said.code == KILLED

    def save(self) -> None:
        """Keep the state as it is now."""
        shutil.rmtree(self._saved, ignore_errors=True)
        if self.seen.exists():
            shutil.copytree(self.seen, self._saved, symlinks=True)
        self._keys = {key: self.client.dump(key) for key in self.client.scan_iter(count=10_000)}  # type: ignore[misc]

    def set_back(self) -> None:
        """To what was kept."""
        shutil.rmtree(self.seen, ignore_errors=True)
        if self._saved.exists():
            shutil.copytree(self._saved, self.seen, symlinks=True)
        self.client.flushall()
        for key, content in self._keys.items():
            self.client.restore(key, 0, content)

    def outcome(self) -> Outcome:
        """All that counts of the home and of Redis, in a form that two of the same outcome share."""
        return outcome_of(self._brought(), self.client)

    def _brought(self) -> Path:
        """A copy: SQLite opens nothing below the root of another name space."""
        shutil.rmtree(self._near, ignore_errors=True)
        if self.seen.exists():
            shutil.copytree(self.seen, self._near, symlinks=True)
        return self._near

    @property
    def _near(self) -> Path:
        return self.folder / "near"

    @property
    def _saved(self) -> Path:
        return self.folder / "saved"

    def close(self) -> None:
        """End the server of forks."""
        self.steps.close()


def environment(folder: Path, home: Path, redis_url: str) -> dict[str, str]:
    """The settings of a small home."""
    return {
        "TWINSERVE_HOME": str(home),
        "TWINSERVE_FEATURE_REPO": str(ROOT / "data_pipeline" / "feature_repo"),
        "TWINSERVE_TRAINING_PARAMS": str(write_params(folder / "params.yaml")),
        "TWINSERVE_REDIS_URL": redis_url,
        "TWINSERVE_BATCH_SHARD_ROWS": "60",
    }
