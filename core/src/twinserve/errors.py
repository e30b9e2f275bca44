"""Every way a command can fail, and the exit code that tells a scheduler whether to try again.

TwinserveError
├── PermanentError      the same call will fail again: fix the input, the configuration or the order of steps
│   ├── BadInput            a file, row or argument that the user gave
│   ├── StepMissing         a step was run before the one that it needs
│   └── ContractMismatch    a model and its features do not fit together
└── TransientError      a server or a disk is not there just now: the same call may succeed later
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import IntEnum

_LOGIN = re.compile(r"(?<=://)[^\s/]+@")  # user and password of a URL, wherever a library quotes one


class ExitCode(IntEnum):
    """Exit codes of every console script; the first three are what `pipeline_task` acts on."""

    OK = 0
    PERMANENT = 65  # sysexits.h EX_DATAERR: do not retry
    TRANSIENT = 75  # sysexits.h EX_TEMPFAIL: retry
    USAGE = 2  # a wrong command line, as click reports it: do not retry
    BUG = 70  # sysexits.h EX_SOFTWARE: an exception nobody expected
    INTERRUPTED = 130  # Ctrl-C; 128 + the signal's number, as a shell has it
    TERMINATED = 143  # SIGTERM


class TwinserveError(Exception):
    """What happened, to what, and what to do about it, on one line.

    Args:
        what: what is wrong and where; bounded to `MAX_LENGTH` characters.
        fix: what the reader should do next.
    """

    exit_code = ExitCode.PERMANENT
    MAX_LENGTH = 2_000

    def __init__(self, what: str, *, fix: str = "") -> None:
        self.what = _bounded(what, self.MAX_LENGTH)
        self.fix = fix
        super().__init__(f"{self.what}. {fix}" if fix else self.what)

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.what, self.fix))


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The question, in parentheses, where one of `names` is near to what was written; else nothing."""
    from difflib import get_close_matches

    near = get_close_matches(name, sorted(names), n=1, cutoff=0.7)
    return f" (did you mean {near[0]}?)" if near else ""


def _rebuild(kind: type[TwinserveError], what: str, fix: str) -> TwinserveError:
    return kind(what, fix=fix)


def _bounded(text: str, limit: int) -> str:
    flat = _LOGIN.sub("***@", " ".join(text.split()))
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


class PermanentError(TwinserveError):
    """Trying again will not help."""


class BadInput(PermanentError):
    """A file, row or argument given by the user can't be used."""


class StepMissing(PermanentError):
    """A step was run before the one that it needs; `fix` names the command to run first."""


class ContractMismatch(PermanentError):
    """A registered model does not fit the features, or does not reproduce its own golden rows."""


class TransientError(TwinserveError):
    """The same call may succeed later."""

    exit_code = ExitCode.TRANSIENT
