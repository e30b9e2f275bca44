"""The YAML files that a person writes, read as version 1.2; what 1.1 would read otherwise is refused or said."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from twinserve.errors import BadInput, did_you_mean
from twinserve.files.pydantic_keys import keys_at
from twinserve.files.yaml_scalars import Reading, differing

logger = logging.getLogger(__name__)
AnyModel = TypeVar("AnyModel", bound=BaseModel)


@dataclass(frozen=True)
class YamlFile:
    """One document, and where each part of it stands.

    Attributes:
        content: mappings, lists, texts, numbers, booleans, nulls and times.
        root: the tree that it was made of; None if the file is empty.
        otherwise: each word or number that YAML 1.1 reads otherwise, told with its place.
    """

    file: Path
    content: Any
    root: Any
    otherwise: tuple[str, ...] = ()

    def place(self, location: Sequence[int | str]) -> str:
        """Where the part at these keys and indexes stands, or the innermost part around it that is in the file."""
        node, mark = self.root, getattr(self.root, "start_mark", None)
        for part in location:
            found = _child(node, part)
            if found is None:
                break
            node, mark = found
        return _at(mark)

    def part(self, location: Sequence[int | str]) -> tuple[int | str, ...]:
        """The keys and indexes that are in the file: between them pydantic names which of several kinds it tried."""
        node, there = self.root, []
        for part in location:
            if found := _child(node, part):
                node, _ = found
                there.append(part)
        return tuple(there)


def read_yaml(file: Path, *, older_too: bool = False) -> YamlFile:
    """Read a file whole; a word or number that YAML 1.1 reads otherwise is said in the log, once by each process.

    Args:
        older_too: other programs read the file as 1.1 (Feast's do): what the versions read differently is refused.

    Raises:
        BadInput: no UTF-8, no YAML, a key twice in one mapping, several documents, or a number that readers of YAML do
            not agree on (`010`, `12:30`, `1_000`); names file, line and column.
    """
    document = _read(file, older_too=older_too)
    for told in document.otherwise:
        _say(told)
    return document


@cache
def _say(told: str) -> None:
    logger.warning("%s", told)


def _read(file: Path, *, older_too: bool) -> YamlFile:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        text = file.read_text(encoding="utf-8-sig")
        root = YAML(typ="safe", pure=True).compose(text)
        otherwise = tuple(_settle(file, root, older_too=older_too))
        return YamlFile(file, YAML(typ="safe", pure=True).load(text), root, otherwise)
    except MarkedYAMLError as error:
        where = _at(error.problem_mark or error.context_mark)
        raise BadInput(f"{file} is no YAML: {where}: {error.problem or error.context}", fix="Mend the file") from None
    except (YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise BadInput(f"{file} is no YAML: {str(error).splitlines()[0]}", fix="Mend the file") from None


def read_model(file: Path, model: type[AnyModel]) -> AnyModel:
    """Read a file as `model` declares it; what YAML 1.1 reads otherwise is said where the model becomes another by it.

    Raises:
        BadInput: as `read_yaml`; or a key that nothing reads, or a value that makes no sense. Names line and key.
    """
    document = _read(file, older_too=False)
    try:
        found = model.model_validate(document.content)
    except ValidationError as error:
        raise BadInput(f"{file}, {'; '.join(_problems(document, error, model))}", fix="Correct the file") from None
    if document.otherwise and found != _by_older_readers(file, model):
        for told in document.otherwise:
            _say(told)
    return found


def _problems(document: YamlFile, error: ValidationError, model: type[BaseModel]) -> Iterator[str]:
    """One for each part of the file. Of a part that may be of several kinds, pydantic names each kind by itself."""
    found: dict[tuple[int | str, ...], dict[str, None]] = {}
    for problem in error.errors():
        part = document.part(problem["loc"]) + (problem["loc"][-1:] if problem["type"] == "missing" else ())
        said = _no_such_key(model, part) if problem["type"] == "extra_forbidden" else problem["msg"]
        found.setdefault(part, {})[said] = None
    for part, reasons in found.items():
        if not any(other[: len(part)] == part != other for other in found):
            yield f"{document.place(part)}: {'.'.join(map(str, part)) or 'the file'}: {', or '.join(reasons)}"


def _no_such_key(model: type[BaseModel], part: Sequence[int | str]) -> str:
    there = keys_at(model, part[:-1])
    only = f", only {', '.join(sorted(there))}" if there else ""
    return f"there is no such key{did_you_mean(str(part[-1]), there)}{only}"


def _by_older_readers(file: Path, model: type[AnyModel]) -> AnyModel | None:
    """None where they read no such model."""
    import yaml

    try:
        return model.model_validate(yaml.safe_load(file.read_text(encoding="utf-8-sig")))
    except (yaml.YAMLError, ValueError):  # ValidationError is a ValueError
        return None


def _settle(file: Path, root: Any, *, older_too: bool) -> Iterator[str]:
    for node in _plain_scalars(root, set()):
        if reading := differing(node.value):
            where = f"{file}, {_at(node.start_mark)}"
            if older_too or reading.doubtful:
                raise BadInput(f"{where}: {reading.told()}", fix=_advice(reading))
            yield f"{where}: {reading.told()}"


def _advice(reading: Reading) -> str:
    if isinstance(reading.older, bool):
        return "Write true or false, or put the word in quotation marks"
    return "Write the number in plain digits, or put it in quotation marks if it is a text"


def _plain_scalars(node: Any, seen: set[int]) -> Iterator[Any]:
    """The scalars without quotation marks, keys among them; an anchor's only where it stands."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node.value, str):
        if not node.style:
            yield node
        return
    for part in node.value:
        for child in part if isinstance(part, tuple) else (part,):
            yield from _plain_scalars(child, seen)


def _child(node: Any, part: int | str) -> tuple[Any, Any] | None:
    """A part of a mapping or a list, and where it begins: with its key, where it has one."""
    if node is None or isinstance(node.value, str):
        return None
    if isinstance(part, int) and part < len(node.value) and not isinstance(node.value[part], tuple):
        return node.value[part], node.value[part].start_mark
    pairs = [pair for pair in node.value if isinstance(pair, tuple)]
    return next(((value, key.start_mark) for key, value in pairs if key.value == str(part)), None)


def _at(mark: Any) -> str:
    return "line 1, column 1" if mark is None else f"line {mark.line + 1}, column {mark.column + 1}"
