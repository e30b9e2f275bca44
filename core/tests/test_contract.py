"""What a contract refuses, and in which words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinserve.contract import Contract, Output, Scoring, as_matrix
from twinserve.errors import BadInput, ContractMismatch
from twinserve.features.views import ServedFeature, ServiceSpec

Build = Callable[..., Contract]
SERVICE = ServiceSpec(
    "shop",
    "ranking",
    {"store_id": "INT64"},
    (
        ServedFeature("sales", "revenue", "FLOAT", 3600, ("store_id",)),
        ServedFeature("visits", "count", "INT64", None, ("store_id",)),
    ),
)


def test_it_survives_storage(build: Build) -> None:
    assert Contract.from_json(build().to_json()) == build()


FEW = Scoring(form="original", small="onnx", why="faster", file="scorer.onnx", sha256="0" * 64)
ONNX = Scoring(form="onnx", why="faster", file="scorer.onnx", sha256="0" * 64, rows_per_second={"onnx": {"5": 2.0}})


@pytest.mark.parametrize("scoring", [ONNX, FEW])
def test_the_form_that_scores_survives_storage(build: Build, scoring: Scoring) -> None:
    registered = build().registered(build().golden, scoring)
    assert Contract.from_json(registered.to_json()) == registered
    assert "onnxruntime" in registered.libraries


def test_two_trainings_of_one_model_have_agreed_on_the_same(build: Build) -> None:
    original = Scoring(form="original", why="no ONNX form")
    agreed = build().agreed()
    assert build().registered(build().golden, ONNX).agreed() == agreed
    assert build().registered(build().golden, FEW).agreed() == agreed
    assert build().registered((), original).agreed() == agreed
    assert build(libraries={"numpy": "0"}).registered((), ONNX).agreed() != agreed


def test_what_was_missing_in_training_survives_storage_and_tells_no_two_models_apart(build: Build) -> None:
    counts = {"count": {"null": 3, "stale": 1}}
    registered = build().registered((), ONNX, counts)
    assert Contract.from_json(registered.to_json()).trained_missing == counts
    assert registered.agreed() == build().registered((), ONNX).agreed() == build().agreed()


def test_a_document_of_before_that_was_counted_is_read_and_written_as_ever(build: Build) -> None:
    content = json.loads(build().to_json())
    assert "trained_missing" not in content
    assert set(content["missing"]) == {"unknown", "stale", "null"}
    assert Contract.from_json(build().to_json()).trained_missing is None


def test_a_document_without_a_form_is_read_and_written_as_ever(build: Build) -> None:
    text = build().to_json()
    assert "scoring" not in json.loads(text)
    assert Contract.from_json(text).scoring is None
    assert Contract.from_json(text).to_json() == text


@pytest.mark.parametrize(
    "wrong",
    [
        {"form": "onnx"},
        {"form": "original", "file": "scorer.onnx", "sha256": "0"},
        {"form": "onnx", "file": "scorer.onnx"},
        {"form": "onnx", "file": "../scorer.onnx", "sha256": "0"},
        {"form": "original", "small": "onnx"},
        {"form": "pickle"},
    ],
)
def test_a_form_and_its_file_go_together(build: Build, wrong: dict[str, str]) -> None:
    document = json.loads(build().to_json()) | {"scoring": {"why": "", **wrong}}
    with pytest.raises(ContractMismatch, match="scoring"):
        Contract.from_json(json.dumps(document))


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda d: d.pop("features"), "features"),
        (lambda d: d.update(format=2), "format"),
        (lambda d: d["features"][0].update(dtype="STRING"), "features.0.dtype"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d.update(join_keys=[]), "join_keys"),
    ],
)
def test_a_damaged_document_names_the_place(build: Build, damage: object, says: str) -> None:
    document = json.loads(build().to_json())
    damage(document)  # type: ignore[operator]
    with pytest.raises(ContractMismatch, match=says):
        Contract.from_json(json.dumps(document))


@given(st.binary())
def test_any_bytes_are_refused_politely(content: bytes) -> None:
    with pytest.raises(ContractMismatch):
        Contract.from_json(content)


def test_a_service_that_fits_has_no_differences(build: Build) -> None:
    build().check_service(SERVICE)


def changed(**fields: object) -> ServiceSpec:
    first, second = SERVICE.features
    return dataclasses.replace(SERVICE, features=(dataclasses.replace(first, **fields), second))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("service", "says"),
    [
        (changed(name="turnover"), "feature sales:revenue is missing"),
        (changed(dtype="DOUBLE"), "dtype of sales:revenue is DOUBLE, not FLOAT"),
        (changed(ttl_seconds=60), "ttl_seconds of sales:revenue is 60, not 3600"),
        (dataclasses.replace(SERVICE, join_keys={"store_id": "STRING"}), "join key store_id is STRING, not INT64"),
        (dataclasses.replace(SERVICE, join_keys={}), "join key store_id is missing, not INT64"),
        (dataclasses.replace(SERVICE, project="other"), "project is other, not shop"),
    ],
)
def test_each_difference_is_said(build: Build, service: ServiceSpec, says: str) -> None:
    with pytest.raises(ContractMismatch, match=says):
        build().check_service(service)


def test_an_added_feature_does_no_harm(build: Build) -> None:
    more = (*SERVICE.features, ServedFeature("sales", "new", "FLOAT", None, ("store_id",)))
    build().check_service(dataclasses.replace(SERVICE, features=more))


def test_golden_rows_must_come_out(build: Build) -> None:
    build().check_golden(lambda rows: np.full(len(rows), 2.0))
    with pytest.raises(ContractMismatch, match=r"golden row 0 gives 2\.5, not 2\.0.*same library versions"):
        build().check_golden(lambda rows: np.full(len(rows), 2.5))
    with pytest.raises(ContractMismatch, match=r"numpy 0\.1 → "):
        build(libraries={"numpy": "0.1"}).check_golden(lambda rows: np.full(len(rows), np.nan))


def test_text_features_are_refused_by_name(build: Build) -> None:
    with pytest.raises(BadInput, match="sales:revenue is STRING"):
        build(changed(dtype="STRING"))


def test_columns_carry_the_view_only_where_names_collide(build: Build) -> None:
    assert build().columns == ["revenue", "count"]
    twins = dataclasses.replace(
        SERVICE, features=(*SERVICE.features, dataclasses.replace(SERVICE.features[1], name="revenue"))
    )
    assert build(twins).columns == ["sales__revenue", "visits__count", "visits__revenue"]


def test_output_names_its_class_or_none() -> None:
    with pytest.raises(ValueError, match="positive_class"):
        Output(method="predict_proba", target="t", meaning="m")
    with pytest.raises(ValueError, match="positive_class"):
        Output(method="predict", target="t", meaning="m", positive_class=1)


def test_none_is_nan() -> None:
    np.testing.assert_array_equal(as_matrix([(1.0, None)]), np.array([[1.0, np.nan]]))
