"""What stops a command, said to the person who called it."""

from __future__ import annotations


class Problem(Exception):
    """Something that the caller can put right.

    Args:
        what: what is wrong, and where.
        fix: what to do about it.
    """

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(f"{what}. {fix}")
