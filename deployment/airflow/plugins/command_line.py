"""The words of a command, and how they are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any


def given(options: Mapping[str, Any]) -> list[str]:
    """`--name=value` for each option with a value; one word each, so that no value can pass for an option."""
    texts = {name: "" if value is None else str(value).strip() for name, value in options.items()}
    return [f"{name}={text}" for name, text in texts.items() if text]


def without_passwords(text: str) -> str:
    """`text` with the user and password of every URL in it masked."""
    return re.sub(r"(?<=//)[^/\s]*@", "***@", text)
