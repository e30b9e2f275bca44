"""Where the parts of the platform are in the checkout that this package is installed from."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from twinserve.errors import StepMissing


@dataclass(frozen=True)
class Checkout:
    """The folders of one checkout.

    Args:
        root: its top folder.
        venv: the virtual environment of the pipelines.
    """

    root: Path
    venv: Path

    @property
    def airflow(self) -> Path:
        """Airflow's command, in its own virtual environment."""
        return self.root / "deployment" / "airflow" / ".venv" / "bin" / "airflow"

    @property
    def plugins(self) -> Path:
        """Airflow's plug-ins."""
        return self.root / "deployment" / "airflow" / "plugins"

    @property
    def dag_folders(self) -> dict[str, Path]:
        """The folder of DAG files of each pipeline."""
        pipelines = ("data_pipeline", "training_pipeline", "model_serving")
        return {name: self.root / name / "dags" for name in pipelines}

    def command(self, name: str) -> str:
        """Path of a console script of the pipelines."""
        return str(self.venv / "bin" / name)


def find_checkout() -> Checkout:
    """The checkout around this very file.

    Raises:
        StepMissing: not installed from a checkout, or Airflow's environment isn't made.
    """
    found = Checkout(root=Path(__file__).resolve().parents[4], venv=Path(sys.prefix))
    if not found.plugins.is_dir():
        raise StepMissing(f"no Airflow plug-ins in {found.plugins}", fix="Install twinserve-local from a checkout")
    if not found.airflow.exists():
        raise StepMissing(f"no Airflow in {found.airflow.parents[1]}", fix="Run `make setup`")
    return found
