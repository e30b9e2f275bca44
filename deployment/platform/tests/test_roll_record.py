"""One roll at a time, and the memory of one that was cut off."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from twinserve_platform.problem import Problem
from twinserve_platform.roll_record import locked_record


def test_a_second_one_is_refused_until_the_first_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "deploy" / "p.json"
    with locked_record(path), pytest.raises(Problem, match="another roll"), locked_record(path):
        pass
    with locked_record(path) as record:
        assert record.begun() is None


def test_what_was_begun_is_known_until_it_ends(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with locked_record(path) as record:
        record.begin({"b", "a"})
        assert record.begun() == frozenset("ab")
    with locked_record(path) as record:
        assert record.begun() == frozenset("ab")
        record.begin([])
        assert record.begun() == frozenset()
        record.end()
        assert record.begun() is None


def test_a_process_that_dies_leaves_its_record_and_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    program = (
        "import os, pathlib, sys\n"
        "from twinserve_platform.roll_record import locked_record\n"
        "with locked_record(pathlib.Path(sys.argv[1])) as record:\n"
        "    record.begin(['a'])\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    source = Path(__file__).parents[1] / "src"
    done = subprocess.run([sys.executable, "-c", program, str(path)], env={"PYTHONPATH": str(source)}, check=False)
    assert done.returncode == -9
    with locked_record(path) as record:
        assert record.begun() == frozenset("a")
