"""What was made before is taken over exactly where nothing that it was made from has changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from training_pipeline.estimators import versioned
from training_pipeline.params import ModelChoice
from training_pipeline.takeover import Origin, forget, sha256_of, take_over
from twinserve.contract import library_versions
from twinserve.errors import BadInput, PermanentError

SAME = {"labels": "1", "offline store": "2"}


def made(root: Path, run: str, content: bytes = b"rows", made_from: dict[str, str] | None = None) -> Path:
    file = root / run / "rows.parquet"
    file.parent.mkdir(parents=True)
    file.write_bytes(content)
    Origin(run, made_from or SAME, sha256_of(file)).write(file)
    return file


def test_it_is_copied_and_says_whose_it_is(tmp_path: Path) -> None:
    made(tmp_path, "first")
    second, third = tmp_path / "second" / "rows.parquet", tmp_path / "third" / "rows.parquet"

    assert take_over(second, SAME) == "first"
    (tmp_path / "first" / "rows.parquet").unlink()
    assert take_over(third, SAME) == "first"  # by way of the second
    assert third.read_bytes() == b"rows"


def test_a_run_begun_again_keeps_its_own(tmp_path: Path) -> None:
    own = made(tmp_path, "own")
    made(tmp_path, "another", b"others")

    assert take_over(own, SAME) == "own"
    assert own.read_bytes() == b"rows"


@pytest.mark.parametrize("changed", [SAME | {"labels": "9"}, {"labels": "1"}, SAME | {"more": "3"}])
def test_nothing_is_taken_that_was_made_from_something_else(tmp_path: Path, changed: dict[str, str]) -> None:
    made(tmp_path, "first")

    assert take_over(tmp_path / "second" / "rows.parquet", changed) is None
    assert not (tmp_path / "second" / "rows.parquet").exists()


def test_a_file_that_is_not_the_one_noted_is_passed_over(tmp_path: Path) -> None:
    damaged, own = made(tmp_path, "damaged"), made(tmp_path, "own")
    damaged.write_bytes(b"row")
    own.write_bytes(b"half")
    target = tmp_path / "second" / "rows.parquet"
    target.parent.mkdir()

    assert take_over(own, SAME) is None
    assert take_over(target, SAME) is None
    assert list(target.parent.iterdir()) == []
    made(tmp_path, "whole")
    assert take_over(target, SAME) == "whole"


def test_what_is_about_to_be_made_anew_is_nobodys(tmp_path: Path) -> None:
    file = made(tmp_path, "first")
    forget(file)
    forget(file)

    assert take_over(tmp_path / "second" / "rows.parquet", SAME) is None
    (tmp_path / "first" / "rows.parquet.made_from.json").write_text("{}")
    assert take_over(tmp_path / "second" / "rows.parquet", SAME) is None


@pytest.mark.integration
def test_corrected_checks_do_not_repeat_the_join(stalls: Any) -> None:
    stalls.set_params(data_checks={"max_psi": 1e-9})
    with pytest.raises(PermanentError, match=r"data_checks\.html"):
        stalls.train("first", until="data-validation")
    rows = stalls.scratch("first") / "training_rows.parquet"
    first = rows.read_bytes()
    checks = {"max_psi": 1e-9, "features": {n: {"on_failure": "warn"} for n in ("share", "visits", "roofed")}}
    stalls.set_params(data_checks=checks | {"outcome": {"max_psi": 1}})

    again = stalls.train("first", until="data-extraction")  # the same run, begun again
    other = stalls.train("second", until="data-extraction")
    checked = stalls.run("data-validation", "second")

    assert (again["taken_over_from"], other["taken_over_from"]) == ("first", "first")
    assert (stalls.scratch("second") / "training_rows.parquet").read_bytes() == first == rows.read_bytes()
    assert any("max_psi(share)" in warning for warning in checked["warnings"])
    assert "in training and test rows" in Path(checked["report"]).read_text()


@pytest.mark.integration
def test_a_changed_input_is_joined_anew(stalls: Any) -> None:
    assert stalls.train("first", until="data-extraction")["taken_over_from"] is None
    assert stalls.train("same", until="data-extraction")["taken_over_from"] == "first"

    change_a_label(stalls)
    changed = stalls.train("label", until="data-extraction")
    assert changed["taken_over_from"] is None
    assert stalls.train("label again", until="data-extraction")["taken_over_from"] == "label"

    file = next(iter(sorted((stalls.settings.offline_store / "sales").rglob("*.parquet"))))
    frame = pd.read_parquet(file)
    frame.assign(share=np.float32(0.5)).to_parquet(file, index=False)
    assert stalls.train("feature", until="data-extraction")["taken_over_from"] is None

    definitions = stalls.root / "repo" / "definitions.py"
    definitions.write_text(definitions.read_text().replace("timedelta(days=2)", "timedelta(days=1)"))
    assert stalls.train("definition", until="data-extraction")["taken_over_from"] is None


@pytest.mark.integration
@pytest.mark.parametrize(
    ("place", "step"),
    [
        ("twinserve.features.offline_store.join_state", "data-extraction"),
        ("training_pipeline.steps.model_training", "model-training"),
    ],
)
def test_what_other_code_of_ours_has_made_is_made_anew(
    stalls: Any, monkeypatch: pytest.MonkeyPatch, place: str, step: str
) -> None:
    stalls.train("first", until=step)
    with monkeypatch.context() as changed:
        changed.setattr(f"{place}.code_digest", lambda _: "changed")
        assert stalls.train("changed", until=step)["taken_over_from"] is None
        changed.setattr(f"{place}.code_digest", lambda _: None)
        assert stalls.train("unknown", until=step)["taken_over_from"] is None
    assert stalls.train("as at first", until=step)["taken_over_from"] == "first"


def change_a_label(project: Any) -> None:
    """One new row in the source's table."""
    engine = sa.create_engine(project.settings.source_database)
    with engine.begin() as connection:
        connection.execute(sa.text("INSERT INTO evenings SELECT stall_id, at, 1 - sold_out FROM evenings LIMIT 1"))
    engine.dispose()


