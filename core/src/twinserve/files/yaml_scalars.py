"""Plain scalars that readers of YAML do not agree on: versions 1.1 and 1.2, and libraries of the latter.

Sources: "10.3.2. Tag Resolution" of the YAML 1.2.2 specification, whose core schema this module has; PyYAML 6, which
reads 1.1; ruamel.yaml, which reads 1.2 and keeps some forms of 1.1 (`1_000`, `0b11`).
"""

from __future__ import annotations

import re
from datetime import date
from typing import Any, NamedTuple

_CORE = (
    (re.compile(r"null|Null|NULL|~|"), lambda _: None),
    (re.compile(r"true|True|TRUE|false|False|FALSE"), lambda text: text.lower() == "true"),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+"), lambda text: int(text, 0)),
    (re.compile(r"0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)
_MERGE = "<<"  # of 1.1, and kept by both libraries
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")


class Reading(NamedTuple):
    """One scalar, as both versions read it.

    Attributes:
        doubtful: no reader of YAML can be relied on to read it as a person meant it.
    """

    text: str
    older: Any
    newer: Any
    doubtful: bool

    def told(self) -> str:
        """What it is to whom."""
        return f"`{self.text}` is {self.newer!r} in YAML 1.2, and {self.older!r} in YAML 1.1"


def differing(text: str) -> Reading | None:
    """How a plain scalar is read where its readers differ; None where all agree."""
    if text == _MERGE:
        return None
    older, newer, core = _by_pyyaml(text), _by_ruamel(text), _by_core_schema(text)
    if isinstance(newer, date) and _same(older, newer):
        return None  # a text to the core schema; what takes a time reads either
    if not _same(newer, core):
        return Reading(text, older, core, doubtful=True)
    if _same(older, newer):
        return None
    word = isinstance(older, bool) and isinstance(newer, str)  # yes, no, on, off
    plain_number = isinstance(older, str) and not isinstance(newer, str) and not _LEADING_ZERO.match(text)  # 1e-1
    return Reading(text, older, newer, doubtful=not (word or plain_number))


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and repr(one) == repr(other)


def _by_core_schema(text: str) -> Any:
    for form, read in _CORE:
        if form.fullmatch(text):
            return read(text)
    return text


def _by_pyyaml(text: str) -> Any:
    import yaml

    loader = yaml.SafeLoader("")
    tag = loader.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    try:
        return loader.construct_object(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError) as error:
        return f"refused: {error}"


def _by_ruamel(text: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import ScalarNode

    reader = YAML(typ="safe", pure=True)
    tag = reader.resolver.resolve(ScalarNode, text, (True, False))
    try:
        return reader.constructor.construct_object(ScalarNode(tag, text))
    except (YAMLError, ValueError) as error:  # the 45th of a month
        return f"refused: {error}"
