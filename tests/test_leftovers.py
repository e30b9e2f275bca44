"""The check for leftovers finds what a command leaves."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[1]


def check(shell: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(ROOT / "tests" / "leftovers.py"), "sh", "-c", shell]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def test_a_process_is_found() -> None:
    done = check("sleep 61.25 >/dev/null 2>&1 &")
    for process in psutil.process_iter(["cmdline"]):
        if process.info["cmdline"] == ["sleep", "61.25"]:
            process.kill()
    assert done.returncode == 1
    assert "sleep 61.25" in done.stdout


def test_files_are_found() -> None:
    done = check('touch "$HOME/.toolrc"; mktemp >/dev/null')
    assert done.returncode == 1
    assert "/home/.toolrc" in done.stdout
    assert re.search(r"left behind: .*/tmp/tmp\.", done.stdout)


def test_the_commands_own_failure_is_passed_on() -> None:
    assert check("exit 3").returncode == 3
