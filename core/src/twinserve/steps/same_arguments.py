"""What a run was begun with, held against what one of its steps was called with."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twinserve.errors import BadInput

LONGEST = 60  # characters of a value in a message
MOST = 8  # differences in a message
GONE = "nothing"


def refuse_others(run: str, before: Mapping[str, Any], now: Mapping[str, Any], fix: str) -> None:
    """Refuse to go on where a run would be mixed of two.

    Args:
        run: its name in the message: `run 'a'`.
        before: what it was begun with, in mappings and plain values. What is None or missing in one of the two at the
            top could not be told, or an earlier release did not note it: it is not compared.
        now: the same, as it is for this step.

    Raises:
        BadInput: they differ; names what, the value before and the value now.
    """
    known = [name for name in before if before[name] is not None and now.get(name) is not None]
    found = [each for name in known for each in _differences(name, before[name], now[name])]
    if found:
        more = f" and {len(found) - MOST} more" if len(found) > MOST else ""
        raise BadInput(f"{run} was begun with another {'; '.join(found[:MOST])}{more}", fix=fix)


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in {**before, **now}:
            yield from _differences(f"{name}.{key}", before.get(key, GONE), now.get(key, GONE))
    elif before != now:
        yield f"{name}: {_shown(before)} then, {_shown(now)} now"


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
