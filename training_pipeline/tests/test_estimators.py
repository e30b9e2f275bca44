from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from training_pipeline.estimators import PRESETS, build_estimator, libraries_of, stated_tolerance
from training_pipeline.fitted_estimator import fit, load_estimator, save_estimator
from training_pipeline.params import ModelChoice
from training_pipeline.prepared_rows import PreparedRows
from twinserve.contract import Tolerance
from twinserve.errors import BadInput, PermanentError


def built(path: str, *, classifies: bool = True, **params: Any) -> Any:
    return build_estimator(ModelChoice(estimator=path, params=params), classifies=classifies, seed=3)


def rows(count: int = 600) -> PreparedRows:
    features = np.random.default_rng(1).normal(size=(count, 3))
    target = (features[:, 0] + np.random.default_rng(2).normal(size=count) > 0).astype(int)
    return PreparedRows(["a", "b", "c"], features, target, np.arange(count))


def test_parameters_and_seed_reach_the_preset() -> None:
    assert built("gradient_boosting", max_iter=7).get_params()["max_iter"] == 7
    assert built("gradient_boosting").random_state == 3
    assert built("gradient_boosting", random_state=9).random_state == 9
    assert built("elastic_net", C=0.5).steps[-1][1].C == 0.5
    assert built("elastic_net", classifies=False, alpha=2.0).steps[-1][1].alpha == 2.0


def test_any_class_by_its_path() -> None:
    forest = built("sklearn.ensemble.RandomForestClassifier", n_estimators=4)

    assert (forest.n_estimators, forest.random_state) == (4, 3)


@pytest.mark.parametrize(
    ("path", "params", "says"),
    [
        ("gradient_bosting", {}, "no class 'gradient_bosting'"),
        ("sklearn.ensemble.NoSuchForest", {}, "no class"),
        ("gradient_boosting", {"depth": 3}, "Invalid parameter 'depth'"),
        ("sklearn.ensemble.RandomForestClassifier", {"depth": 3}, "unexpected keyword argument 'depth'"),
        ("collections.OrderedDict", {}, "no scikit-learn estimator"),
    ],
)
def test_what_cannot_be_built_is_refused(path: str, params: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        built(path, **params)


def test_the_elastic_net_mixes_both_penalties() -> None:
    """With a strong penalty, l1 drops the features that say nothing; l2 alone would keep them."""
    fitted = fit(built("elastic_net", C=0.01), rows())

    weights = fitted.steps[-1][1].coef_[0]
    assert weights[0] != 0
    assert (weights[1:] == 0).all()


@pytest.mark.parametrize("preset", sorted(PRESETS))
@pytest.mark.parametrize("size", [1, 7, 50])
def test_scores_do_not_depend_on_the_batch_beyond_the_stated_tolerance(preset: str, size: int) -> None:
    data = rows()
    fitted = fit(built(preset), data)
    tolerance = stated_tolerance(ModelChoice(estimator=preset), None)

    asked = data.features[:60]
    whole = fitted.predict_proba(data.features)[:60, 1]
    parts = [fitted.predict_proba(part)[:, 1] for part in np.split(asked, range(size, 60, size))]

    assert all(tolerance.allows(one, other) for one, other in zip(whole, np.concatenate(parts), strict=True))


def test_trees_give_the_same_bits_whatever_the_batch() -> None:
    data = rows()
    fitted = fit(built("gradient_boosting"), data)

    alone = [fitted.predict_proba(row[None, :])[0, 1] for row in data.features[:50]]

    assert alone == fitted.predict_proba(data.features)[:50, 1].tolist()


def test_a_stated_tolerance_wins() -> None:
    stated = Tolerance(absolute=0.5, relative=0, why="rounded")

    assert stated_tolerance(ModelChoice(), stated) is stated
    assert "not known" in stated_tolerance(ModelChoice(estimator="a.B"), None).why


def test_the_library_of_a_foreign_class_is_named() -> None:
    assert "pandas" in libraries_of(ModelChoice(estimator="pandas.core.Anything"))
    assert libraries_of(ModelChoice(estimator="sklearn.svm.SVC")).count("scikit-learn") == 1


def test_nan_that_the_estimator_cannot_take_is_refused() -> None:
    data = rows()
    data.features[0, 0] = np.nan

    with pytest.raises(PermanentError, match=r"Pipeline can't be fitted: .*NaN"):
        fit(built("elastic_net"), data)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_a_stored_estimator_scores_as_before(tmp_path: Path, preset: str) -> None:
    data = rows()
    fitted = fit(built(preset), data)

    save_estimator(tmp_path / "it.skops", fitted)

    stored = load_estimator(tmp_path / "it.skops")
    np.testing.assert_array_equal(stored.predict_proba(data.features), fitted.predict_proba(data.features))


def test_warnings_reach_the_log(caplog: pytest.LogCaptureFixture) -> None:
    fit(built("elastic_net", max_iter=1), rows())

    assert "max_iter was reached" in caplog.text


def test_same_data_same_model(tmp_path: Path) -> None:
    scores: Callable[[], Any] = lambda: fit(built("gradient_boosting"), rows()).predict_proba(rows().features)  # noqa: E731

    np.testing.assert_array_equal(scores(), scores())
