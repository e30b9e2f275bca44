"""Exit codes and the last line, from the outside."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from twinserve.errors import ExitCode, PermanentError, TransientError, TwinserveError

PROGRAM = """
import time, typer
from twinserve.command.console import report, run_app
from twinserve.errors import BadInput, TransientError
app = typer.Typer()
@app.command()
def good(): print("noise"); report({"rows": 3})
@app.command()
def bad(): raise BadInput("no file x", fix="Give one")
@app.command()
def later(): raise TransientError("no server")
@app.command()
def bug(): raise KeyError("oops")
@app.command()
def slow():
    try:
        print("ready", flush=True); time.sleep(60)
    finally:
        time.sleep(0.5); print("cleaned up", flush=True)
@app.command()
def deaf(seconds: float):
    try:
        print("ready", flush=True); time.sleep(60)
    except BaseException:
        pass
    time.sleep(seconds)
    report({"rows": 1})
run_app(app)
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_the_last_line_is_the_result() -> None:
    done = run("good")
    assert done.returncode == ExitCode.OK
    assert json.loads(done.stdout.splitlines()[-1]) == {"rows": 3}


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("bad", ExitCode.PERMANENT, "BadInput: no file x. Give one"),
        ("later", ExitCode.TRANSIENT, "TransientError: no server"),
        ("no-such-command", ExitCode.USAGE, "No such command"),
    ],
)
def test_failures_are_one_line(command: str, code: int, says: str) -> None:
    done = run(command)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_bug_shows_its_trace() -> None:
    done = run("bug")
    assert done.returncode == ExitCode.BUG
    assert "KeyError" in done.stderr


def test_a_bad_setting_is_one_line() -> None:
    done = run("good", TWINSERVE_ONLINE_PORT="x")
    assert done.returncode == ExitCode.PERMANENT
    assert "TWINSERVE_ONLINE_PORT" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_home_that_can_not_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("good", TWINSERVE_HOME=str(tmp_path / "file" / "home"))
    assert done.returncode == ExitCode.PERMANENT
    assert "TWINSERVE_HOME" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, ExitCode.TERMINATED), (signal.SIGINT, ExitCode.INTERRUPTED)]
)
def test_signals_unwind(number: signal.Signals, code: int) -> None:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, "slow"], stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    rest, _ = process.communicate()
    assert rest == "cleaned up\n"
    assert process.returncode == code


@pytest.mark.parametrize("seconds", [60, 0])
def test_a_signal_that_somebody_swallows_ends_the_command_all_the_same(seconds: int) -> None:
    """At once, or, where the command ends before that, with the exit code that says so."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "deaf", str(seconds)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    rest, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (ExitCode.INTERRUPTED, "stopped by SIGINT\n")
    assert bool(rest) is not bool(seconds)


def test_errors_are_bounded_and_one_line() -> None:
    error = PermanentError("a\nb" * 5000, fix="Do this")
    assert "\n" not in str(error)
    assert len(error.what) == TwinserveError.MAX_LENGTH
    assert TransientError("x").exit_code == ExitCode.TRANSIENT


def test_help_needs_no_settings() -> None:
    done = run("good", "--help", TWINSERVE_ONLINE_PORT="x")
    assert done.returncode == ExitCode.OK
    assert "Usage" in done.stdout
