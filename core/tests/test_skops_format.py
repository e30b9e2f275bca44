"""skops with types asked for one by one trusts what skops trusts, and nothing else."""

from __future__ import annotations

import subprocess
import sys

SAME = """
import inspect, sys
from twinserve.model.skops_format import _whole_list, import_skops, is_estimator
skops_io = import_skops()
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
model = make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=2))
model.fit([[0.0], [1.0]] * 30, [0, 1] * 30)
untrusted = skops_io.get_untrusted_types(data=skops_io.dumps(model))
assert untrusted == ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"], untrusted
assert not _whole_list.cache_info().currsize, "looked through all of scikit-learn"

listed = _whole_list()
import skops.io._trusted_types as theirs
del sys.modules["skops.io._trusted_types"]
import skops.io._trusted_types as theirs
assert set(theirs.SKLEARN_ESTIMATOR_TYPE_NAMES) == {name for name in listed if name.startswith("sklearn.")}
classes = {
    (found.__module__, found.__name__)
    for module in [module for name, module in sys.modules.items() if name.startswith("sklearn") and module]
    for found in vars(module).values() if isinstance(found, type)
} | {tuple(name.rsplit(".", 1)) for name in listed}
assert len(classes) > 800, len(classes)
differ = [(module, name) for module, name in classes
          if is_estimator(module, name) != (f"{module}.{name}" in theirs.SKLEARN_ESTIMATOR_TYPE_NAMES)]
assert not differ, differ
for module, name in [("sklearn.base", "BaseEstimator"), ("sklearn.nowhere", "LogisticRegression"), ("os", "system"),
                     ("sklearn.linear_model", "LogisticRegression"), ("sklearn.linear_model", "logging")]:
    assert not is_estimator(module, name), (module, name)
"""
REFUSED = """
from twinserve.model.skops_format import import_skops
skops_io = import_skops()
from sklearn.base import BaseEstimator
class Mine(BaseEstimator): pass
try:
    skops_io.loads(skops_io.dumps(Mine()))
except Exception as error:
    assert "__main__.Mine" in str(error) and type(error).__name__ == "UntrustedTypesFoundException", repr(error)
else:
    raise SystemExit("loaded")
"""


def test_the_same_types_are_trusted() -> None:
    subprocess.run([sys.executable, "-c", SAME], check=True)


def test_a_type_of_nobodys_is_refused() -> None:
    subprocess.run([sys.executable, "-c", REFUSED], check=True)


def test_what_is_experimental_is_trusted_nowhere() -> None:
    """Whether or not somebody has asked for it: what one process notes of a model holds for the others."""
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    from twinserve.model.skops_format import is_estimator

    assert not is_estimator(IterativeImputer.__module__, IterativeImputer.__name__)
