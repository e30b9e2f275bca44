"""Who hears of a failure: the task's log, and Alertmanager where there is one."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from alert_receiver import AlertReceiver, alert_receiver
from one_task_dag import run

from failure_notice import URL_SETTING, error_line, run_timed_out, task_failed, task_succeeded

Script = Callable[[str, str], None]


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[AlertReceiver]:
    with alert_receiver() as server:
        monkeypatch.setenv(URL_SETTING, f"{server.url}/")
        yield server


def context(**more: Any) -> Any:
    """What Airflow hands a callback."""
    return {"dag": SimpleNamespace(dag_id="a"), "ti": SimpleNamespace(task_id="b"), "run_id": "r1"} | more


def test_a_task_that_failed_for_good_is_reported(script: Script, receiver: AlertReceiver) -> None:
    script("tool", "echo 'BadInput: postgresql://me:s3cret@host/db has no table x' >&2; exit 65")
    instance = run({})
    ((path, (alert,)),) = receiver.posted
    assert path == "/api/v2/alerts"
    labels = {"alertname": "DagFailed", "severity": "critical", "dag_id": instance.dag_id, "task_id": "task"}
    assert alert["labels"] == labels
    told = alert["annotations"]
    assert told["runbook"] == "docs/runbooks/dag-failed.md"
    assert told["run"] == instance.run_id
    assert "tool go failed for good (permanent error, exit code 65): BadInput: postgresql://***@host" in told["summary"]
    assert "s3cret" not in str(alert)
    assert "\n" not in told["summary"]
    starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
    assert ends - starts == timedelta(days=7)


def test_a_try_that_failed_is_not_reported_and_success_resolves(
    script: Script, receiver: AlertReceiver, tmp_path: Any
) -> None:
    tries = tmp_path / "tries"
    script("tool", f"""echo x >> {tries}; [ $(wc -l < {tries}) = 2 ] || exit 75; echo '{{}}'""")
    assert run({}, retries="1").state == "success"
    (alert,) = receiver.alerts
    assert alert["startsAt"] == alert["endsAt"] <= datetime.now(UTC).isoformat()
    assert alert["annotations"] == {}


def test_the_alert_of_a_failure_and_its_end_have_the_same_labels(receiver: AlertReceiver) -> None:
    task_failed(context(exception=ValueError("x")))
    task_succeeded(context(run_id="another run"))
    failed, resolved = receiver.alerts
    assert failed["labels"] == resolved["labels"]
    assert resolved["endsAt"] < failed["endsAt"]


def test_a_run_that_took_too_long_is_reported_and_other_ends_of_a_run_are_not(receiver: AlertReceiver) -> None:
    run_timed_out(context(reason="task_failure"))
    assert receiver.posted == []
    run_timed_out(context(reason="timed_out"))
    run_timed_out(context(reason="timed_out", ti=None))
    assert [alert["labels"]["task_id"] for alert in receiver.alerts] == ["b", ""]
    assert "longer than the time limit" in receiver.alerts[0]["annotations"]["summary"]


@pytest.mark.parametrize("status", [302, 400, 500])
def test_what_alertmanager_answers_changes_nothing(
    script: Script, receiver: AlertReceiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    receiver.status = status
    task_failed(context(exception=ValueError("x")))
    assert "did not reach" in caplog.text
    assert [path for path, _ in receiver.posted] == ["/api/v2/alerts"]  # nor was it sent elsewhere
    script("tool", "echo '{}'")
    assert run({}).state == "success"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "file:///etc/passwd", "no url", "http://[", "http://nowhere.invalid"]
)
def test_an_alertmanager_that_is_not_there_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, url: str
) -> None:
    monkeypatch.setenv(URL_SETTING, url)
    task_failed(context(exception=ValueError("x")))
    assert "did not reach" in caplog.text


def test_an_alertmanager_that_says_nothing_is_not_waited_for_long(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("failure_notice.TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(URL_SETTING, f"http://127.0.0.1:{silent.getsockname()[1]}")
        task_succeeded(context())
    assert "timed out" in caplog.text


def test_without_an_alertmanager_the_log_has_one_line(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(URL_SETTING, raising=False)
    task_failed(context(exception=ValueError("no column id")))
    task_succeeded(context())
    assert caplog.messages == ["a.b failed in run r1: no column id. See docs/runbooks/dag-failed.md"]


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError(""), "ValueError"),
        (None, "no error is known"),
        (ValueError("x" * 1000), "x" * 300),
        (ValueError("redis://:pass@host/0 is gone."), "redis://***@host/0 is gone"),
    ],
)
def test_what_is_shown_of_an_error(error: Exception | None, line: str) -> None:
    assert error_line(error) == line
