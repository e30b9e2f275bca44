"""Bytes that come in pieces, as lines of text."""

from __future__ import annotations

import codecs

LONGEST_LINE = 1 << 20  # characters; what is longer is cut there, so that memory stays bounded


class OutputLines:
    """Cuts one stream into lines; a character that was split between two pieces is put together again."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._begun = ""

    def feed(self, piece: bytes, *, end: bool = False) -> list[str]:
        """The lines that are complete with this piece, without empty ones.

        Args:
            end: nothing comes any more: the line begun is complete too.
        """
        *lines, self._begun = (self._begun + self._decoder.decode(piece, end)).split("\n")
        if end or len(self._begun) > LONGEST_LINE:
            lines.append(self._begun)
            self._begun = ""
        return [line.rstrip() for line in lines if line.strip()]
