"""What goes wrong with every request is said once in a while."""

from __future__ import annotations

import logging

import pytest

from model_serving.online.telemetry.rate_limited_log import MOST_KINDS, RateLimitedLog

logger = logging.getLogger("a part of the service")


def test_a_thousand_faults_are_one_line(caplog: pytest.LogCaptureFixture) -> None:
    faults = RateLimitedLog(logger)
    for number in range(1000):
        faults.say(logging.ERROR, "it failed: %s", ValueError(f"number {number}"))
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [("ERROR", "it failed: number 0")]
    assert caplog.records[0].exc_info is None


def test_it_is_said_again_later(caplog: pytest.LogCaptureFixture) -> None:
    moments = [100.0, 109.0, 111.0, 112.0]
    faults = RateLimitedLog(logger, iter(moments).__next__)
    for _ in moments:
        faults.say(logging.WARNING, "away: %s", ConnectionError())
    assert [record.getMessage() for record in caplog.records] == [
        "away: ConnectionError",
        "away: ConnectionError (1 more like it since the last line)",
    ]


def test_a_fault_nobody_thought_of_carries_its_trace(caplog: pytest.LogCaptureFixture) -> None:
    RateLimitedLog(logger).say(logging.ERROR, "it failed: %s", ZeroDivisionError("by nothing"), trace=True)
    assert caplog.records[0].exc_info is not None
    assert caplog.records[0].exc_info[0] is ZeroDivisionError


def test_a_frequent_fault_hides_no_rare_one(caplog: pytest.LogCaptureFixture) -> None:
    faults = RateLimitedLog(logger)
    for _ in range(1000):
        faults.say(logging.WARNING, "away: %s", ConnectionError())
    faults.say(logging.ERROR, "it failed: %s", ZeroDivisionError("by nothing"), trace=True)
    assert [record.getMessage() for record in caplog.records] == ["away: ConnectionError", "it failed: by nothing"]
    assert caplog.records[1].exc_info is not None


def test_so_many_kinds_are_told_apart_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    faults = RateLimitedLog(logger)
    for number in range(3 * MOST_KINDS):
        faults.say(logging.ERROR, "it failed: %s", type(f"Fault{number}", (Exception,), {})())
    assert len(caplog.records) == MOST_KINDS + 1
