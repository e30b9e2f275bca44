"""Which calls of the Docker API there are; all others are refused.

A path is taken as it was sent: what needs decoding or normalising (`%2e`, `..`, `//`) fits no pattern. What is
forwarded is built anew from the parts that were recognised.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from docker_gate.refusal import Refusal

# older versions take settings of the host with `start`, and know other fields
VERSION = r"/v1\.(?P<minor>4[0-9]|[5-9][0-9])"
CONTAINER = r"/containers/(?P<container>[A-Za-z0-9][A-Za-z0-9_.-]{0,254})"
FLAG = r"(?i:0|1|true|false)?"
NO = r"(?i:0|false)?"
MOST_PARAMETERS = 20


@dataclass(frozen=True)
class Kind:
    """One kind of call.

    Args:
        name: for the log.
        methods: separated by `|`.
        path: pattern of all of it.
        parameters: pattern of the value of each parameter that it may have.
        upgrades: whether the answer may become a stream of its own.
        silent: parameters that clients send and that are left out.
    """

    name: str
    methods: str
    path: str
    parameters: Mapping[str, str]
    upgrades: bool = False
    silent: tuple[str, ...] = ()


ATTACH = {"logs": FLAG, "stdout": FLAG, "stderr": FLAG, "stream": FLAG}
CREATE, LIST, PING = "create", "list", "ping"
KINDS = (
    Kind(PING, "GET|HEAD", f"({VERSION})?/_ping", {}),
    Kind("version", "GET", f"({VERSION})?/version", {}),
    Kind(LIST, "GET", f"{VERSION}/containers/json", {"all": FLAG}, silent=("filters", "limit", "size", "trunc_cmd")),
    # a prefix of its own: a container's name is a name in the network, and must not pass for a server's
    Kind(CREATE, "POST", f"{VERSION}/containers/create", {"name": r"task-[A-Za-z0-9_.-]{1,200}"}),
    Kind("inspect", "GET", f"{VERSION}{CONTAINER}/json", {}),
    Kind("attach", "POST", f"{VERSION}{CONTAINER}/attach", ATTACH, upgrades=True),
    Kind("start", "POST", f"{VERSION}{CONTAINER}/start", {}),
    Kind("wait", "POST", f"{VERSION}{CONTAINER}/wait", {"condition": r"(not-running|next-exit|removed)?"}),
    Kind("stop", "POST", f"{VERSION}{CONTAINER}/stop", {"t": r"[0-9]{1,2}"}),
    Kind("remove", "DELETE", f"{VERSION}{CONTAINER}", {"v": FLAG, "force": FLAG, "link": NO}),
)


@dataclass(frozen=True)
class Call:
    """A call that was recognised.

    Args:
        kind: which.
        method: as sent.
        version: path in front of all others, for example `/v1.41`, or nothing.
        container: name or id, or nothing.
        parameters: those that are forwarded.
    """

    kind: Kind
    method: str
    version: str
    container: str
    parameters: Mapping[str, str]

    def target(self, container_id: str) -> str:
        """What to ask the engine for, by the container's id and not by what the caller called it."""
        path = {
            PING: "/_ping", "version": "/version", LIST: "/containers/json", CREATE: "/containers/create",
            "inspect": f"/containers/{container_id}/json", "remove": f"/containers/{container_id}",
        }.get(self.kind.name, f"/containers/{container_id}/{self.kind.name}")  # fmt: skip
        return f"{self.version}{path}" + (f"?{urlencode(self.parameters)}" if self.parameters else "")


def recognised(method: str, target: str) -> Call:
    """The call that a request is.

    Raises:
        Refusal: it is none of those that there are.
    """
    path, _, query = target.partition("?")
    for kind in KINDS:
        found = re.fullmatch(kind.path, path, re.ASCII)
        if found and method in kind.methods.split("|"):
            parts = found.groupdict()
            version = f"/v1.{parts['minor']}" if parts["minor"] else ""
            return Call(kind, method, version, parts.get("container") or "", _parameters(kind, query))
    raise Refusal(f"{method} {path[:200]} is not among the calls that tasks need")


def _parameters(kind: Kind, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=MOST_PARAMETERS)
    except ValueError:
        if query:
            raise Refusal(f"the query of {kind.name} can't be read") from None
        pairs = []
    pairs = [(name, value) for name, value in pairs if name not in kind.silent]
    for name, value in pairs:
        if name not in kind.parameters:
            raise Refusal(f"{kind.name} with parameter {name!r}")
        if not re.fullmatch(kind.parameters[name], value, re.ASCII):
            raise Refusal(f"{kind.name} with {name}={value!r}")
    if len(dict(pairs)) < len(pairs):
        raise Refusal(f"{kind.name} with a parameter given twice")
    return dict(pairs)
