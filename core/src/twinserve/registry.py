"""The MLflow model registry: register a version, move the alias `champion`, load what it names.

This is the only module that talks to the registry, so it is the only place where the alias moves. MLflow keeps no
history of aliases; every move is written to a journal of tags on the registered model, beside the thing it is about.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinserve.contract import FILE_NAME, Contract, Score
from twinserve.errors import ContractMismatch, PermanentError, StepMissing, TransientError, TwinserveError
from twinserve.scoring_form import Form, calls_at_once, serving_form
from twinserve.settings import Settings

logger = logging.getLogger(__name__)
CHAMPION = "champion"
JOURNAL_PREFIX = "twinserve.journal."
DIGEST_TAG = "twinserve.digest"
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)
TRAIN_FIX = "Run the DAG training_pipeline, or its steps by hand, until one version passes validation"


@dataclass(frozen=True)
class ServedModel:
    """A version that was loaded and has reproduced its golden rows.

    Attributes:
        score: (rows, features) float64 → (rows,) float64. The form `onnx` is safe to call from several threads at once.
        form: what `score` is. `onnx` runs on the calling thread alone; the original spreads a call over the cores as
            its class does.
        reference: the original, where `score` is another form.
    """

    name: str
    version: str
    contract: Contract
    score: Score
    form: Form = "original"
    reference: Score | None = None

    @property
    def original(self) -> Score:
        """The estimator as it was trained, to compare models by."""
        return self.reference or self.score

    @property
    def calls_at_once(self) -> int:
        """How many threads that call `score` keep the machine busy and out of each other's way; batch uses so many."""
        return calls_at_once(self.form)


@dataclass(frozen=True)
class AliasMove:
    """One line of the journal. `came_from` is None for the first champion."""

    at: str
    who: str
    came_from: str | None
    went_to: str
    why: str


