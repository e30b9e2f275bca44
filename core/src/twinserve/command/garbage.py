"""Cycles among objects are looked for more rarely than Python does of itself.

Importing makes hundreds of thousands of objects that stay. Python looks through the new ones at every 700, and again
and again through all: a fifth of the time that a step takes to import Feast, MLflow and scikit-learn.
"""

from __future__ import annotations

import gc

NEW_OBJECTS = 500_000  # that may wait: some tens of megabytes. Large data are in no cycles, and freed at once
ROUNDS = 50


def collect_rarely() -> None:
    """For a command that ends. The online service has its own rules: model_serving.online.process.garbage."""
    gc.set_threshold(NEW_OBJECTS, ROUNDS, ROUNDS)
