"""Remove everything that the system wrote."""

from __future__ import annotations

import shutil
from pathlib import Path

from twinserve.errors import BadInput
from twinserve.settings import Settings
from twinserve_local.airflow_server import only_one, stop_airflow
from twinserve_local.checkout import Checkout


def clean(settings: Settings, checkout: Checkout) -> bool:
    """Stop what was left running and delete TWINSERVE_HOME; gives whether there was one.

    Raises:
        BadInput: it is a folder that holds more than our data, or an Airflow is running in it.
    """
    home = settings.home.resolve()
    for precious in (checkout.root, checkout.venv, Path.home(), Path.cwd()):
        if precious.resolve().is_relative_to(home):
            raise BadInput(f"TWINSERVE_HOME is {home}, which holds {precious}", fix="Remove the data yourself")
    if not home.is_dir():
        return False
    with only_one(home / "airflow"):
        stop_airflow(home / "airflow")
    shutil.rmtree(home)
    return True
