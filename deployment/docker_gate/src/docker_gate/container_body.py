"""What a container may be: every field that has a rule, and no other.

The fields are those of https://docs.docker.com/reference/api/engine/version/v1.41/ (ContainerCreate). A field without
a rule must be empty, so that one which a later engine knows is refused until somebody has looked at it, and it is left
out of what is forwarded: to the engine an empty field can say something (`MaskedPaths: []` unmasks). The engine reads
names without regard to case, and the last one wins: a name that differs from one with a rule in case only is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from docker_gate.refusal import Refusal
from docker_gate.settings import GateSettings

TASK_LABEL = "io.twinserve.task"
OUR_LABELS = "io.twinserve."
DATA_ROOT = "/var/lib/twinserve"  # where the pipelines' images keep data
MOST_WORDS = 1000
MOST_PROCESSES = 4096
MOST_PROCESSORS = 1024
# given so or not given, they are so
FORCED: Mapping[str, Any] = {
    "CapDrop": ["ALL"],
    "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
    "ReadonlyRootfs": True,
    "SecurityOpt": ["no-new-privileges"],
    "Tmpfs": {"/tmp": ""},  # noqa: S108 - in the container
}
Rule = Callable[[Any], bool]


def checked(body: bytes, settings: GateSettings) -> tuple[dict[str, Any], bytes]:
    """A body of `POST /containers/create` and what to send to the engine: only what was understood, written anew.

    Raises:
        Refusal: names the field.
    """
    config = _parsed(body)
    host = config.get("HostConfig")
    if not isinstance(host, dict):
        raise Refusal("a container without HostConfig")
    config = _understood(config, _container_rules(settings), "")
    host = _understood(host, _host_rules(settings), "HostConfig.")
    config["HostConfig"] = {**host, **FORCED, "MemorySwap": host["Memory"]}
    return config, json.dumps(config).encode()


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        config = json.loads(body, parse_constant=_no_constant, object_pairs_hook=_object)
    except (ValueError, RecursionError):
        raise Refusal("a body that is no JSON object with distinct names") from None
    if not isinstance(config, dict):
        raise Refusal("a body that is no JSON object with distinct names")
    return config


def _no_constant(text: str) -> NoReturn:
    raise ValueError(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a name twice")
    return dict(pairs)


def _understood(values: Mapping[str, Any], rules: Mapping[str, Rule], where: str) -> dict[str, Any]:
    """Of these fields those that have a rule.

    Raises:
        Refusal: one breaks its rule; or has none and is not empty, or has the name of one that has, in another case.
    """
    # folds more than the engine does: the long s and the Kelvin sign in any case
    taken = {name.casefold() for name in rules}
    for name, value in values.items():
        if name not in rules and (name.casefold() in taken or not _is_empty(value)):
            raise _refusal(where, name, value)
    for name, rule in rules.items():
        if not rule(values.get(name)):
            raise _refusal(where, name, values.get(name))
    return {name: values[name] for name in rules if name in values}


def _refusal(where: str, name: str, value: Any) -> Refusal:
    return Refusal(f"{where}{name[:80]}={_shown(name, value)}")


def _shown(name: str, value: Any) -> str:
    return "…" if name.casefold() in {"env", "cmd"} else json.dumps(value)[:120]


def _container_rules(settings: GateSettings) -> dict[str, Rule]:
    image = re.escape(settings.images) + r"/[a-z0-9_]+:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
    return {
        "Image": _text(image),
        "Cmd": _is_words,
        "Env": lambda value: _is_empty(value) or _is_words(value),
        "Labels": _is_labels,
        # empty: the image's own, which is not root in ours
        "User": lambda value: _is_empty(value) or _text(r"[1-9][0-9]{0,8}(:[1-9][0-9]{0,8})?")(value),
        "AttachStdout": _is_flag,
        "AttachStderr": _is_flag,
        "HostConfig": lambda value: isinstance(value, dict),
    }


def _host_rules(settings: GateSettings) -> dict[str, Rule]:
    mount = {"Type": "volume", "Source": settings.volume, "Target": DATA_ROOT}
    return {
        "NetworkMode": lambda value: value == settings.network,
        "Mounts": lambda value: _is_empty(value) or (_is_list(value, 1) and _is_mount(value[0], mount)),
        "Memory": _number(1, settings.max_memory),
        # equal to Memory: no swap; it is set so in any case
        "MemorySwap": lambda value: _is_empty(value) or _number(1, settings.max_memory)(value),
        "NanoCpus": _number(0, MOST_PROCESSORS * 10**9, may_be_missing=True),
        "CpuShares": _number(0, 1 << 18, may_be_missing=True),
        "PidsLimit": _number(1, MOST_PROCESSES),
        "Init": _is_flag,
        **{name: _empty_or(value) for name, value in FORCED.items()},
    }


def _is_empty(value: Any) -> bool:
    # an object with a name in it says something even if that name has no value: {"some network": {}}
    return not value


def _is_flag(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _is_list(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST_WORDS and all(isinstance(word, str) for word in value)


def _is_labels(value: Any) -> bool:
    if not isinstance(value, dict) or not value.get(TASK_LABEL):
        return False
    return all(name.startswith(OUR_LABELS) and isinstance(text, str) for name, text in value.items())


def _is_mount(value: Any, allowed: Mapping[str, str]) -> bool:
    if not isinstance(value, dict) or not _is_flag(value.get("ReadOnly")):
        return False
    others = {name: inner for name, inner in value.items() if name not in {*allowed, "ReadOnly"}}
    return _is_empty(others) and all(value.get(name) == text for name, text in allowed.items())


def _text(pattern: str) -> Rule:
    return lambda value: isinstance(value, str) and bool(re.fullmatch(pattern, value, re.ASCII))


def _number(low: int, high: int, *, may_be_missing: bool = False) -> Rule:
    def rule(value: Any) -> bool:
        if value is None:
            return may_be_missing
        return type(value) is int and low <= value <= high  # a bool is an int too

    return rule


def _empty_or(forced: Any) -> Rule:
    return lambda value: _is_empty(value) or value == forced
