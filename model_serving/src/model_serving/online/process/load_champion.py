"""Before anything is served: which version is the champion, is it whole, does it fit? The answer is a bundle.

A process of its own, `python -m model_serving.online.process.load_champion`, since MLflow and Feast, which it asks,
fill some hundred megabytes and take seconds to import. The workers load the bundle and need neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from model_serving.online.process.child_process import Questions, run_for_parent
from model_serving.online.process.feature_check import FeatureCheck
from twinserve.model.model_bundle import BundleNote, laid_down, load_prepared, shelf
from twinserve.settings import Settings, load_settings


def prepare(settings: Settings) -> Path:
    """The champion's bundle: laid down, loaded once by the form that will serve, its features found to fit.

    Raises:
        StepMissing: no champion, or its feature service is not registered.
        ContractMismatch: damaged, or it does not fit.
        TransientError: MLflow or the feature registry can't be reached.
        PermanentError: the folder of the bundles is somebody else's.
    """
    with FeatureCheck(settings) as features:
        bundle = _champion(settings)
        features.pass_(bundle, load_prepared(bundle, settings.scorer).contract)
    return bundle


def _champion(settings: Settings) -> Path:
    from twinserve.registry import Registry

    registry = Registry(settings)
    found = registry.find_champion()
    wanted = BundleNote(found.name, found.version, found.digest)
    return laid_down(shelf(settings), wanted, lambda target: registry.download(found, target))


def prepare_for_supervisor(_: Questions) -> dict[str, Any]:
    """With the environment that the supervisor gives."""
    return {"folder": str(prepare(load_settings()))}


if __name__ == "__main__":
    run_for_parent(prepare_for_supervisor)
