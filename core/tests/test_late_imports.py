"""What libraries need not import for us is imported when something is asked of it, and is then the real one."""

from __future__ import annotations

import subprocess
import sys

import pytest

from twinserve.command.late_imports import PUT_OFF

BEGIN = "import sys\nfrom twinserve.command.late_imports import put_off_imports\nput_off_imports()\n"
LATE = BEGIN + "import {library}\nassert not {late!r} & set(sys.modules), {late!r} & set(sys.modules)\n"
REAL = (
    BEGIN
    + """
import importlib
from twinserve.command.late_imports import PUT_OFF, _Later, _StandIn
modules = {importing: importlib.import_module(importing) for importing in PUT_OFF}
for importing, later in PUT_OFF.items():
    module = modules[importing]
    assert module.__spec__.loader.get_source(importing) and module.__loader__ is module.__spec__.loader
    for name, objects in later.items():
        assert not isinstance(sys.modules.get(name), _StandIn), name
        real = importlib.import_module(name)
        for taken in objects:
            held = [value for value in vars(module).values() if type(value) is _Later and value._place == (name, taken)]
            assert held, (importing, taken, "is not put off, or not taken any more")
            assert held[0]._real() is getattr(real, taken), (importing, taken)
held = [(name, key, value) for name, module in list(sys.modules.items()) if module
        for key, value in list(vars(module).items()) if type(value) is _StandIn]
assert held, "no module has a stand-in: nothing was put off"
for name, key, stand_in in held:
    real = importlib.import_module(stand_in.__name__)
    for attribute in (public for public in dir(real) if not public.startswith("_")):
        assert getattr(stand_in, attribute) is getattr(real, attribute), (name, key, attribute)
"""
)
OBJECTS = (
    BEGIN
    + """
import numpy as np
from sklearn.covariance import MinCovDet
from sklearn.metrics import label_ranking_loss
from sklearn.isotonic import check_increasing
MinCovDet(random_state=0).fit(np.random.default_rng(0).normal(size=(40, 2)))
assert check_increasing([1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0])
label_ranking_loss([[1, 0, 0]], [[0.75, 0.5, 1]])
"""
)


BELOW = (
    BEGIN
    + """
import mlflow.store.tracking.sqlalchemy_store
assert "mlflow.genai.scorers" not in sys.modules
below = [name for name in sys.modules if name.startswith("mlflow.genai.scorers.") and name.count(".") == 3]
assert below, "no module below a stand-in was imported"
import mlflow.genai.scorers
for name in below:
    assert getattr(mlflow.genai.scorers, name.rpartition(".")[2]) is sys.modules[name], name
"""
)


def passes(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("library", "late"),
    [
        ("sklearn.ensemble, sklearn.linear_model, sklearn.inspection, sklearn.pipeline", {"pandas", "scipy.stats"}),
        ("feast", {"fastapi", "feast.feature_server", "feast.ui_server", "jwt", "requests"}),
        ("mlflow", {"mlflow.genai", "mlflow.gateway", "fastapi"}),
    ],
)
def test_they_are_left_out(library: str, late: set[str]) -> None:
    passes(LATE.format(library=library, late=late))


def test_what_was_put_off_is_the_real_one() -> None:
    assert PUT_OFF
    passes(REAL)


def test_objects_taken_by_name_do_their_work() -> None:
    passes(OBJECTS)


def test_what_was_imported_below_a_stand_in_belongs_to_the_real_package() -> None:
    passes(BELOW)
