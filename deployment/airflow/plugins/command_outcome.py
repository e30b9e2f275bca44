"""What a command's end means to Airflow: a result, a failure for good, or a failure worth a retry."""

from __future__ import annotations

import json
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

# as in twinserve.errors.ExitCode, which this environment does not have
PERMANENT = {65: "permanent error", 2: "wrong usage", 70: "unexpected error"}
SHOWN_CHARACTERS = 500


def outcome(command: str, code: int, last_output: str, last_error: str) -> dict[str, Any]:
    """The command's result.

    Args:
        command: its name, for messages.
        code: exit code; negative: the signal that ended it.
        last_output: last line of standard output.
        last_error: last line of standard error.

    Raises:
        AirflowFailException: exit code 65, 2 or 70, or no JSON object at the end.
        AirflowException: any other exit code.
    """
    if code == 0:
        return _result(command, last_output)
    said = last_error or last_output or "it said nothing"
    if code in PERMANENT:
        raise AirflowFailException(f"{command} failed for good ({PERMANENT[code]}, exit code {code}): {said}")
    ended = f"was ended by signal {-code}" if code < 0 else f"failed with exit code {code}"
    raise AirflowException(f"{command} {ended}: {said}")


def _result(command: str, line: str) -> dict[str, Any]:
    try:
        result = json.loads(line)
    except ValueError:
        result = None
    if not isinstance(result, dict):
        shown = repr(line[:SHOWN_CHARACTERS]) if line else "nothing"
        raise AirflowFailException(f"{command} exited with 0 but did not end with one JSON object: {shown}")
    return result
