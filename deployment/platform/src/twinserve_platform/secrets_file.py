"""The secrets and the release in `.env`, where Compose reads them."""

from __future__ import annotations

import base64
import os
import re
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path


def token() -> str:
    """192 random bits, in letters and digits, which need no quoting in a URL."""
    return secrets.token_hex(24)


def fernet_key() -> str:
    """32 random bytes, as Airflow's encryption of connections takes them."""
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def elastic_password() -> str:
    """A token; Kibana refuses a password that is all digits."""
    return f"e{token()}"


SECRETS: Mapping[str, Callable[[], str]] = {
    "POSTGRES_PASSWORD": token,
    "AIRFLOW_DB_PASSWORD": token,
    "MLFLOW_DB_PASSWORD": token,
    "FEAST_DB_PASSWORD": token,
    "SOURCE_DB_PASSWORD": token,
    "REDIS_PASSWORD": token,
    "AIRFLOW_ADMIN_PASSWORD": token,
    "AIRFLOW_FERNET_KEY": fernet_key,
    "AIRFLOW_JWT_SECRET": token,
    "AIRFLOW_SECRET_KEY": token,
    "GRAFANA_ADMIN_PASSWORD": token,
    "ELASTIC_PASSWORD": elastic_password,
    "KIBANA_PASSWORD": elastic_password,
    "FILEBEAT_PASSWORD": elastic_password,
    "JENKINS_ADMIN_PASSWORD": token,
    "JUPYTER_TOKEN": token,
}
# the volume whose data can't be reached any more without the secret; the others can be made anew at any time
BEHIND: Mapping[str, str] = {
    **dict.fromkeys(
        (
            "POSTGRES_PASSWORD", "AIRFLOW_DB_PASSWORD", "MLFLOW_DB_PASSWORD", "FEAST_DB_PASSWORD",
            "SOURCE_DB_PASSWORD", "AIRFLOW_FERNET_KEY",
        ),
        "postgres",
    ),
    **dict.fromkeys(("ELASTIC_PASSWORD", "KIBANA_PASSWORD", "FILEBEAT_PASSWORD"), "elasticsearch"),
    "GRAFANA_ADMIN_PASSWORD": "grafana",
}  # fmt: skip
HEADING = "\n# made by `make up`; keep it, the data of the volumes is behind these passwords\n"


def read_env(file: Path) -> dict[str, str]:
    """The variables of an env file as Compose reads them; one without a value is left out."""
    if not file.exists():
        return {}
    found = re.findall(r"^(?:export +)?([A-Za-z_]\w*)=(.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    values = {name: _value(text.strip()) for name, text in found}
    return {name: value for name, value in values.items() if value}


def _value(text: str) -> str:
    """What is in quotes, or else up to a comment."""
    if quoted := re.match(r"""(["'])(.*?)\1""", text):
        return quoted[2]
    return re.split(r"(?:^|\s)#", text, maxsplit=1)[0].strip()


def missing_secrets(file: Path, environment: Mapping[str, str]) -> list[str]:
    """Names of the secrets that neither `file` nor `environment` has."""
    known = {**read_env(file), **{name: value for name, value in environment.items() if value}}
    return [name for name in SECRETS if name not in known]


def add_missing_secrets(file: Path, environment: Mapping[str, str]) -> list[str]:
    """Give every secret that neither `file` nor `environment` has a random value in `file`.

    What the file holds already stays as it is. Nobody but its owner can read it afterwards.

    Returns:
        Names of the secrets that were made.
    """
    missing = {name: SECRETS[name]() for name in missing_secrets(file, environment)}
    if missing:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        lines = "".join(f"{name}={value}\n" for name, value in missing.items())
        _replace(file, before.rstrip("\n") + ("\n" if before else "") + HEADING + lines)
    return list(missing)


def set_variable(file: Path, name: str, value: str) -> None:
    """Set one variable of the file, in its place if it is there."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    line = f"{name}={value}"
    changed, count = re.subn(rf"^{name}=.*$", lambda _: line, text, flags=re.MULTILINE)
    if not count:
        changed = f"{text.rstrip()}\n{line}\n" if text else f"{line}\n"
    if changed != text:
        _replace(file, changed)


def _replace(file: Path, text: str) -> None:
    """Write it whole or not at all; mode 600."""
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
