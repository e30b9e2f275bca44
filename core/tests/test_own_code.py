"""Our own code is known by its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from twinserve.steps.own_code import code_digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("shop_rules", "shop_rules/inner"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    return tmp_path / "shop_rules"


def digest() -> str | None:
    code_digest.cache_clear()
    return code_digest("shop_rules")


def test_a_change_anywhere_in_a_package_is_another_code(package: Path) -> None:
    module = package / "inner" / "tie.py"
    found = [digest()]
    for text in ("first", "last"):
        module.write_text(f"rule = {text!r}")
        found.append(digest())
    module.rename(module.with_name("ties.py"))
    found.append(digest())
    assert len(set(found)) == 4
    assert digest() == found[-1]
    (package / "notes.txt").write_text("no code")
    assert digest() == found[-1]


def test_a_package_without_source_is_not_known(package: Path) -> None:
    for file in package.rglob("*.py"):
        file.unlink()
    assert digest() is None
    assert code_digest("no_such_package_of_ours") is None
