"""The script of the Airflow image that installs a release's DAGs, on folders in the form of the image's."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from platform_under_test import ROOT
from script_module import script

scripts = script("deployment/airflow/server/install_dags.py")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An image's folder with our plug-ins, and a volume in which no DAG is installed yet."""
    shutil.copytree(ROOT / "deployment" / "airflow" / "plugins", tmp_path / "plugins")
    (tmp_path / "dags").mkdir()
    release(tmp_path, "1", "first.py")
    shutil.copyfile(ROOT / "deployment" / "airflow" / "uv.lock", tmp_path / "release" / "uv.lock")
    return tmp_path


def release(home: Path, tag: str, *files: str) -> None:
    """The DAGs that came with the image."""
    folder = home / "release" / "dags" / "data_pipeline"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text(tag)
    (folder / "RELEASE").write_text(f"{tag}\n")


def installed(home: Path) -> dict[str, str]:
    """The files of the pipeline's DAG folder."""
    folder = home / "dags" / "data_pipeline"
    return {file.name: file.read_text().strip() for file in folder.iterdir()} if folder.exists() else {}


def test_dags_go_in_with_their_release_and_those_of_another_go(home: Path) -> None:
    scripts.note_airflow(home)
    scripts.main([], home)
    assert installed(home) == {"first.py": "1", "RELEASE": "1"}
    release(home, "2", "second.py")
    scripts.main(["data_pipeline"], home)
    assert installed(home) == {"second.py": "2", "RELEASE": "2"}


def change_plugin(home: Path) -> None:
    file = home / "plugins" / "pipeline_task.py"
    file.write_text(file.read_text() + "\n")


def add_plugin(home: Path) -> None:
    (home / "plugins" / "added.py").touch()


def rename_plugin(home: Path) -> None:
    (home / "plugins" / "output_lines.py").rename(home / "plugins" / "lines.py")


def change_lock(home: Path) -> None:
    (home / "release" / "uv.lock").write_text("")


def forget(home: Path) -> None:
    (home / "dags" / "AIRFLOW").unlink()


@pytest.mark.parametrize("change", [change_plugin, add_plugin, rename_plugin, change_lock, forget])
def test_dags_for_another_airflow_than_runs_are_refused_until_it_is_started(
    home: Path, change: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    scripts.note_airflow(home)
    scripts.main([], home)
    scripts.main(["--check"], home)
    assert "changes" not in capsys.readouterr().out
    release(home, "2", "second.py")
    change(home)
    scripts.main(["--check"], home)
    assert capsys.readouterr().out == "this release changes Airflow itself: make up\n"
    with pytest.raises(SystemExit, match=r"^this release changes Airflow itself: make up$"):
        scripts.main([], home)
    assert installed(home) == {"first.py": "1", "RELEASE": "1"}
    scripts.note_airflow(home)
    scripts.main([], home)
    assert installed(home) == {"second.py": "2", "RELEASE": "2"}


def test_byte_code_beside_the_plugins_changes_nothing(home: Path) -> None:
    before = scripts.digest(home)
    (home / "plugins" / "__pycache__").mkdir(exist_ok=True)
    (home / "plugins" / "__pycache__" / "a.pyc").touch()
    assert scripts.digest(home) == before
