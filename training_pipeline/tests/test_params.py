from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from training_pipeline.params import Params, load_params
from twinserve.errors import BadInput, StepMissing

SHIPPED = Path(__file__).parents[1] / "params.yaml"


@pytest.fixture
def edited(tmp_path: Path) -> Callable[[Callable[[dict[str, Any]], None]], Path]:
    """The shipped file after an edit."""

    def make(edit: Callable[[dict[str, Any]], None]) -> Path:
        content = yaml.safe_load(SHIPPED.read_text())
        edit(content)
        file = tmp_path / "params.yaml"
        file.write_text(yaml.safe_dump(content))
        return file

    return make


def test_the_shipped_file_is_valid() -> None:
    params = load_params(SHIPPED)

    assert params.classifies
    assert params.contract_output.target == params.labels.target
    assert params.labels.classes == (0, 1)


@pytest.mark.parametrize(
    ("edit", "says"),
    [
        (lambda c: c.update(learning_rate=1), "learning_rate: there is no such key"),
        (lambda c: c["model"].update(depth=3), "model.depth: there is no such key"),
        (lambda c: c.pop("feature_service"), "feature_service: Field required"),
        (lambda c: c["labels"].update(file="a.csv"), "labels: Value error, give either table or file"),
        (lambda c: c["labels"].pop("table"), "labels: Value error, give either table or file"),
        (lambda c: c["split"].update(test_from="2026-01-01"), "split: Value error, give either test or test_from"),
        (lambda c: c["split"].update(test=1.5), "split.test"),
        (lambda c: c["missing"].update(stale="zero"), "missing.stale"),
        (lambda c: c["model_checks"].update(metric="rmse"), "metric rmse does not go with predict_proba"),
        (lambda c: c["output"].update(positive_class=2), "positive_class is not among"),
        (lambda c: c["data_checks"].update(max_left_out=-1), "data_checks.max_left_out"),
    ],
)
def test_a_mistake_is_refused_by_file_and_key(
    edited: Callable[..., Path], edit: Callable[[dict[str, Any]], None], says: str
) -> None:
    file = edited(edit)

    with pytest.raises(BadInput, match=r"params\.yaml") as refused:
        load_params(file)

    assert says in str(refused.value)


def test_a_bare_null_is_the_word(edited: Callable[..., Path]) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["missing"] = {None: "pass_as_nan"}

    assert load_params(edited(edit)).missing.null == "pass_as_nan"


def test_a_label_file_lies_beside_the_params(edited: Callable[..., Path], tmp_path: Path) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["labels"] = {"file": "labels.tsv", "target": "trip_completed"}

    assert load_params(edited(edit)).labels.file == tmp_path / "labels.tsv"


@pytest.mark.parametrize(
    "moment", ["2026-01-31T00:00:00", "2026-01-31", date(2026, 1, 31), "2026-01-31T01:00:00+01:00"]
)
def test_a_time_without_a_zone_is_utc(params: Callable[..., Params], moment: object) -> None:
    split = params(split={"test_from": moment}).split

    assert split.test_from is not None
    assert split.test_from == datetime(2026, 1, 31, tzinfo=UTC)


def test_no_file_says_which_setting(tmp_path: Path) -> None:
    with pytest.raises(StepMissing, match="TWINSERVE_TRAINING_PARAMS"):
        load_params(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["a: [", "", "- 1"])
def test_no_mapping_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "params.yaml"
    file.write_text(text)

    with pytest.raises(BadInput, match=r"params\.yaml"):
        load_params(file)


def test_the_file_is_read_as_yaml_1_2(tmp_path: Path) -> None:
    """PyYAML makes a text of `1e-1`, 8 of `010` and a boolean of `no`."""
    text = SHIPPED.read_text()
    text = text.replace("params: {}", "params: {learning_rate: 1e-1}")
    text = text.replace("[0, 1]", "[no, yes]").replace("positive_class: 1", "positive_class: yes")
    file = tmp_path / "params.yaml"
    file.write_text(text)

    params = load_params(file)

    assert params.model.params == {"learning_rate": 0.1}
    assert (params.labels.classes, params.output.positive_class) == (("no", "yes"), "yes")
    file.write_text(text.replace("1e-1", "010"))
    with pytest.raises(BadInput, match=r"line \d+, column 27: `010` is 10 in YAML 1\.2, and 8 in YAML 1\.1"):
        load_params(file)


@pytest.mark.parametrize(
    ("classes", "positive_class", "read"), [([False, True], True, (False, True)), ([0, 1], 1, (0, 1))]
)
def test_booleans_and_numbers_are_different_classes(
    edited: Callable[..., Path], classes: list[Any], positive_class: Any, read: tuple[Any, ...]
) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["labels"]["classes"], content["output"]["positive_class"] = classes, positive_class

    params = load_params(edited(edit))

    assert [*map(repr, params.labels.classes or ()), repr(params.output.positive_class)] == [
        *map(repr, read),
        repr(positive_class),
    ]


@pytest.mark.parametrize(("classes", "positive_class"), [([False, True], 1), ([0, 1], "1"), ([0, "1"], "1")])
def test_classes_of_several_kinds_are_refused(
    edited: Callable[..., Path], classes: list[Any], positive_class: Any
) -> None:
    def edit(content: dict[str, Any]) -> None:
        content["labels"]["classes"], content["output"]["positive_class"] = classes, positive_class

    with pytest.raises(BadInput, match="of several kinds"):
        load_params(edited(edit))