@pytest.mark.integration
def test_a_corrected_check_of_the_model_does_not_repeat_the_fit(stalls: Any) -> None:
    stalls.set_params(model_checks={"limit": 0.99})
    with pytest.raises(PermanentError, match="the model is refused"):
        stalls.train("strict")
    fitted = (stalls.scratch("strict") / "estimator.skops").read_bytes()
    stalls.set_params()
    lenient = stalls.train("lenient", until="model-training")
    assert lenient["taken_over_from"] == "strict"
    assert (stalls.scratch("lenient") / "estimator.skops").read_bytes() == fitted
    assert all(stalls.run(step, "lenient") for step in ("model-evaluation", "model-validation"))

    stalls.set_params(model={"params": {"max_iter": 90}})
    assert stalls.train("other parameters", until="model-training")["taken_over_from"] is None
    stalls.set_params(seed=8)
    assert stalls.train("other seed", until="model-training")["taken_over_from"] is None
    change_a_label(stalls)
    stalls.set_params()
    assert stalls.train("other rows", until="model-training")["taken_over_from"] is None


@pytest.mark.integration
def test_a_run_that_was_begun_before_an_upgrade_takes_no_fit_of_before(
    stalls: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stalls.train("before", until="model-training")["taken_over_from"] is None
    stalls.train("between", until="data-preparation")
    with monkeypatch.context() as upgraded:
        upgraded.setattr("training_pipeline.run_folder.library_versions", _upgraded)
        with pytest.raises(BadInput, match=r"another library\.scikit-learn: .* then, 999 now.*model-training"):
            stalls.run("model-evaluation", "before")
        assert stalls.run("model-training", "between")["taken_over_from"] is None
        stalls.run("model-evaluation", "between")
    with pytest.raises(BadInput, match=r"scikit-learn: 999 then"):
        stalls.run("model-validation", "between")
    assert stalls.run("model-training", "between")["taken_over_from"] == "before", "nor one of after it"
    stalls.run("model-evaluation", "between")
    version = stalls.run("model-validation", "between")["version"]
    contract = stalls.registry.load_version(version).contract
    assert contract.libraries["scikit-learn"] == library_versions(["scikit-learn"])["scikit-learn"]


def _upgraded(names: list[str]) -> dict[str, str]:
    return {**library_versions(names), **{name: "999" for name in names if name == "scikit-learn"}}


def test_only_code_that_has_a_version_is_known_to_be_the_same() -> None:
    chosen = {
        "gradient_boosting": True, "sklearn.linear_model.Ridge": True, "training_pipeline.mine.Model": False,
        "my_models.Mine": False,
    }  # fmt: skip
    assert {name: versioned(ModelChoice(estimator=name)) for name in chosen} == chosen


@pytest.mark.parametrize(
    "origin", [None, '{"url": "file:///src/ours", "dir_info": {}}', '{"url": "x", "vcs_info": {}}']
)
def test_what_is_installed_from_a_folder_or_a_repository_has_no_version_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str | None
) -> None:
    facts = tmp_path / "our_models-0.1.dist-info"
    facts.mkdir()
    (tmp_path / "our_models.py").touch()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: our-models\nVersion: 0.1\n")
    (facts / "top_level.txt").write_text("our_models\n")
    if origin:
        (facts / "direct_url.json").write_text(origin)
    monkeypatch.syspath_prepend(tmp_path)
    assert versioned(ModelChoice(estimator="our_models.Mine")) == (origin is None)


@pytest.mark.integration
def test_a_limit_of_a_feature_that_is_not_there_is_refused_at_the_start(stalls: Any) -> None:
    stalls.set_params(data_checks={"features": {"shares": {"max_psi": 3}}})

    with pytest.raises(BadInput, match=r"names shares; the features are share, visits, roofed"):
        stalls.run("feature-store-init", "mistyped")
