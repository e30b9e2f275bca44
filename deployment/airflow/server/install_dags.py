"""Put the DAGs that came with this image where Airflow reads them: `install_dags.py [pipeline …]`, default: all.

Each file is replaced in one step, and a pipeline's `RELEASE` (the tag of the image that its tasks run in) last: while
Airflow reads, it finds an old or a new file, never half of one. DAG files that the release does not have are removed.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

HOME = Path("/opt/airflow")
RELEASE_FILE = "RELEASE"


def main(pipelines: list[str]) -> None:
    """Install the named pipelines."""
    release = HOME / "release" / "dags"
    for name in pipelines or sorted(folder.name for folder in release.iterdir()):
        install(release / name, HOME / "dags" / name)
        sys.stdout.write(f"DAGs of {name}: release {(release / name / RELEASE_FILE).read_text().strip()}\n")


def install(source: Path, target: Path) -> None:
    """Make the DAG files of `target` those of `source`."""
    target.mkdir(exist_ok=True)
    files = sorted(source.glob("*.py"))
    for file in [*files, source / RELEASE_FILE]:
        draft = target / f".{file.name}.draft"
        shutil.copyfile(file, draft)
        draft.replace(target / file.name)
    for left in set(target.glob("*.py")) - {target / file.name for file in files}:
        left.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
