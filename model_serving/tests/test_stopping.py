"""A supervisor that hangs: BentoML's own can't be made to, so another stands in its place here."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from waiting import until

from model_serving.online.process import stopping
from model_serving.online.process.stop_signals import StopSignals
from model_serving.online.process.stopping import serve_until_stopped
from model_serving.online.process.supervisor import Supervisor
from twinserve.errors import TransientError


class Hanging:
    """In the form of what BentoML gives: an arbiter with one worker, a process; its thread ends after `let_go`."""

    def __init__(self, worker: subprocess.Popen[bytes], let_go: threading.Event) -> None:
        self.told = threading.Event()
        self.arbiter = SimpleNamespace(
            _thread=threading.Thread(target=let_go.wait, daemon=True),
            _stopping=False,
            loop=SimpleNamespace(add_callback=lambda _: self.told.set()),
            watchers=[SimpleNamespace(processes={worker.pid: worker})],
        )
        self.arbiter._thread.start()


@pytest.fixture
def worker() -> Iterator[subprocess.Popen[bytes]]:
    """A process that only a signal ends."""
    with subprocess.Popen(["sleep", "1000"]) as process:
        yield process
        process.kill()


@pytest.fixture
def let_go() -> Iterator[threading.Event]:
    """Lets the supervisor's stop return, at the end of the test at the latest."""
    event = threading.Event()
    yield event
    event.set()


def stop(server: Hanging, *, again: bool = False) -> None:
    """Serve with it and say SIGTERM; `again` while it stops."""
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        if again:
            second = threading.Timer(0.4, os.kill, (os.getpid(), signal.SIGTERM))
            second.start()
        serve_until_stopped(Supervisor(server), signals, 0)


def test_one_that_never_ends_is_left_with_an_error(
    worker: subprocess.Popen[bytes],
    let_go: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(stopping, "STOP_SECONDS", 0)
    monkeypatch.setattr(stopping, "MARGIN_SECONDS", 0.2)
    monkeypatch.setattr(stopping, "KILL_SECONDS", 1.2)
    server = Hanging(worker, let_go)
    with caplog.at_level(logging.WARNING), pytest.raises(TransientError, match="does not end"):
        stop(server)
    assert server.told.is_set()
    assert worker.wait(timeout=10) == -signal.SIGKILL
    assert [record.message for record in caplog.records] == ["ending the workers at once"]
    left = [thread for thread in threading.enumerate() if thread.name == "stopping"]
    assert all(thread.daemon for thread in left), "the interpreter would wait for it"


def test_one_that_ends_once_its_workers_are_dead_is_no_error(
    worker: subprocess.Popen[bytes], let_go: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    def end_after_worker() -> None:
        worker.wait()
        let_go.set()

    threading.Thread(target=end_after_worker, daemon=True).start()
    with caplog.at_level(logging.WARNING):
        stop(Hanging(worker, let_go), again=True)
    assert worker.wait(timeout=10) == -signal.SIGKILL
    assert [record.message for record in caplog.records] == ["ending the workers at once"]


def test_a_supervisor_that_is_busy_is_told_again() -> None:
    """BentoML's own, really: it refuses to stop while it does something else, and the refusal must not be the end."""
    from bentoml._internal.utils.circus import Server, create_standalone_arbiter

    arbiter = create_standalone_arbiter([], threaded=True, check_delay=-1)
    arbiter.ctrl.sys_hdl.stop()  # it has taken the signals of this process
    arbiter.start()
    until("it runs", lambda: arbiter.running and arbiter._exclusive_running_command is None)
    arbiter._exclusive_running_command = "manage_watchers"
    supervisor = Supervisor(Server(url="", arbiter=arbiter))
    stopping = threading.Thread(target=supervisor.stop, daemon=True)
    stopping.start()
    stopping.join(0.5)
    assert stopping.is_alive()
    arbiter._exclusive_running_command = None
    stopping.join(30)
    assert not supervisor.is_running()