class Registry:
    """One registered model in one MLflow."""

    def __init__(self, settings: Settings) -> None:
        prepare_mlflow(settings)
        from mlflow import MlflowClient

        self.name, self._scorer = settings.model_name, settings.scorer
        with mlflow_errors("opening MLflow"):
            self._client = MlflowClient(settings.mlflow_tracking, settings.mlflow_tracking)

    def register(self, estimator: Any, contract: Contract, run_id: str, scorer: bytes = b"") -> str:
        """Store a fitted scikit-learn estimator with its contract as a new version; no alias moves.

        Args:
            scorer: the file that the contract's `scoring` names, if it names one.

        Returns:
            The version.

        Raises:
            ContractMismatch: what was stored does not reproduce the golden rows when it is loaded again; then there is
                no version.
        """
        with mlflow_errors("registering"):
            model = _log_model(estimator, contract, run_id, scorer)
            self._ensure_model()
            with _downloaded(model.model_uri) as folder:
                tags = {DIGEST_TAG: _digest(folder), "feature_service": contract.feature_service}
                self._load(f"the new version of {self.name}", "", folder)
            tags |= {f"scoring_{name}": text for name, text in _scoring_facts(contract).items()}
            created = self._client.create_model_version(
                self.name, model.model_uri, run_id=run_id, tags=tags, model_id=model.model_id
            )
        return str(created.version)

    def champion(self) -> str | None:
        """The version that serves, if there is one."""
        from mlflow.exceptions import MlflowException

        with mlflow_errors("asking for the champion"):
            try:
                return str(self._client.get_model_version_by_alias(self.name, CHAMPION).version)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def version_of_run(self, run_id: str) -> str | None:
        """The version that a training run registered; None if it has registered none, or none that still exists."""
        with mlflow_errors("asking for the versions of a run"):
            found = self._client.search_model_versions(f"name = '{self.name}' and run_id = '{run_id}'")
        return max((str(version.version) for version in found), key=int, default=None)

    def promote(self, version: str, *, who: str, why: str) -> AliasMove | None:
        """Make `version` the champion and write the move to the journal; None if it already is.

        The journal line comes first: a crash between the two leaves a line too many, never a move unrecorded.
        """
        current = self.champion()
        if current == version:
            return None
        move = AliasMove(datetime.now(UTC).isoformat(timespec="microseconds"), who, current, version, why[:2000])
        key = f"{JOURNAL_PREFIX}{move.at.replace('+00:00', 'Z')}.{uuid.uuid4().hex[:8]}"
        with mlflow_errors("moving the alias"):
            self._client.set_registered_model_tag(self.name, key, json.dumps(asdict(move)))
            self._client.set_registered_model_alias(self.name, CHAMPION, version)
        logger.info("champion of %s: version %s → %s (%s)", self.name, current, version, why)
        return move

    def journal(self) -> list[AliasMove]:
        """Every move of the alias, oldest first."""
        with mlflow_errors("reading the journal"):
            tags = self._client.get_registered_model(self.name).tags
        return [AliasMove(**json.loads(tags[key])) for key in sorted(tags) if key.startswith(JOURNAL_PREFIX)]

    def load_champion(self) -> ServedModel:
        """The champion, checked.

        Raises:
            StepMissing: there is none.
            ContractMismatch: its artifact is damaged or does not reproduce the golden rows.
            TransientError: MLflow can't be reached.
        """
        version = self.champion()
        if version is None:
            raise StepMissing(f"model {self.name!r} has no champion", fix=TRAIN_FIX)
        return self.load_version(version)

    def load_version(self, version: str) -> ServedModel:
        """One version, checked; errors as `load_champion`."""
        name = f"{self.name} version {version}"
        with mlflow_errors(f"loading {name}"):
            stored = self._client.get_model_version(self.name, version)
            with _downloaded(self._client.get_model_version_download_uri(self.name, version)) as folder:
                _check_digest(name, folder, stored.tags.get(DIGEST_TAG))
                return self._load(name, version, folder)

    def _load(self, name: str, version: str, folder: Path) -> ServedModel:
        contract = read_contract(name, folder)
        original = _original(name, folder, contract)
        form, score = serving_form(name, folder, contract, original, self._scorer)
        return ServedModel(self.name, version, contract, score, form, original)

    def _ensure_model(self) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(self.name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise


def prepare_mlflow(settings: Settings) -> None:
    """Point MLflow at the settings' server, or make the embedded SQLite store ready."""
    import mlflow
    import mlflow.store.db.utils
    from mlflow.environment_variables import (
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR,
        MLFLOW_HTTP_REQUEST_MAX_RETRIES,
    )

    if settings.mlflow_uri is None:
        settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
    # MLflow's default waits minutes; a scheduler retries better than a client
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(2)  # type: ignore[no-untyped-call]
    mlflow.store.db.utils.MAX_RETRY_COUNT = 2
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # type: ignore[no-untyped-call]
    mlflow.set_tracking_uri(settings.mlflow_tracking)
    mlflow.set_registry_uri(settings.mlflow_tracking)


def _check_digest(name: str, folder: Path, registered: str | None) -> None:
    if registered is None:
        raise ContractMismatch(
            f"{name} was not registered by Twinserve: it has no digest", fix="Train it with `training-pipeline`"
        )
    if _digest(folder) != registered:
        raise ContractMismatch(
            f"the artifact of {name} is not the one that was registered", fix="Restore it from a backup, or train again"
        )


def read_contract(name: str, folder: Path) -> Contract:
    """The contract in the downloaded folder of the model version `name`.

    Raises:
        ContractMismatch: there is none, or it can't be used.
    """
    files = sorted(folder.rglob(FILE_NAME))
    if not files:
        raise ContractMismatch(f"{name} has no {FILE_NAME}", fix="Register it with `training-pipeline`")
    return Contract.from_json(files[0].read_bytes())


def _scoring_facts(contract: Contract) -> dict[str, str]:
    """What MLflow's page of the version shows of the choice."""
    if contract.scoring is None:
        return {}
    facts = contract.scoring.model_dump(include={"form", "why", "rows_compared", "largest_difference"})
    return {name: str(fact) for name, fact in facts.items()}


def _log_model(estimator: Any, contract: Contract, run_id: str, scorer: bytes) -> Any:
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    rows = np.array([[np.nan if v is None else v for v in row.features] for row in contract.golden])
    example = pd.DataFrame(rows.reshape(-1, len(contract.columns)), columns=contract.columns)
    signature = infer_signature(example, np.array([row.score for row in contract.golden]))
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id):
        files = [Path(folder) / FILE_NAME]
        files[0].write_text(contract.to_json(), encoding="utf-8")
        if contract.scoring and contract.scoring.file:
            files.append(Path(folder) / contract.scoring.file)
            files[1].write_bytes(scorer)
        return mlflow.sklearn.log_model(
            estimator,
            name="model",
            signature=signature,
            serialization_format="skops",
            skops_trusted_types=_types_in(estimator),
            extra_files=[str(file) for file in files],
            pip_requirements=[f"{library}=={version}" for library, version in contract.libraries.items()],
        )


