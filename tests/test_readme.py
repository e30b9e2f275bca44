"""What the README tells people to type exists: each make target, each command, each of its options."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from readme_commands import commands, readme

ROOT = Path(__file__).parents[1]


def declared_scripts(root: Path) -> set[str]:
    """The console scripts that the workspace's packages declare."""
    workspace = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["uv"]["workspace"]
    packages = [tomllib.loads((root / member / "pyproject.toml").read_text()) for member in workspace["members"]]
    return {name for package in packages for name in package["project"].get("scripts", {})}


CONSOLE = declared_scripts(ROOT)
OTHERS = {"make", "source", "curl", "cp", "cd", "git"}
CONSOLE_COMMANDS = [words for words in readme(ROOT) if words[0] in CONSOLE]


def test_every_command_is_one_that_we_know() -> None:
    assert {words[0] for words in readme(ROOT)} <= CONSOLE | OTHERS


def test_every_make_target_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {word for words in readme(ROOT) if words[0] == "make" for word in words[1:] if "=" not in word}
    assert named
    assert named <= targets


@pytest.mark.parametrize("name", sorted(CONSOLE))
def test_every_declared_script_shows_its_help(name: str) -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name(name), "--help"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@pytest.mark.parametrize("words", CONSOLE_COMMANDS, ids=" ".join)
def test_a_console_command_takes_its_options(words: list[str]) -> None:
    script = Path(sys.executable).with_name(words[0])
    until = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    done = subprocess.run([script, *words[1:until], "--help"], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    options = {word.split("=")[0] for word in words[until:] if word.startswith("-")}
    assert options <= set(re.findall(r"--[a-z-]+", done.stdout))


def test_commands_are_read_from_sh_blocks_only() -> None:
    text = "```sh\nmake demo  # all of it\n\na \\\n  --b 'c d'\n```\n```json\n{}\n```\n"
    assert commands(text) == [["make", "demo"], ["a", "--b", "c d"]]
