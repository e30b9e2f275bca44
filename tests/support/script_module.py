"""A Python file that is no module of a package: scripts that are copied into images."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from platform_under_test import ROOT


def script(path: str) -> ModuleType:
    """The file of the repository as a module; it is not run."""
    spec = importlib.util.spec_from_file_location(path.replace("/", "_").removesuffix(".py"), ROOT / path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
