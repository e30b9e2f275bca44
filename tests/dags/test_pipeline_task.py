"""`pipeline_task` against real processes, in real runs of a real Airflow."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import psutil
import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from command_line import given, without_passwords
from command_outcome import outcome
from command_process import CommandProcess
from local_command import LocalCommand, command_environment
from one_task_dag import result, run

from pipeline_task import pipeline_task

Script = Callable[[str, str], None]
SHOW_ARGUMENTS = """printf '{"arguments": "%s", "count": %d}\\n' "$*" $#"""


def test_the_last_line_becomes_the_xcom(script: Script) -> None:
    script("tool", """echo working; echo progress >&2; echo '{"rows": 3, "path": "x"}'""")
    instance = run({})
    assert (instance.state, result(instance)) == ("success", {"rows": 3, "path": "x"})


def test_templates_are_filled_in_and_empty_options_are_left_out(script: Script) -> None:
    script("tool", SHOW_ARGUMENTS)
    instance = run(
        {"--key": "{{ params.value }}", "--empty": "", "--none": "{{ '' if params.value else 'x' }}"}, {"value": "a b"}
    )
    assert result(instance) == {"arguments": "go --key=a b", "count": 2}


def test_no_shell_reads_a_parameter(script: Script, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.touch()
    script("tool", SHOW_ARGUMENTS)
    value = f"x; rm -rf {precious}; $(rm {precious}) `rm {precious}` --force"
    assert result(run({"--key": "{{ params.value }}"}, {"value": value})) == {
        "arguments": f"go --key={value}",
        "count": 2,
    }
    assert precious.exists()


@pytest.mark.parametrize("code", [65, 2, 70])
def test_a_permanent_failure_is_not_tried_again(script: Script, tmp_path: Path, code: int) -> None:
    tries = tmp_path / "tries"
    script("tool", f"echo x >> {tries}; echo 'BadInput: rows.csv has no column id' >&2; exit {code}")
    assert run({}, retries="2").state == "failed"
    assert tries.read_text() == "x\n"


@pytest.mark.parametrize("code", [75, 1, 143])
def test_another_failure_is_tried_again(script: Script, tmp_path: Path, code: int) -> None:
    tries = tmp_path / "tries"
    script("tool", f"""echo x >> {tries}; [ $(wc -l < {tries}) = 2 ] || exit {code}; echo '{{"ok": true}}'""")
    instance = run({}, retries="2")
    assert (instance.state, result(instance), tries.read_text()) == ("success", {"ok": True}, "x\nx\n")


def test_a_command_that_takes_too_long_is_stopped(script: Script, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    script("tool", f"sleep 600 & echo $! $$ > {pids}; wait")
    assert run({}, retries="0", timeout="timedelta(seconds=1)").state == "failed"
    assert all_end(pids.read_text().split())


def test_stopping_takes_the_whole_process_group(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    stubborn = f"trap '' TERM; (sleep 600) & echo $! $$ > {pids}; sleep 600; sleep 600"
    process = CommandProcess(["/bin/sh", "-c", stubborn], os.environ, lambda *_: None)
    runner = Thread(target=process.run)
    runner.start()
    found = await_pids(pids)
    process.stop(grace=0.2)
    runner.join(timeout=10)
    assert not runner.is_alive()
    assert all_end(found)


def test_a_stop_before_the_command_began_is_not_lost(script: Script) -> None:
    process = CommandProcess(["/bin/sleep", "20"], os.environ, lambda *_: None)
    process.stop()
    assert process.run() == -signal.SIGTERM
    script("tool", "sleep 20; echo '{}'")
    command = LocalCommand(task_id="t", command=["tool"], options={})
    command.on_kill()
    with pytest.raises(AirflowException, match="signal 15"):
        command.execute({})


def test_stopping_what_has_ended_does_nothing() -> None:
    process = CommandProcess(["/bin/true"], os.environ, lambda *_: None)
    assert process.run() == 0
    process.stop()


def all_end(pids: list[str]) -> bool:
    """Whether all are gone within five seconds: a SIGKILL takes a moment."""
    for _ in range(500):
        if not any(lives(int(pid)) for pid in pids):
            return True
        time.sleep(0.01)
    return False


def await_pids(file: Path) -> list[str]:
    """The two ids that the command writes down."""
    for _ in range(500):
        if file.exists() and len(found := file.read_text().split()) == 2:
            return found
        time.sleep(0.01)
    raise AssertionError(f"nothing in {file}")


def lives(pid: int) -> bool:
    """Whether a process runs; one that only waits to be collected doesn't."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("line", ["", "done", "[1]", "{", "null"])
def test_a_command_must_end_with_one_json_object(line: str) -> None:
    with pytest.raises(AirflowFailException, match="did not end with one JSON object"):
        outcome("tool go", 0, line, "")


def test_the_message_carries_the_commands_own_error_line() -> None:
    with pytest.raises(AirflowFailException, match=r"tool go failed for good .*65.*: BadInput: no column id"):
        outcome("tool go", 65, "", "BadInput: no column id")
    with pytest.raises(AirflowException, match="was ended by signal 9"):
        outcome("tool go", -9, "", "")


@pytest.mark.parametrize(("venv", "message"), [("", "TWINSERVE_VENV is not set"), ("/nowhere", "make setup")])
def test_a_missing_command_says_what_to_do(monkeypatch: pytest.MonkeyPatch, venv: str, message: str) -> None:
    monkeypatch.setenv("TWINSERVE_VENV", venv)
    with pytest.raises(AirflowFailException, match=message):
        LocalCommand(task_id="task", command=["tool"], options={}).execute.__wrapped__(  # type: ignore[attr-defined]
            LocalCommand(task_id="task", command=["tool"], options={}), {}
        )


def test_only_known_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSERVE_TASK_RUNTIME", "spark")
    with pytest.raises(ValueError, match=r"TWINSERVE_TASK_RUNTIME='spark' is not supported. Set one of: docker, local"):
        pipeline_task("task", ["tool"])


def test_zero_is_a_value_and_a_value_cannot_pass_for_an_option() -> None:
    assert given({"--hours": 0, "--source": "--help", "--none": None, "--blank": " "}) == [
        "--hours=0",
        "--source=--help",
    ]


def test_a_command_does_not_get_airflows_secrets() -> None:
    seen = command_environment({"AIRFLOW__CORE__FERNET_KEY": "x", "_AIRFLOW_PROCESS_CONTEXT": "y", "PATH": "/bin"})
    assert seen == {"PATH": "/bin", "TWINSERVE_LOG_FORMAT": "text", "PYTHONUNBUFFERED": "1"}


def test_passwords_are_not_logged() -> None:
    assert without_passwords("--source=postgresql://me:s3cret@host/db") == "--source=postgresql://***@host/db"
