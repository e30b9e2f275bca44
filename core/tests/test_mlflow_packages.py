"""MLflow's check of requirements answers alike with and without its list of all packages."""

from __future__ import annotations

from importlib.metadata import version

import pytest
from mlflow.utils import requirements_utils as theirs

from twinserve.contract import library_versions
from twinserve.model.mlflow_packages import no_list_of_packages

OURS = [f"{name}=={it}" for name, it in library_versions(["numpy", "scikit-learn", "scipy", "skops"]).items()]


@pytest.mark.parametrize("requirement", [*OURS, f"mlflow=={version('mlflow')}", "numpy==0.1", "no-such-package==1"])
def test_the_answer_is_the_same(requirement: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = str(theirs._check_requirement_satisfied(requirement))
    monkeypatch.setattr(theirs, "_MODULES_TO_PACKAGES", None)
    with no_list_of_packages():
        assert str(theirs._check_requirement_satisfied(requirement)) == expected
        assert not theirs._MODULES_TO_PACKAGES, "listed all packages"
    assert theirs._MODULES_TO_PACKAGES is None
