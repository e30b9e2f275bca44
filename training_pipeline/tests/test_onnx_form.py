"""The ONNX form of real, fitted estimators: equal to the original, or not used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from training_pipeline.estimators import LINEAR, TREES, build_estimator
from training_pipeline.golden_row_choice import choose_golden
from training_pipeline.onnx_form.choice import choose_form, judged, refuse_unfaithful
from training_pipeline.onnx_form.conversion import Converted, convert
from training_pipeline.onnx_form.faithfulness import compare
from training_pipeline.onnx_form.hard_rows import hard_rows
from training_pipeline.onnx_form.refusals import scored_or_refused
from training_pipeline.onnx_form.trees import NotConvertible
from training_pipeline.params import ModelChoice
from twinserve.contract import Contract, FeatureColumn, JoinKey, Output, Score, Tolerance
from twinserve.model.onnx_scorer import load_onnx_score
from twinserve.registry import estimator_score

EXACT = Tolerance(absolute=0, relative=0, why="the same sums in the same order")
PROBABILITY = Output(method="predict_proba", target="t", meaning="m", positive_class=1)
VALUE = Output(method="predict", target="t", meaning="m")


def contract(output: Output, tolerance: Tolerance = EXACT, features: int = 3) -> Contract:
    columns = [
        FeatureColumn(view="v", name=f"f{number}", dtype="DOUBLE", ttl_seconds=None, join_keys=("k",))
        for number in range(features)
    ]
    keys = (JoinKey(name="k", dtype="INT64"),)
    return Contract(
        project="p", feature_service="s", join_keys=keys, features=tuple(columns), output=output, tolerance=tolerance,
        libraries={},
    )  # fmt: skip


def rows(count: int = 800, seed: int = 1, *, gaps: bool = True) -> np.ndarray:
    """A float32 share, a wide double, a small whole number; one in twenty missing."""
    rng = np.random.default_rng(seed)
    made = [rng.random(count).astype(np.float32), rng.lognormal(3, 2, count), rng.integers(0, 40, count)]
    features: np.ndarray = np.array(made, dtype=np.float64).T.copy()
    if gaps:
        features[rng.random(features.shape) < 0.05] = np.nan
    return features


def outcome(features: np.ndarray) -> np.ndarray:
    """A noisy, positive figure."""
    noise = np.random.default_rng(2).exponential(size=len(features))
    figure: np.ndarray = np.nan_to_num(features[:, 0]) * 3 + np.log1p(np.nan_to_num(features[:, 1])) / 3 + noise
    return figure


def fitted(estimator: Any, output: Output, features: np.ndarray) -> Any:
    target = outcome(features)
    return estimator.fit(features, target > np.median(target) if output is PROBABILITY else target)


def forms(estimator: Any, agreed: Contract) -> tuple[Converted, Score, Score]:
    converted = convert(estimator, agreed, rows(300, gaps=False))
    return converted, estimator_score(estimator, agreed), load_onnx_score(converted.content(converted.usage))


HISTOGRAM = st.fixed_dictionaries(
    {
        "max_iter": st.integers(1, 12),
        "max_leaf_nodes": st.sampled_from([2, 3, 6, 31, None]),
        "max_depth": st.sampled_from([None, 1, 4]),
        "min_samples_leaf": st.sampled_from([1, 20, 399, 401]),  # the last leaves nothing but a root
        "max_bins": st.sampled_from([2, 16, 255]),
        "learning_rate": st.floats(0.01, 1.0),
    }
)


@settings(max_examples=25, deadline=None)
@given(HISTOGRAM, st.sampled_from(["log_loss", "squared_error", "absolute_error", "poisson", "gamma"]), st.booleans())
def test_histogram_boosting_has_the_same_bits_wherever_it_is_hard(
    params: dict[str, Any], loss: str, gaps: bool
) -> None:
    known = rows(gaps=gaps)
    output = PROBABILITY if loss == "log_loss" else VALUE
    kind = HistGradientBoostingClassifier if output is PROBABILITY else HistGradientBoostingRegressor
    converted, original, onnx = forms(fitted(kind(loss=loss, **params), output, known), contract(output))

    for asked in (known, hard_rows(known, converted.thresholds, seed=3)):
        found = compare(original, onnx, asked, EXACT)
        assert (found.apart, found.worst) == (0, "")
        assert found.rows > len(asked) * 0.9


@pytest.mark.parametrize(
    ("estimator", "output"),
    [
        (GradientBoostingClassifier(n_estimators=20), PROBABILITY),
        (GradientBoostingRegressor(n_estimators=20, init="zero", subsample=0.5, random_state=1), VALUE),
        (RandomForestClassifier(n_estimators=9, random_state=1), PROBABILITY),
        (RandomForestRegressor(n_estimators=7, random_state=1, max_depth=5), VALUE),
        (ExtraTreesClassifier(n_estimators=5, random_state=1), PROBABILITY),
        (ExtraTreesRegressor(n_estimators=1, random_state=1), VALUE),
    ],
)
def test_other_trees_have_the_same_bits_and_refuse_what_the_original_refuses(estimator: Any, output: Output) -> None:
    known = rows(gaps=not isinstance(estimator, GradientBoostingClassifier | GradientBoostingRegressor))
    agreed = contract(output)
    agreed = with_golden(fitted(estimator, output, known), agreed, known)

    chosen = choose_form(estimator, estimator_score(estimator, agreed), agreed, known, seed=1)

    assert chosen.scoring.largest_difference == 0
    assert chosen.scoring.rows_compared > len(known)


def with_golden(estimator: Any, agreed: Contract, known: np.ndarray) -> Contract:
    golden = choose_golden(known, estimator_score(estimator, agreed), agreed.missing)
    return agreed.model_copy(update={"golden": golden})


@pytest.mark.parametrize("positive", [0, 1])
def test_either_class_can_be_the_positive_one(positive: int) -> None:
    known = rows()
    output = PROBABILITY.model_copy(update={"positive_class": positive})
    estimator = HistGradientBoostingClassifier(max_iter=5).fit(known, outcome(known) > 3)
    _, original, onnx = forms(estimator, contract(output))

    np.testing.assert_array_equal(onnx(known), original(known))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 127, 129, 5_000])
def test_a_row_of_the_default_model_has_the_same_bits_in_every_batch(size: int) -> None:
    known = rows(20_000)
    estimator = fitted(build_estimator(ModelChoice(), classifies=True, seed=1), PROBABILITY, known)
    _, _, onnx = forms(estimator, contract(PROBABILITY))
    whole = onnx(known)

    asked = known[: 40 * size]
    parts = [onnx(part) for part in np.split(asked, range(size, len(asked), size))]

    np.testing.assert_array_equal(np.concatenate(parts), whole[: len(asked)])


def test_threads_at_once_give_the_same_bits() -> None:
    known = rows(3_000)
    estimator = fitted(HistGradientBoostingClassifier(max_iter=20), PROBABILITY, known)
    _, original, onnx = forms(estimator, contract(PROBABILITY))
    wanted = original(known)

    with ThreadPoolExecutor(4) as pool:
        for got in pool.map(onnx, [known] * 20):
            np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("output", [PROBABILITY, VALUE])
def test_the_linear_preset_is_within_its_tolerance_and_refuses_nan(output: Output) -> None:
    known = rows(gaps=False)
    estimator = fitted(
        build_estimator(ModelChoice(estimator="elastic_net"), classifies=output is PROBABILITY, seed=1), output, known
    )
    agreed = with_golden(estimator, contract(output, LINEAR), known)

    scoring = choose_form(estimator, estimator_score(estimator, agreed), agreed, known, seed=1).scoring

    assert scoring.largest_difference is not None
    assert scoring.largest_difference < LINEAR.relative
    assert scoring.rows_compared > len(known)


def test_what_stands_before_trees_goes_along() -> None:
    known = rows(gaps=False)
    estimator = fitted(make_pipeline(StandardScaler(), HistGradientBoostingClassifier(max_iter=9)), PROBABILITY, known)
    converted, original, onnx = forms(estimator, contract(PROBABILITY))

    assert {node.op_type for node in converted.model.graph.node} >= {"TreeEnsemble", "Div"}
    cuts = {cut.feature: cut.edges for cut in converted.usage.order}
    assert all(0 <= edge <= 1 for edge in cuts[0]), "in the units of the rows, not of the scaler"
    assert max(cuts[1]) > 10
    np.testing.assert_array_equal(onnx(known), original(known))


@pytest.mark.parametrize(
    ("estimator", "output", "why"),
    [
        (HistGradientBoostingRegressor(max_iter=3, categorical_features=[2]), VALUE, "splits on categories"),
        (GradientBoostingClassifier(loss="exponential", n_estimators=3), PROBABILITY, "link is HalfLogitLink"),
        (GradientBoostingRegressor(init=RandomForestRegressor(2), n_estimators=3), VALUE, "an estimator of its own"),
        (HistGradientBoostingClassifier(max_iter=3), VALUE, "a class, not a probability"),
        (DummyRegressor(), VALUE, "skl2onnx can't convert it"),
        (BaggingRegressor(n_estimators=3, random_state=1), VALUE, "not faithful"),
    ],
)
def test_an_estimator_without_a_faithful_form_keeps_the_original_and_says_why(
    estimator: Any, output: Output, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    known = rows(gaps=False)
    estimator.fit(known, outcome(known) > 3 if hasattr(estimator, "predict_proba") else outcome(known))
    agreed = with_golden(estimator, contract(output), known)

    with caplog.at_level("INFO"):
        chosen = choose_form(estimator, estimator_score(estimator, agreed), agreed, known, seed=1)

    assert (chosen.scoring.form, chosen.content) == ("original", b"")
    assert why in chosen.scoring.why
    assert why in caplog.text


def test_more_than_two_classes_have_no_form() -> None:
    known = rows()
    estimator = HistGradientBoostingClassifier(max_iter=2).fit(known, np.arange(len(known)) % 3)
    with pytest.raises(NotConvertible, match="3 classes"):
        convert(estimator, contract(PROBABILITY), known)


@pytest.mark.parametrize("attribute", ["leaf_weights", "nodes_splits", "nodes_missing_value_tracks_true"])
def test_a_form_that_is_a_little_wrong_is_found_out(attribute: str) -> None:
    known = rows()
    estimator = fitted(HistGradientBoostingClassifier(max_iter=10, random_state=1), PROBABILITY, known)
    agreed = with_golden(estimator, contract(PROBABILITY, TREES), known)
    converted, original, _ = forms(estimator, agreed)
    bent = load_onnx_score(perturbed(converted, attribute))

    with pytest.raises(NotConvertible, match=r"not faithful: \d+ of \d+ rows are apart, \[.* gives .*, not "):
        refuse_unfaithful(original, bent, agreed, known, hard_rows(known, converted.thresholds, seed=1))


def perturbed(converted: Converted, name: str) -> bytes:
    """One number of the trees changed: a leaf by a billionth, a threshold by one bit, or where a NaN goes."""
    (attribute,) = [a for a in converted.model.graph.node[0].attribute if a.name == name]
    if attribute.ints:
        attribute.ints[1] = 1 - attribute.ints[1]
    else:
        numbers = numpy_helper.to_array(attribute.t).copy()
        numbers[2] = np.nextafter(numbers[2], np.inf) if name == "nodes_splits" else numbers[2] * (1 + 1e-9)
        attribute.t.CopyFrom(numpy_helper.from_array(numbers, attribute.t.name))
    return converted.content(converted.usage)


def test_hard_rows_hold_every_threshold_and_its_neighbours() -> None:
    known, at = rows(50), np.array([0.25, 7.0])
    hard = hard_rows(known, {1: at}, seed=1)

    values = set(hard[:, 1][np.isfinite(hard[:, 1])].tolist())
    assert values >= {
        0.25,
        np.nextafter(0.25, 1),
        np.nextafter(0.25, 0),
        7.0,
        float(np.nextafter(np.float32(7), np.float32(8))),
    }
    assert all(np.isnan(hard[:, column]).any() and np.isinf(hard[:, column]).any() for column in range(3))
    np.testing.assert_array_equal(hard, hard_rows(known, {1: at}, seed=1))


def test_a_form_is_compared_by_what_is_scored_and_by_what_is_not() -> None:
    def original(asked: np.ndarray) -> np.ndarray:
        if (asked > 5).any():
            raise ValueError("too large")
        return asked[:, 0]

    asked = np.array([[1.0], [7.0], [np.nan], [3.0]])
    assert compare(original, lambda given: np.where(given > 5, np.nan, given)[:, 0], asked, EXACT).apart == 0
    scored = compare(original, lambda given: given[:, 0], asked, EXACT)
    assert (scored.apart, scored.worst) == (1, "[7.0] gives 7.0, not refused")
    lost = compare(original, lambda given: np.where(given > 2, np.nan, given)[:, 0], asked, EXACT)
    assert (lost.apart, lost.largest) == (1, 0)


def test_large_batches_and_a_requests_few_rows_each_get_the_faster_form() -> None:
    original = {"5": 100.0, "100": 1000.0, "16384": 1000.0}

    def chosen(five: float, hundred: float, large: float) -> tuple[str, str]:
        return judged({"original": original, "onnx": {"5": five, "100": hundred, "16384": large}})[:2]

    assert chosen(200, 1000, 1100) == ("onnx", "onnx")
    assert chosen(200, 999, 5000) == ("original", "original")
    assert chosen(2000, 1200, 900) == ("original", "onnx")
    assert chosen(2000, 1050, 900) == ("original", "original")
    why = judged({"original": original, "onnx": {"5": 2000.0, "100": 1000.0, "16384": 900.0}})[2]
    assert "20.0 times at 5, 1.0 times at 100, 0.9 times at 16,384" in why


def test_the_same_model_gives_the_same_file() -> None:
    known = rows()
    files = []
    for _ in range(2):
        estimator = fitted(build_estimator(ModelChoice(), classifies=True, seed=1), PROBABILITY, known)
        converted = convert(estimator, contract(PROBABILITY), known)
        files.append(converted.content(converted.usage))
    assert files[0] == files[1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=40))
def test_each_refused_row_is_found_and_no_other(bad: list[bool]) -> None:
    def score(asked: np.ndarray) -> np.ndarray:
        if (asked < 0).any():
            raise ValueError("negative")
        return asked[:, 0]

    asked = np.where(bad, -1.0, np.arange(len(bad)) + 1.0)[:, None]
    scores, refused = scored_or_refused(score, asked)

    assert refused.tolist() == bad
    np.testing.assert_array_equal(scores, np.where(bad, np.nan, asked[:, 0]))
