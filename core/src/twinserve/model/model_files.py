"""The files of a model version, once they are on this disk: their digest, the contract, the estimator. No MLflow."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from twinserve.contract import FILE_NAME, Contract, Score
from twinserve.errors import ContractMismatch, TwinserveError

MLFLOW_NOTES = "registered_model_meta"  # written by MLflow beside the files of a model, and changed by it


def folder_digest(folder: Path) -> str:
    """sha256 over names and contents of the model's files; MLflow's own notes may change, so they don't count."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != MLFLOW_NOTES:
            total.update(str(file.relative_to(folder)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def refuse_damaged(name: str, folder: Path, registered: str) -> None:
    """Hold the files of the model version `name` against the digest that it was registered with.

    Raises:
        ContractMismatch: they are others.
    """
    if folder_digest(folder) != registered:
        raise ContractMismatch(
            f"the artifact of {name} is not the one that was registered", fix="Restore it from a backup, or train again"
        )


def read_contract(name: str, folder: Path) -> Contract:
    """The contract in the folder of the model version `name`.

    Raises:
        ContractMismatch: there is none, or it can't be used.
    """
    files = sorted(folder.rglob(FILE_NAME))
    if not files:
        raise ContractMismatch(f"{name} has no {FILE_NAME}", fix="Register it with `training-pipeline`")
    return Contract.from_json(files[0].read_bytes())


def load_original(name: str, folder: Path, contract: Contract) -> Score:
    """The score of the estimator in the folder; its library is imported here, which takes seconds.

    Raises:
        ContractMismatch: it can't be loaded, is no scikit-learn model in the skops format, or can't give the output.
    """
    try:
        flavour = _sklearn_flavour(name, folder)
        from twinserve.model.skops_format import import_skops

        # what is trusted is under the version's digest, as the model itself is
        estimator = import_skops().load(folder / flavour["pickled_model"], trusted=flavour.get("skops_trusted_types"))
    except TwinserveError:
        raise
    except Exception as error:
        raise ContractMismatch(
            f"the artifact of {name} can't be loaded: {type(error).__name__}: {error}",
            fix="Restore it, or train again",
        ) from error
    return estimator_score(estimator, contract)


def _sklearn_flavour(name: str, folder: Path) -> dict[str, Any]:
    """What MLflow noted of the estimator. A pickle, which runs code when it is loaded, is refused."""
    flavours = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))["flavors"]
    flavour: dict[str, Any] = flavours.get("sklearn", {})
    if flavour.get("serialization_format") != "skops":
        raise ContractMismatch(
            f"{name} is not a scikit-learn model in the skops format", fix="Train it with `training-pipeline`"
        )
    return flavour


def estimator_score(estimator: Any, contract: Contract) -> Score:
    """The score of a fitted scikit-learn estimator, as the contract's output says.

    Raises:
        ContractMismatch: it has no such method, or doesn't know the positive class.
    """
    output = contract.output
    method = getattr(estimator, output.method, None)
    if method is None:
        raise ContractMismatch(
            f"{type(estimator).__name__} has no {output.method}", fix="Correct `output` in params.yaml"
        )
    if output.method == "predict":
        return lambda rows: _as_scores(method(rows))
    classes = list(estimator.classes_)
    if output.positive_class not in classes:
        raise ContractMismatch(
            f"the model knows the classes {classes}, not {output.positive_class!r}", fix="Train again"
        )
    column = classes.index(output.positive_class)
    return lambda rows: _as_scores(method(rows)[:, column])


def _as_scores(scores: Any) -> NDArray[np.float64]:
    return np.ascontiguousarray(scores, dtype=np.float64).reshape(-1)
