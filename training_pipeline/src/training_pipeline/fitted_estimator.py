"""Fitting an estimator, and handing it from step to step as a skops file."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

from training_pipeline.prepared_rows import PreparedRows
from twinserve.errors import PermanentError
from twinserve.files.atomic import atomic_file

logger = logging.getLogger(__name__)


def fit(estimator: Any, rows: PreparedRows) -> Any:
    """Fit in place; what the estimator warns of goes to the log.

    Raises:
        PermanentError: the estimator refuses the rows or its parameters.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            estimator.fit(rows.features, rows.target)
        except (ValueError, TypeError) as error:
            raise PermanentError(
                f"{type(estimator).__name__} can't be fitted: {error}",
                fix="Correct `model` or `missing` in params.yaml",
            ) from error
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        logger.warning("%s: %s", type(estimator).__name__, message)
    return estimator


def save_estimator(file: Path, estimator: Any) -> None:
    """Write it as the registry will.

    Raises:
        PermanentError: skops can't store this kind of estimator.
    """
    from twinserve.model.skops_format import import_skops

    skops_io = import_skops()
    from skops.io.exceptions import UnsupportedTypeException

    with atomic_file(file) as draft:
        try:
            skops_io.dump(estimator, draft)
        except UnsupportedTypeException as error:
            raise PermanentError(
                f"{type(estimator).__name__} can't be stored: {error}", fix="Choose an estimator that skops supports"
            ) from error


def load_estimator(file: Path) -> Any:
    """Read what `save_estimator` wrote; every type in it is trusted, since the file is our own run's."""
    from twinserve.model.skops_format import import_skops

    skops_io = import_skops()
    return skops_io.load(file, trusted=skops_io.get_untrusted_types(file=file))
