"""The MLflow model registry: register a version, move the alias `champion`, load what it names.

This is the only module that talks to the registry, so it is the only place where the alias moves. MLflow keeps no
history of aliases; every move is written to a journal of tags on the registered model, beside the thing it is about.
"""

from __future__ import annotations

import errno
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

from twinserve.contract import FILE_NAME, Contract
from twinserve.errors import ContractMismatch, PermanentError, StepMissing, TransientError
from twinserve.model.mlflow_database import make_database
from twinserve.model.mlflow_packages import no_list_of_packages
from twinserve.model.model_files import estimator_score, folder_digest, refuse_damaged
from twinserve.model.served_model import ServedModel, load_served
from twinserve.model.unregistered_models import TAG, none_left
from twinserve.settings import Settings

__all__ = [
    "CHAMPION",
    "AliasMove",
    "RegisteredVersion",
    "Registry",
    "ServedModel",
    "estimator_score",
    "mlflow_errors",
    "prepare_mlflow",
]

logger = logging.getLogger(__name__)
CHAMPION = "champion"
JOURNAL_PREFIX = "twinserve.journal."
DIGEST_TAG = "twinserve.digest"
REQUEST_SECONDS = 10  # that a server may keep silent; MLflow's own limit is two minutes, three times over
PASSING = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EIO)
TRAIN_FIX = "Run the DAG training_pipeline, or its steps by hand, until one version passes validation"


@dataclass(frozen=True)
class RegisteredVersion:
    """A version that MLflow knows; nothing of it is on this disk yet.

    Attributes:
        digest: of its files, as noted when it was registered.
    """

    name: str
    version: str
    digest: str

    @property
    def label(self) -> str:
        """Its name in messages."""
        return f"{self.name} version {self.version}"


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
                no version, and no model that was logged for one.
        """
        with mlflow_errors("registering"), none_left(self._client, run_id):
            model = _log_model(estimator, contract, run_id, scorer)
            self._ensure_model()
            with _downloaded(model.model_uri) as folder:
                tags = {DIGEST_TAG: folder_digest(folder), "feature_service": contract.feature_service}
                load_served(self.name, "", folder, self._scorer, with_original=True)
            tags |= {f"scoring_{name}": text for name, text in _scoring_facts(contract).items()}
            created = self._client.create_model_version(
                self.name, model.model_uri, run_id=run_id, tags=tags, model_id=model.model_id
            )
        return str(created.version)

    def champion(self) -> str | None:
        """The version that serves, if there is one."""
        found = self._alias()
        return str(found.version) if found else None

    def find_champion(self) -> RegisteredVersion:
        """What MLflow knows of the champion.

        Raises:
            StepMissing: there is none.
            ContractMismatch: it was not registered by us.
            TransientError: MLflow can't be reached.
        """
        found = self._alias()
        if found is None:
            raise StepMissing(f"model {self.name!r} has no champion", fix=TRAIN_FIX)
        return self._registered(found)

    def _alias(self) -> Any | None:
        from mlflow.exceptions import MlflowException

        with mlflow_errors("asking for the champion"):
            try:
                return self._client.get_model_version_by_alias(self.name, CHAMPION)
            except MlflowException as error:
                if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                    return None
                raise

    def _registered(self, found: Any) -> RegisteredVersion:
        digest = found.tags.get(DIGEST_TAG)
        if digest is None:
            raise ContractMismatch(
                f"{self.name} version {found.version} was not registered by Twinserve: it has no digest",
                fix="Train it with `training-pipeline`",
            )
        return RegisteredVersion(self.name, str(found.version), digest)

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

    def load_champion(self, *, with_original: bool = False) -> ServedModel:
        """The champion, checked.

        Args:
            with_original: load the estimator even where another form scores; its library takes seconds to import.

        Raises:
            StepMissing: there is none.
            ContractMismatch: its artifact is damaged or does not reproduce the golden rows.
            TransientError: MLflow can't be reached.
        """
        return self._load(self.find_champion(), with_original=with_original)

    def load_version(self, version: str, *, with_original: bool = False) -> ServedModel:
        """One version, checked; as `load_champion`."""
        with mlflow_errors(f"asking for {self.name} version {version}"):
            found = self._client.get_model_version(self.name, version)
        return self._load(self._registered(found), with_original=with_original)

    def download(self, found: RegisteredVersion, target: Path) -> Path:
        """Fetch the version's files into the folder `target`, and check their digest.

        Returns:
            The folder with the files: `target`, or one in it.

        Raises:
            ContractMismatch: they are not those that were registered.
            TransientError: MLflow can't be reached, or the disk is full.
        """
        from mlflow.artifacts import download_artifacts

        with mlflow_errors(f"loading {found.label}"):
            uri = self._client.get_model_version_download_uri(found.name, found.version)
            folder = Path(download_artifacts(artifact_uri=uri, dst_path=str(target)))
        refuse_damaged(found.label, folder, found.digest)
        return folder

    def _load(self, found: RegisteredVersion, *, with_original: bool) -> ServedModel:
        with tempfile.TemporaryDirectory() as folder:
            files = self.download(found, Path(folder))
            return load_served(found.name, found.version, files, self._scorer, with_original=with_original)

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
        MLFLOW_HTTP_REQUEST_TIMEOUT,
    )

    if settings.mlflow_uri is None:
        with mlflow_errors("making MLflow's database"):
            settings.mlflow_artifacts.mkdir(parents=True, exist_ok=True)
            make_database(settings)
    # MLflow's default waits minutes; a scheduler retries better than a client
    MLFLOW_HTTP_REQUEST_MAX_RETRIES.set(2)  # type: ignore[no-untyped-call]
    if not MLFLOW_HTTP_REQUEST_TIMEOUT.is_set():  # type: ignore[no-untyped-call] # by the user, for a slow artifact store
        MLFLOW_HTTP_REQUEST_TIMEOUT.set(REQUEST_SECONDS)  # type: ignore[no-untyped-call]
    mlflow.store.db.utils.MAX_RETRY_COUNT = 2
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # type: ignore[no-untyped-call]
    mlflow.set_tracking_uri(settings.mlflow_tracking)
    mlflow.set_registry_uri(settings.mlflow_tracking)


def _scoring_facts(contract: Contract) -> dict[str, str]:
    """What MLflow's page of the version shows of the choice."""
    if contract.scoring is None:
        return {}
    facts = contract.scoring.model_dump(include={"form", "small", "why", "rows_compared", "largest_difference"})
    return {name: str(fact) for name, fact in facts.items()}


