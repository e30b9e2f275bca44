"""How much a body holds, told before anything of it is built: what is built is what takes the time."""

from __future__ import annotations

from typing import NoReturn

from model_serving.online.inference.refusals import Refusal

MARKS = b",[{"  # a document has fewer values than these and one


def refuse_swollen(body: bytes, most_marks: int) -> None:
    """Let pass what has no more commas and opening brackets than `most_marks`, those in texts apart.

    Raises:
        Refusal: `too_many_candidates`; `not_json` where that can be told as cheaply.
    """
    if len(body) > most_marks and _marks(body) > most_marks:
        outside = _outside_texts(body)
        if _marks(outside) > most_marks:
            _refuse(outside)


def _marks(text: bytes) -> int:
    return len(text) - len(text.translate(None, MARKS))


def _outside_texts(body: bytes) -> bytes:
    """The body without its texts; of a body that is no JSON, something."""
    if b"\\" in body:  # stands in texts only
        body = body.replace(rb"\\", b"").replace(rb"\"", b"")
    return b"".join(body.split(b'"')[::2])


def _refuse(outside: bytes) -> NoReturn:
    if any(outside.count(opening) != outside.count(closing) for opening, closing in (b"[]", b"{}")):
        raise Refusal("not_json", "the body is no JSON: its brackets don't match")
    raise Refusal("too_many_candidates", "the body has more values than a list of candidates may have")
