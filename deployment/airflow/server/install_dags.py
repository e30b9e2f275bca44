"""Put the DAGs that came with this image where Airflow reads them: `install_dags.py [pipeline …]`, default: all.

Each file is replaced in one step, and a pipeline's `RELEASE` (the tag of the image that its tasks run in) last: while
Airflow reads, it finds an old or a new file, never half of one. DAG files that the release does not have are removed.

DAGs import the plug-ins of the Airflow that runs. Beside them stands `AIRFLOW`, a digest of these, noted when the
platform is started; DAGs of an image with others are refused. `install_dags.py --check` prints what would be said
then, or nothing.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

HOME = Path("/opt/airflow")
RELEASE_FILE, AIRFLOW_FILE = "RELEASE", "AIRFLOW"
CHANGED = "this release changes Airflow itself: make up"


def main(arguments: list[str], home: Path = HOME) -> None:
    """Install the named pipelines, or look whether that may be done."""
    if arguments == ["--check"]:
        sys.stdout.write("" if is_running(home) else f"{CHANGED}\n")
        return
    if not is_running(home):
        sys.exit(CHANGED)
    release = home / "release" / "dags"
    for name in arguments or sorted(folder.name for folder in release.iterdir()):
        install(release / name, home / "dags" / name)
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


def note_airflow(home: Path = HOME) -> None:
    """Note that the Airflow of this image is the one that runs."""
    draft = home / "dags" / f".{AIRFLOW_FILE}.draft"
    draft.write_text(digest(home))
    draft.replace(home / "dags" / AIRFLOW_FILE)


def is_running(home: Path) -> bool:
    """Whether what DAGs find in this image is what they find in the Airflow that runs."""
    noted = home / "dags" / AIRFLOW_FILE
    return noted.exists() and noted.read_text() == digest(home)


def digest(home: Path) -> str:
    """Of the plug-ins, and of the lock file of what is installed beside them; file names count too."""
    whole = hashlib.sha256()
    for file in [*sorted((home / "plugins").rglob("*.py")), home / "release" / "uv.lock"]:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        whole.update(f"{file.relative_to(home)} {content}\n".encode())
    return whole.hexdigest()


if __name__ == "__main__":
    main(sys.argv[1:])