def _log_model(estimator: Any, contract: Contract, run_id: str, scorer: bytes) -> Any:
    import mlflow
    import pandas as pd
    from mlflow.models import infer_signature

    rows = np.array([[np.nan if v is None else v for v in row.features] for row in contract.golden])
    example = pd.DataFrame(rows.reshape(-1, len(contract.columns)), columns=contract.columns)
    signature = infer_signature(example, np.array([row.score for row in contract.golden]))
    with tempfile.TemporaryDirectory() as folder, mlflow.start_run(run_id=run_id), no_list_of_packages():
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
            tags={TAG: run_id},
            pip_requirements=[f"{library}=={version}" for library, version in contract.libraries.items()],
        )


def _types_in(estimator: Any) -> list[str]:
    """Types in our own, freshly fitted estimator that skops does not know: trusted, since we made it."""
    from twinserve.model.skops_format import import_skops

    skops_io = import_skops()
    return list(skops_io.get_untrusted_types(data=skops_io.dumps(estimator)))


@contextmanager
def _downloaded(uri: str) -> Iterator[Path]:
    """The model's files, for the time of the block."""
    from mlflow.artifacts import download_artifacts

    with tempfile.TemporaryDirectory() as folder:
        yield Path(download_artifacts(artifact_uri=uri, dst_path=folder))


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
    except OperationalError as error:
        reason = str(error.orig or error).splitlines()[0]
        raise TransientError(
            f"MLflow's database can't be used while {doing}: {reason}", fix="Is it up, and is there room on its disk?"
        ) from error
    except (RequestException, ConnectionError) as error:
        raise TransientError(
            f"MLflow can't be reached while {doing}", fix="Is it up? See TWINSERVE_MLFLOW_URI"
        ) from error
    except OSError as error:
        if error.errno in PASSING:
            raise TransientError(f"{doing}: {error}", fix="Free what is short, and try again") from error
        raise PermanentError(f"{doing}: {error}", fix="Restore the artifact, or train again") from error
    except MlflowException as error:
        if "database or disk is full" in error.message:  # in SQLite's words, within pages of MLflow's
            raise TransientError(
                f"no space left for MLflow's database while {doing}", fix="Free space there and run the command again"
            ) from error
        if error.error_code in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "REQUEST_LIMIT_EXCEEDED"):
            raise TransientError(f"MLflow failed while {doing}: {error.message}", fix="Is it up?") from error
        raise PermanentError(f"MLflow refuses {doing}: {error.message}", fix="See the message") from error
