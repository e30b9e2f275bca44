"""The keys that a part of a file may have, by the pydantic model that the file is read as."""

from __future__ import annotations

from collections.abc import Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel


def keys_at(kind: Any, location: Sequence[int | str]) -> set[str]:
    """Of the part at these keys and indexes; empty where it takes any, or none.

    Args:
        kind: what the whole is declared as.
    """
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return _of_model(kind, location)
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return keys_at(inner[0], location)
    if origin in (Union, UnionType):
        return {key for each in inner for key in keys_at(each, location)}
    return keys_at(inner[-1 if origin is dict else 0], location[1:]) if location and inner else set()


def _of_model(kind: type[BaseModel], location: Sequence[int | str]) -> set[str]:
    if not location:
        return set(kind.model_fields)
    field = kind.model_fields.get(str(location[0]))
    return keys_at(field.annotation, location[1:]) if field else set()
