"""Modules that a library imports with itself, and steps seldom use: imported when something is asked of them.

While one of the modules in `PUT_OFF` is imported, a stand-in is in the place of those that are listed for it. The
stand-in imports the real one as soon as an attribute is asked of it, and gives that. What a module takes from it by
`from … import` is named here too, and looked up when it is called. After the import, the place is empty again: nobody
else gets a stand-in.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

Objects = tuple[str, ...]
# importing module → what it need not import → what it takes from there by name
PUT_OFF: dict[str, dict[str, Objects]] = {
    "sklearn.utils.fixes": {"pandas": (), "scipy.stats": ()},
    "sklearn.metrics._ranking": {"scipy.stats": ("rankdata",)},
    "sklearn._loss.link": {"scipy.stats": ("gmean",)},
    "sklearn.preprocessing._data": {"scipy.stats": ()},
    "sklearn.model_selection._search": {"scipy.stats": ("rankdata",)},
    "sklearn.covariance._robust_covariance": {"scipy.stats": ("chi2",)},
    "sklearn.isotonic": {"scipy.stats": ("spearmanr",)},
    "sklearn.inspection._partial_dependence": {"scipy.stats": (), "scipy.stats.mstats": ("mquantiles",)},
    "sklearn.inspection._plot.partial_dependence": {"scipy.stats": (), "scipy.stats.mstats": ("mquantiles",)},
    "feast.errors": {"fastapi": ("status",)},
    "feast.feature_store": {
        "fastapi": (),
        "fastapi.concurrency": ("run_in_threadpool",),
        "feast.feature_server": (),
        "feast.ui_server": (),
    },
    "mlflow": {"mlflow.genai": (), "mlflow.genai.datasets": (), "mlflow.gateway": ()},
    "mlflow.store.tracking.sqlalchemy_store": {
        "mlflow.genai": (),
        "mlflow.genai.judges": (),
        "mlflow.genai.scorers": (),
        "mlflow.genai.scorers.online": (),
        "mlflow.gateway": (),
    },
    "mlflow.store.tracking.dbmodels.models": {
        "mlflow.genai": (),
        "mlflow.genai.scorers": (),
        "mlflow.genai.scorers.online": (),
    },
}


def put_off_imports() -> None:
    """For modules that are imported later. Idempotent."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in PUT_OFF and not any(name in later for later in PUT_OFF.values()):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _Loader(spec.loader, PUT_OFF.get(name, {}))
        return spec


class _Loader(Loader):
    def __init__(self, real: Loader, later: Mapping[str, Objects]) -> None:
        self._real, self._later = real, later

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__:
            module.__spec__.loader = self._real
        module.__loader__ = self._real
        with _standing_in(self._later):
            self._real.exec_module(module)
        _adopt(module)


@contextmanager
def _standing_in(later: Mapping[str, Objects]) -> Iterator[None]:
    placed: list[tuple[_StandIn, ModuleType | None]] = []  # and the stand-in of an import that this one is part of
    try:
        for name, objects in later.items():
            before = sys.modules.get(name)
            if (before is None or isinstance(before, _StandIn)) and (spec := _found(name)):
                placed.append((_StandIn(name, objects, spec), before))
                sys.modules[name] = placed[-1][0]
        yield
    finally:
        for each, before in placed:
            if sys.modules.get(each.__name__) is each:
                del sys.modules[each.__name__]
                sys.modules.update({each.__name__: before} if before else {})


def _adopt(package: ModuleType) -> None:
    """The modules below it that were imported while a stand-in was in its place: Python gave them to that one."""
    for name, module in list(sys.modules.items()):
        parent, _, own = name.rpartition(".")
        if parent == package.__name__ and own not in vars(package):
            setattr(package, own, module)


def _found(name: str) -> ModuleSpec | None:
    parent = name.rpartition(".")[0]
    return PathFinder.find_spec(name, importlib.import_module(parent).__path__ if parent else None)


class _StandIn(ModuleType):
    """Gives what the real module has. The modules below a package are real, as they need not have it."""

    def __init__(self, name: str, objects: Objects, spec: ModuleSpec) -> None:
        super().__init__(name)
        if spec.submodule_search_locations is not None:
            self.__path__ = list(spec.submodule_search_locations)
        self.__dict__.update({taken: _Later(name, taken) for taken in objects})

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("__") and attribute != "__version__":  # which the import system asks for
            raise AttributeError(attribute)
        if isinstance(sys.modules.get(self.__name__), _StandIn):
            del sys.modules[self.__name__]
        return getattr(importlib.import_module(self.__name__), attribute)


class _Later:
    """A function of a module, or an object with methods: looked up when it is called, or asked for an attribute."""

    def __init__(self, module: str, name: str) -> None:
        self._place = module, name

    def _real(self) -> Any:
        module, name = self._place
        return getattr(importlib.import_module(module), name)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._real()(*arguments, **named)

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "_place":  # of a copy that is being made
            raise AttributeError(attribute)
        return getattr(self._real(), attribute)
