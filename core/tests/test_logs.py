"""Log lines, as text and as JSON."""

from __future__ import annotations

import json
import logging

import pytest

from twinserve.command.logs import JsonLines, TextLines


def record(message: str, **extra: object) -> logging.LogRecord:
    return logging.getLogger("a.part").makeRecord("a.part", logging.INFO, "f", 1, message, (), None, extra=extra)


@pytest.mark.parametrize(
    ("extra", "line"),
    [
        ({}, "INFO a.part: answered"),
        ({"answer": {"status": 200}, "rows": 3}, 'INFO a.part: answered {"answer": {"status": 200}, "rows": 3}'),
    ],
)
def test_text_has_what_extra_carried(extra: dict[str, object], line: str) -> None:
    assert TextLines().format(record("answered", **extra)) == line


def test_so_has_json() -> None:
    line = json.loads(JsonLines().format(record("answered", rows=3)))
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "INFO", "logger": "a.part", "message": "answered", "rows": 3}


def test_a_trace_comes_after_the_line() -> None:
    try:
        int("x")
    except ValueError as error:
        said = record("broken", rows=3)
        said.exc_info = (type(error), error, error.__traceback__)
    first, second, *_, last = TextLines().format(said).splitlines()
    assert (first, second) == ('INFO a.part: broken {"rows": 3}', "Traceback (most recent call last):")
    assert last.startswith("ValueError: invalid literal")
