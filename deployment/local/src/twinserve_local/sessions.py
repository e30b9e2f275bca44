"""Programs that are started in sessions of their own, so that they and all their descendants can be found and stopped.

A session is the one grouping that a descendant keeps when its parent dies or when it starts a process group of its
own, as Airflow's tasks do.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from twinserve.command.signals import undisturbed
from twinserve.files.atomic import write_atomically


@dataclass(frozen=True)
class Session:
    """A started program.

    Args:
        name: what it is, for messages.
        leader: id of the process that was started, which is the session's id.
        started: when, in seconds since the epoch, as the system tells it: ids are used again.
        recorded_in: number of the folder of its record, which a copy of the folder does not have; None: not recorded.
    """

    name: str
    leader: int
    started: float
    recorded_in: int | None = None


def start_session(name: str, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Session:
    """Start a program; its output is appended to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        process = subprocess.Popen(
            words, env=dict(environment), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return Session(name, process.pid, psutil.Process(process.pid).create_time())


def recorded_session(
    record: Path, before: Sequence[Session], name: str, words: Sequence[str], environment: Mapping[str, str], log: Path
) -> Session:
    """Start a program and write down, in `record`, that it and those `before` it run."""
    with undisturbed():
        record.parent.mkdir(parents=True, exist_ok=True)
        session = replace(start_session(name, words, environment, log), recorded_in=record.parent.stat().st_ino)
        write_atomically(record, json.dumps([asdict(each) for each in (*before, session)]))
    return session


def stop_recorded(record: Path, grace: float, *first: str) -> int:
    """Stop what `record` says is running, also when it was left by a run that a SIGKILL ended.

    What a copied record tells of belongs to the original, and goes on.

    Args:
        record: the file that `recorded_session` wrote; removed in the end.
        grace: seconds from SIGTERM to SIGKILL.
        first: names of programs to stop before the others.

    Returns:
        The number of programs that were still running.
    """
    with undisturbed():
        sessions = _recorded(record)
        running = [session for session in sessions if is_running(session)]
        stop_sessions([session for session in sessions if session.name in first], grace)
        stop_sessions(sessions, grace)
        record.unlink(missing_ok=True)
    return len(running)


def _recorded(record: Path) -> list[Session]:
    try:
        found = [Session(**session) for session in json.loads(record.read_text())]
        return [session for session in found if session.recorded_in in {None, record.parent.stat().st_ino}]
    except (FileNotFoundError, ValueError, TypeError):
        return []


def last_line(log: Path) -> str:
    """What a program said last, for error messages."""
    try:
        return log.read_text(errors="replace").strip().splitlines()[-1]
    except (FileNotFoundError, IndexError):
        return "it wrote no log"


def is_running(session: Session) -> bool:
    """Whether the program itself still runs."""
    try:
        leader = psutil.Process(session.leader)
        return leader.create_time() == session.started and leader.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stop_sessions(sessions: Collection[Session], grace: float) -> None:
    """End every process of the sessions; returns when all are gone.

    SIGTERM goes to the leaders of process groups: to the programs and to the tasks that they run in groups of their
    own. Their workers are theirs to end: a worker of Airflow's executor that gets a SIGTERM makes the scheduler wait
    for ever. After `grace` seconds whatever is left gets a SIGKILL.
    """
    ids = {session.leader for session in sessions if not _is_someone_elses(session)}
    _signal([member for member in _members(ids) if _leads_a_group(member)], signal.SIGTERM)
    deadline = time.monotonic() + grace
    while (left := _members(ids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    while left:  # a member may just be forking: look again until there is none
        _signal(left, signal.SIGKILL)
        time.sleep(0.02)
        left = _members(ids)


def _is_someone_elses(session: Session) -> bool:
    """The session ended long ago, and its id now belongs to a program that isn't ours."""
    try:
        return psutil.Process(session.leader).create_time() != session.started
    except psutil.NoSuchProcess:
        return False


def _members(ids: Collection[int]) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _session_of(process) in ids and not _reaped(process)]


def _session_of(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except (ProcessLookupError, PermissionError):
        return None


def _leads_a_group(process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def _reaped(process: psutil.Process) -> bool:
    """Whether it is dead; collects it, if it was our own child."""
    try:
        if process.status() != psutil.STATUS_ZOMBIE:
            return False
        os.waitpid(process.pid, os.WNOHANG)
    except (psutil.NoSuchProcess, ChildProcessError):
        pass
    return True


def _signal(processes: Collection[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue
