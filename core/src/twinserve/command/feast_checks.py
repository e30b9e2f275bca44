"""Feast's checks of arguments, made when it is called instead of compiled when it is imported.

Feast has typeguard rewrite and compile the source of its classes at every import, which is two thirds of the time that
an import takes (Feast 0.67, typeguard 4.6). What a feature repo calls typeguard checks here all the same; calls of
Feast inside itself go unchecked.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from functools import cache, wraps
from types import FunctionType, ModuleType
from typing import Any

_NAME = "typeguard"
# what definitions call: a class itself, a view's features in brackets, and a view by another name
_CALLED = ("__init__", "__getitem__", "with_name", "with_join_key_map")


def check_when_called() -> None:
    """For a Feast that is imported later; nothing happens where typeguard is imported already."""
    if _NAME not in sys.modules:
        sys.modules[_NAME] = _StandIn(_NAME, "typeguard, imported as soon as something is asked of it")


class _StandIn(ModuleType):
    """Has a `typechecked` of ours; all else is typeguard's own."""

    __path__: list[str] = []  # noqa: RUF012 - so that modules below it are looked for, and found by the real one

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # which the import system asks for
            raise AttributeError(name)
        return typechecked if name == "typechecked" else getattr(_typeguard()[0], name)


@cache
def _typeguard() -> tuple[ModuleType, Callable[..., Any]]:
    """The real one, in its place from now on with our decorator, and its own decorator."""
    sys.modules.pop(_NAME, None)
    import typeguard

    own, typeguard.typechecked = typeguard.typechecked, typechecked
    return typeguard, own


def typechecked(target: Any = None, **options: Any) -> Any:
    """In place of typeguard's decorator: of a class of Feast's, the methods that definitions call check their arguments
    when they are called; all else is left to typeguard."""
    if not isinstance(target, type) or target.__module__.partition(".")[0] != "feast":
        _, own = _typeguard()
        return own(**options) if target is None else own(target, **options)
    for name in _CALLED:
        if isinstance(method := target.__dict__.get(name), FunctionType):
            setattr(target, name, _checked(method))
    return target


def _checked(method: FunctionType) -> Callable[..., Any]:
    @wraps(method)
    def call(*arguments: Any, **named: Any) -> Any:
        _check(method, arguments, named)
        return method(*arguments, **named)

    return call


def _check(method: FunctionType, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    """As typeguard does: what does not fit the signature is left to the call itself."""
    signature, hints = _signature(method)
    try:
        bound = signature.bind(*arguments, **named)
    except TypeError:
        return
    for name, value in bound.arguments.items():
        if name not in hints:
            continue
        kind = signature.parameters[name].kind
        values = value if kind is inspect.Parameter.VAR_POSITIONAL else [value]
        values = value.values() if kind is inspect.Parameter.VAR_KEYWORD else values
        for each in values:
            _check_one(name, each, hints[name])


def _check_one(name: str, value: Any, expected: Any) -> None:
    if expected is Any or (isinstance(expected, type) and type(value) is expected):
        return
    guard, _ = _typeguard()
    try:
        guard.check_type(value, expected)
    except guard.TypeCheckError as error:
        error.append_path_element(f'argument "{name}"')
        raise


@cache
def _signature(method: FunctionType) -> tuple[inspect.Signature, dict[str, Any]]:
    return inspect.signature(method), typing.get_type_hints(method)
