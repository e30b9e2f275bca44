"""skops, without the list of all of scikit-learn's estimators that it makes when it is imported.

skops trusts every estimator of scikit-learn, and imports nearly all of scikit-learn to know their names. Here a name is
held against the same rule when a model has it: an estimator that its public package shows is one; whatever that does
not settle is looked for in the whole list. Nothing is trusted that skops does not trust, and nothing less.
"""

from __future__ import annotations

import inspect
import sys
from functools import cache
from importlib import import_module
from typing import Any

# as in sklearn.utils.discovery, which leaves out what these hold
_NOT_PUBLIC = {"tests", "externals", "setup", "conftest", "experimental", "estimator_checks"}

# which scikit-learn shows only where `sklearn.experimental` was asked for, before skops or after it: never trusted, so
# that what one process notes of a model holds for the others
_EXPERIMENTAL = {"IterativeImputer", "HalvingGridSearchCV", "HalvingRandomSearchCV"}


def import_skops() -> Any:
    """`skops.io`. Where it was imported before by somebody else, it is as it comes."""
    if "skops.io" in sys.modules:
        return sys.modules["skops.io"]
    import sklearn.utils

    whole_list = sklearn.utils.all_estimators
    sklearn.utils.all_estimators = list  # none, for as long as skops is imported
    try:
        skops_io = import_module("skops.io")
    finally:
        sklearn.utils.all_estimators = whole_list
    _ask_for_each(import_module("skops.io._general").ObjectNode)
    return skops_io


def _ask_for_each(node: Any) -> None:
    """Have a node of an object, where skops goes by the list, ask for its own type."""
    in_lists = node.is_self_safe
    node.is_self_safe = lambda self: in_lists(self) or is_estimator(self.module_name, self.class_name)


@cache
def is_estimator(module: str, name: str) -> bool:
    """Whether skops would have this class in its list of scikit-learn's estimators."""
    if not module.startswith("sklearn.") or name in _EXPERIMENTAL:
        return False
    if _shown(module, name):
        return True
    return not _is_something_else(module, name) and f"{module}.{name}" in _whole_list()


def _shown(module: str, name: str) -> bool:
    """Whether the public module nearest to it shows it as an estimator, as scikit-learn's own list asks for."""
    public = module.partition("._")[0]
    if name.startswith("_") or _NOT_PUBLIC & set(public.split(".")):
        return False
    try:
        found = getattr(import_module(public), name, None)
    except ImportError:
        return False
    return _is_class(found, module, name) and _is_subclass(found) and not inspect.isabstract(found)


def _is_something_else(module: str, name: str) -> bool:
    found = getattr(sys.modules.get(module), name, None)
    return _is_class(found, module, name) and not _is_subclass(found)


def _is_class(found: object, module: str, name: str) -> bool:
    return isinstance(found, type) and (found.__module__, found.__name__) == (module, name)


def _is_subclass(found: Any) -> bool:
    from sklearn.base import BaseEstimator

    return found is not BaseEstimator and issubclass(found, BaseEstimator)


@cache
def _whole_list() -> frozenset[str]:
    from sklearn.utils import all_estimators

    return frozenset(f"{found.__module__}.{found.__name__}" for _, found in all_estimators())