def _types_in(estimator: Any) -> list[str]:
    """Types in our own, freshly fitted estimator that skops does not know: trusted, since we made it."""
    from skops.io import dumps, get_untrusted_types

    return list(get_untrusted_types(data=dumps(estimator)))


@contextmanager
def _downloaded(uri: str) -> Iterator[Path]:
    """The model's files, for the time of the block."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        yield Path(download_artifacts(artifact_uri=uri, dst_path=folder))


def _digest(folder: Path) -> str:
    """sha256 over names and contents of the model's files; MLflow's own notes may change, so they don't count."""
    total = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.name != "registered_model_meta":
            total.update(str(file.relative_to(folder)).encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()


def _original(name: str, folder: Path, contract: Contract) -> Score:
    import mlflow

    try:
        _refuse_pickle(name, folder)
        estimator = mlflow.sklearn.load_model(str(folder))
    except TwinserveError:
        raise
    except Exception as error:
        raise ContractMismatch(
            f"the artifact of {name} can't be loaded: {type(error).__name__}: {error}",
            fix="Restore it, or train again",
        ) from error
    return estimator_score(estimator, contract)


def _refuse_pickle(name: str, folder: Path) -> None:
    """A pickle runs code when it is loaded, and MLflow would load one if the artifact says so."""
    from mlflow.models import Model

    flavour = Model.load(str(folder)).flavors.get("sklearn", {})
    if flavour.get("serialization_format") != "skops":
        raise ContractMismatch(
            f"{name} is not a scikit-learn model in the skops format", fix="Train it with `training-pipeline`"
        )


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


@contextmanager
def mlflow_errors(doing: str) -> Iterator[None]:
    """MLflow's many exceptions as ours: what can't be reached is transient, what is refused is not.

    Raises:
        TransientError: MLflow, or the database behind it, can't be reached or fails.
        PermanentError: MLflow refuses the request, or a file of an artifact can't be used.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import OperationalError

    try:
        yield
    except (OperationalError, RequestException, ConnectionError) as error:
        raise TransientError(
            f"MLflow can't be reached while {doing}", fix="Is it up? See TWINSERVE_MLFLOW_URI"
        ) from error
    except OSError as error:
        if error.errno in PASSING:
            raise TransientError(f"{doing}: {error}", fix="Free what is short, and try again") from error
        raise PermanentError(f"{doing}: {error}", fix="Restore the artifact, or train again") from error
    except MlflowException as error:
        if error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"):
            raise TransientError(f"MLflow failed while {doing}: {error.message}", fix="Is it up?") from error
        raise PermanentError(f"MLflow refuses {doing}: {error.message}", fix="See the message") from error
