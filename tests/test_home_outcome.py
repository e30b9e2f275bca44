"""What two homes hold is compared without random names, and nothing is overlooked for it."""

from __future__ import annotations

from pathlib import Path

import pytest
from home_outcome import different, files_of

RANDOM = [f"m-{digit * 32}" for digit in "abc"]


def home(folder: Path, *contents: str) -> Path:
    """A model for each content, under names of no meaning."""
    for name, content in zip(RANDOM, contents, strict=False):
        file = folder / "models" / name / "contract.json"
        file.parent.mkdir(parents=True)
        file.write_text(content)
    return folder


@pytest.mark.parametrize("other", [('{"model": 1}', '{"model": 2}'), ('{"model": 2}', '{"model": 1}')])
def test_which_random_name_comes_first_makes_no_difference(tmp_path: Path, other: tuple[str, ...]) -> None:
    one = files_of(home(tmp_path / "one", '{"model": 1}', '{"model": 2}'))
    assert different(one, files_of(home(tmp_path / "other", *other))) == []


@pytest.mark.parametrize(
    "other",
    [
        ('{"model": 1}', '{"model": 3}'),
        ('{"model": 3}', '{"model": 2}'),
        ('{"model": 1}',),
        ('{"model": 1}', '{"model": 2}', '{"model": 2}'),
        ('{"model": 1}', ""),
    ],
)
def test_a_file_that_is_other_lacking_or_too_many_is_found(tmp_path: Path, other: tuple[str, ...]) -> None:
    one = files_of(home(tmp_path / "one", '{"model": 1}', '{"model": 2}'))
    assert different(one, files_of(home(tmp_path / "other", *other)))
