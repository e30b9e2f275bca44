"""The environment: read in one place, strictly."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinserve.errors import BadInput
from twinserve.features.feast_repo.store import feast_variables
from twinserve.settings import child_environment, load_settings, safe_name


def test_defaults_are_embedded_below_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSERVE_HOME", str(tmp_path))
    settings = load_settings()
    assert settings.source_database == f"sqlite:///{tmp_path}/source/source.db"
    assert settings.mlflow_tracking == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert settings.feast_registry == f"sqlite:///{tmp_path}/feast/registry.db"
    assert settings.redis_url is None


def test_servers_replace_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSERVE_SOURCE_URL", "postgresql+psycopg://u:secret@db/source")
    settings = load_settings()
    assert settings.source_database == "postgresql+psycopg://u:secret@db/source"
    assert "secret" not in repr(settings)


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWINSERVE_REDIS_URL", "")
    assert load_settings().redis_url is None


def test_what_feasts_own_command_line_needs_is_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in feast_variables(load_settings(), "redis://127.0.0.1:6379/0"):
        monkeypatch.setenv(name, "sqlite:///feast.db")
    assert load_settings().feast_registry == "sqlite:///feast.db"


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("TWINSERVE_REDS_URL", "x", "unknown setting TWINSERVE_REDS_URL"),
        ("TWINSERVE_ONLINE_PORT", "http", "TWINSERVE_ONLINE_PORT"),
        ("TWINSERVE_ONLINE_PORT", "70000", "TWINSERVE_ONLINE_PORT"),
        ("TWINSERVE_LOG_LEVEL", "loud", "TWINSERVE_LOG_LEVEL"),
        ("TWINSERVE_MODEL_NAME", "a/b", "TWINSERVE_MODEL_NAME"),
        ("TWINSERVE_REDIS_URL", "localhost:6379", "TWINSERVE_REDIS_URL: .*must begin with redis://"),
        ("TWINSERVE_ONLINE_TRACES_URL", "collector:4318", "TWINSERVE_ONLINE_TRACES_URL: .*must begin with http://"),
    ],
)
def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadInput, match=says):
        load_settings()


def test_a_child_gets_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TWINSERVE_HOME", raising=False)
    environment = child_environment(load_settings(), EXTRA="1")
    assert environment["TWINSERVE_HOME"] == str(tmp_path / ".twinserve")
    assert environment["EXTRA"] == "1"


@given(st.text(max_size=300))
def test_run_keys_never_leave_their_folder(key: str) -> None:
    try:
        name = safe_name(key)
    except BadInput:
        return
    assert "/" not in name
    assert name not in ("", ".", "..")
    assert Path("x", name).parent == Path("x")
    assert len(name.encode()) < 255


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_two_run_keys_never_share_a_folder(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


def test_a_plain_run_key_keeps_its_name() -> None:
    assert safe_name("2026-11-21_first.run") == "2026-11-21_first.run"
    assert safe_name("a:b") != safe_name("a_b") == "a_b"
