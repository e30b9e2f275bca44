"""`.env` as people write it, and what is added to it."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinserve_platform.secrets_file import SECRETS, add_missing_secrets, read_env, set_variable

NAMES = st.from_regex(r"[A-Z][A-Z0-9_]{0,12}", fullmatch=True)
VALUES = st.from_regex(r"[A-Za-z0-9_./:@-]{1,20}", fullmatch=True)


def test_a_new_file_gets_every_secret_and_is_private(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    assert add_missing_secrets(file, {}) == list(SECRETS)
    made = read_env(file)
    assert set(made) == set(SECRETS)
    assert len(set(made.values())) == len(made)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_what_is_there_stays(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    before = "# mine\nexport REDIS_PASSWORD='kept'\nPOSTGRES_PASSWORD=\nTWINSERVE_LOG_LEVEL=DEBUG"
    file.write_text(before)
    made = add_missing_secrets(file, {"AIRFLOW_ADMIN_PASSWORD": "mine"})
    assert file.read_text().startswith(before)
    assert {"REDIS_PASSWORD", "AIRFLOW_ADMIN_PASSWORD"}.isdisjoint(made)
    assert "POSTGRES_PASSWORD" in made  # a name without a value is no password
    assert read_env(file)["REDIS_PASSWORD"] == "kept"


def test_a_second_time_makes_nothing(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    add_missing_secrets(file, {})
    text = file.read_text()
    assert add_missing_secrets(file, {}) == []
    assert file.read_text() == text


def test_secrets_need_no_quoting_in_a_url_and_the_fernet_key_is_one(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    add_missing_secrets(file, {})
    made = read_env(file)
    assert len(base64.urlsafe_b64decode(made.pop("AIRFLOW_FERNET_KEY"))) == 32
    assert all(value.isalnum() and len(value) >= 40 for value in made.values())


def test_a_folder_that_takes_no_file_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        set_variable(tmp_path / "nowhere" / ".env", "TAG", "1")
    assert list(tmp_path.iterdir()) == []


def test_values_are_read_as_compose_reads_them(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("A=10.0.0.1 # all\nB='a # b' # c\nC=\"d\"\nD=x#y\nE= # nothing\n#F=1\nexport G=1\n")
    assert read_env(file) == {"A": "10.0.0.1", "B": "a # b", "C": "d", "D": "x#y", "G": "1"}


@given(st.dictionaries(NAMES, VALUES, max_size=6), NAMES, VALUES)
def test_setting_one_variable_changes_that_one(
    tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str], name: str, value: str
) -> None:
    file = tmp_path_factory.mktemp("env") / ".env"
    file.write_text("# heading\n" + "".join(f"{n}={v}\n" for n, v in variables.items()))
    set_variable(file, name, value)
    assert read_env(file) == variables | {name: value}
    assert file.read_text().startswith("# heading\n")
