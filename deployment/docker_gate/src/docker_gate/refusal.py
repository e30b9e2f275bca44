"""A call that is not let through."""

from __future__ import annotations

import json
from http import HTTPStatus

LONGEST_MESSAGE = 500


class Refusal(Exception):
    """What is refused and why.

    Args:
        message: for the caller.
        status: of the answer.
    """

    def __init__(self, message: str, status: int = HTTPStatus.FORBIDDEN) -> None:
        self.message = message if len(message) <= LONGEST_MESSAGE else message[: LONGEST_MESSAGE - 1] + "…"
        self.status = int(status)
        super().__init__(self.message)

    def body(self) -> bytes:
        """The answer's body, as Docker's clients expect it."""
        return json.dumps({"message": f"docker-gate: {self.message}"}).encode()
