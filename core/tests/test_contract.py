"""What a contract refuses, and in which words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinserve.contract import (
    Contract,
    GoldenRow,
    Handling,
    MissingPolicy,
    Output,
    Scoring,
    Tolerance,
    as_matrix,
    build_contract,
    library_versions,
)
from twinserve.errors import BadInput, ContractMismatch
from twinserve.features.feast_repo.views import ServedFeature, ServiceSpec

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
    assert as_matrix([(1, 2)]).dtype == np.float64


def test_the_stored_document_is_json_that_a_person_can_read(build: Build) -> None:
    assert build().to_json().startswith('{\n  "format": 1,\n  "project": "shop",\n')
    with pytest.raises(ValueError, match="JSON compliant"):
        build(golden=(GoldenRow(features=(1.0, None), score=np.nan),)).to_json()


def test_a_registered_contract_holds_what_it_was_registered_with(build: Build) -> None:
    rows = (GoldenRow(features=(0.0, 1.0), score=3.0),)
    registered = build().registered(rows, ONNX, {"count": {"null": 1}})
    assert (registered.golden, registered.scoring, registered.trained_missing) == (rows, ONNX, {"count": {"null": 1}})
    assert build(libraries={}).registered(rows, FEW).agreed().libraries == {}


def test_a_requests_few_rows_may_have_a_form_of_their_own() -> None:
    assert [FEW.form_for(few=few) for few in (True, False)] == ["onnx", "original"]
    assert [ONNX.form_for(few=few) for few in (True, False)] == ["onnx", "onnx"]


@pytest.mark.parametrize(
    ("absolute", "relative", "same"), [(0.1, 0, True), (0, 0.001, True), (0.01, 0, False), (0, 0.0001, False)]
)
def test_scores_may_lie_apart_by_either_tolerance(absolute: float, relative: float, same: bool) -> None:
    tolerance = Tolerance(absolute=absolute, relative=relative, why="test")
    assert tolerance.allows(100.0, 100.05) == tolerance.allows(100.05, 100.0) == same


@pytest.mark.parametrize("kind", ["unknown", "stale", "null"])
def test_columns_that_no_training_row_lacked_are_unlearned(kind: str) -> None:
    passing: dict[str, Handling] = {kind: "pass_as_nan"}
    columns, lacking = ["a", "b", "c"], {"a": 1}
    assert MissingPolicy(**passing).unlearned_among(columns, lacking) == ["b", "c"]
    assert MissingPolicy(**passing, unlearned=("c", "a")).unlearned_among(columns, lacking) == ["b"]
    assert MissingPolicy(**passing, unlearned="all").unlearned_among(columns, lacking) == []
    assert MissingPolicy().unlearned_among(columns, lacking) == []


def contract_with(unlearned: object, service: ServiceSpec = SERVICE) -> Contract:
    return build_contract(
        service,
        output=Output(method="predict", target="sold", meaning="items sold"),
        missing=MissingPolicy.model_validate({"null": "pass_as_nan", "unlearned": unlearned}),
        tolerance=Tolerance(absolute=0, relative=0, why="test"),
        libraries={},
        golden=(),
    )


def test_unlearned_names_columns_of_the_model() -> None:
    for names in ([], ["count"], ["revenue", "count"], "all"):
        assert contract_with(names).missing == MissingPolicy.model_validate({"null": "pass_as_nan", "unlearned": names})
    many = tuple(ServedFeature("sales", f"f{n}", "FLOAT", None, ("store_id",)) for n in range(25))
    with pytest.raises(BadInput) as refused:
        contract_with([f"g{n}" for n in range(25)] + ["f1"], dataclasses.replace(SERVICE, features=many))
    twenty = [", ".join(f"{letter}{n}" for n in range(20)) for letter in "gf"]
    assert f"missing.unlearned names {twenty[0]}; its columns are {twenty[1]}" in str(refused.value)


def test_a_service_without_a_join_key_is_refused(build: Build) -> None:
    with pytest.raises(BadInput, match=r"ranking can't feed a model: sales:revenue is STRING; it has no join key"):
        build(dataclasses.replace(changed(dtype="STRING", join_keys=()), join_keys={}))


@pytest.mark.parametrize(
    ("stored_view", "kinds", "stored_keys", "refused"),
    [
        ("visits", {"store_id": "INT64"}, None, True),
        (None, {"store_id": "INT64"}, None, False),
        ("visits", {"town": "INT64"}, None, False),
        ("visits", {"town": "INT64"}, ("store_id",), True),
        ("visits", {"town": "STRING"}, ("store_id",), False),
        ("visits", {"store_id": "INT64", "town": "STRING"}, None, False),
    ],
)
def test_a_contract_is_not_made_of_two_names_of_one_hash(
    build: Build, stored_view: str | None, kinds: dict[str, str], stored_keys: tuple[str, ...] | None, refused: bool
) -> None:
    features = (
        ServedFeature("sales", "amount_61272d", "INT64", None, ("store_id",)),
        ServedFeature("alias", "amount_84715d", "INT64", None, tuple(kinds), stored_view, stored_keys),
    )
    service = ServiceSpec("shop", "ranking", {"store_id": "INT64", **kinds}, features)
    if not refused:
        assert build(service).features
        return
    with pytest.raises(BadInput, match="sales:amount_61272d and visits:amount_84715d have one field in Redis"):
        build(service)


def test_the_order_of_join_keys_makes_no_other_hash(build: Build) -> None:
    features = (
        ServedFeature("sales", "amount_61272d", "INT64", None, ("store_id", "town")),
        ServedFeature("visits", "amount_84715d", "INT64", None, ("town", "store_id")),
    )
    with pytest.raises(BadInput, match="have one field in Redis"):
        build(ServiceSpec("shop", "ranking", {"store_id": "INT64", "town": "STRING"}, features))


def test_a_library_that_is_not_installed_is_absent() -> None:
    assert library_versions(["no-such-library", "numpy"]) == {"no-such-library": "absent", "numpy": np.__version__}
