"""Whether a contract fits its feature service, asked of Feast in a process of its own: importing it takes seconds.

What was found is remembered beside the model's bundle. While Feast's registry holds the same definitions, which is
cheap to ask, Feast is not started at all.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from pathlib import Path
from typing import Any

from model_serving.online.process.child_process import ChildProcess, Questions, run_for_parent
from twinserve.contract import Contract
from twinserve.errors import ContractMismatch, TwinserveError
from twinserve.features.feast_repo.registry_state import NO_REDIS, registry_state
from twinserve.files.atomic import write_atomically
from twinserve.model.model_bundle import FILES, newest, shelf
from twinserve.model.model_files import read_contract
from twinserve.settings import Settings, child_environment, load_settings

logger = logging.getLogger(__name__)
MODULE = "model_serving.online.process.feature_check"
REMEMBERED = "features.json"


class FeatureCheck:
    """The check of one start-up; a block, at whose end the process is gone.

    Feast is started on entry if the bundle that served last would need it: a guess, made before MLflow has said
    which version is to serve, so that both imports go on at the same time.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._asked: ChildProcess | None = None

    def __enter__(self) -> FeatureCheck:
        last = newest(shelf(self._settings))
        if last is None or not self._fitted_before(last):
            self._asked = self._feast()
        return self

    def __exit__(self, *_: object) -> None:
        if self._asked:
            self._asked.end()

    def pass_(self, bundle: Path, contract: Contract) -> None:
        """Hold the contract of a bundle against its feature service.

        Raises:
            StepMissing: the feature service is not registered.
            ContractMismatch: they don't fit.
            TransientError: the feature registry can't be reached.
        """
        state = registry_state(self._settings, contract)  # first: it may change while Feast looks
        if state is not None and state == _remembered(bundle):
            return
        self._asked = self._asked or self._feast()
        self._asked.tell(contract.model_dump_json())
        self._asked.outcome()
        if state is not None:
            _remember(bundle, state)

    def _feast(self) -> ChildProcess:
        registry = self._settings.feast_registry
        return ChildProcess(MODULE, child_environment(self._settings, TWINSERVE_FEAST_REGISTRY_URL=registry))

    def _fitted_before(self, bundle: Path) -> bool:
        known = _remembered(bundle)
        with suppress(ContractMismatch, OSError):
            contract = read_contract(bundle.name, bundle / FILES)
            return known is not None and known == registry_state(self._settings, contract)
        return False


def check_as_asked(questions: Questions) -> dict[str, Any]:
    """In the process of its own: Feast is imported while the question is awaited."""
    from twinserve.features.feast_repo.service import describe_service
    from twinserve.features.feast_repo.store import open_store

    store = open_store(load_settings(), NO_REDIS)
    contract = Contract.from_json(questions.next())
    contract.check_service(describe_service(store, contract.feature_service))
    return {"fits": contract.feature_service}


def _remember(bundle: Path, state: str) -> None:
    try:
        write_atomically(bundle / REMEMBERED, json.dumps({"fitted": state}) + "\n")
    except (TwinserveError, OSError) as error:  # a full disk, say: Feast is asked again next time
        logger.warning("can't keep that the features fit: %s", error)


def _remembered(bundle: Path) -> str | None:
    try:
        return str(json.loads((bundle / REMEMBERED).read_bytes())["fitted"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


if __name__ == "__main__":
    run_for_parent(check_as_asked)
