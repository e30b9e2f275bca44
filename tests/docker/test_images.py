"""A look into the built images: nobody is root, nothing is secret, no tools of the build are left."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import Any

import pytest
import yaml
from docker_platform import ROOT

pytestmark = [pytest.mark.docker]

IMAGES = (
    "data_pipeline", "training_pipeline", "model_serving", "airflow", "mlflow", "docker_gate", "gateway", "notebook",
)  # fmt: skip
PORTS = {
    "model_serving": {"8172/tcp"},
    "airflow": {"8080/tcp"},
    "mlflow": {"5000/tcp"},
    "docker_gate": {"2375/tcp"},
    "gateway": {"8172/tcp", "8405/tcp"},
    "notebook": {"8888/tcp"},
}
EXCEPTIONS = yaml.safe_load((ROOT / "deployment" / "platform" / "exceptions.yaml").read_text(encoding="utf-8"))
TOOLS = ("uv", "gcc", "cc", "g++", "make", "git", "curl", "wget", "docker")
SECRET_VALUE = re.compile(
    r"""-----BEGIN\ [A-Z\ ]*PRIVATE\ KEY-----            # a key
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                  # cloud credentials
    | \bgh[pousr]_[A-Za-z0-9]{36}\b | \bxox[abp]-    # tokens of services
    | ://[^/\s:@]+:(?!password@)[^/\s@${<*]{6,}@     # a login in a URL; an example says password
    | (?i:password|passwd|secret|token|api_?key)["']?\s*[:=]\s*["'][^"'\s${<]{8,}["']""",
    re.VERBOSE,
)
OUR_FILES = "/opt/twinserve /opt/airflow /opt/mlflow /opt/docker_gate /etc/haproxy /var/lib/twinserve"
# of the libraries nothing: they are those of the lock
OURS = " -o ".join(
    f"-path '*/site-packages/{name}*'"
    for name in ("twinserve", "data_pipeline", "training_pipeline", "model_serving", "docker_gate")
)
LIBRARIES = "-path '*/site-packages/*' -o -path '*/bin/*' -o -path '*/share/*'"
TEXT_FILES = (
    f"{{ find {OUR_FILES} -type f -size -256k \\( {OURS} -o -not \\( {LIBRARIES} \\) \\) 2>/dev/null || true; }}"
)


@pytest.fixture(scope="module", params=IMAGES)
def image(request: pytest.FixtureRequest, tag: str) -> str:
    """One image after the other."""
    return f"{os.environ.get('DOCKER_USER', 'local')}/twinserve/{request.param}:{tag}"


def inspected(image: str) -> dict[str, Any]:
    """What the engine knows of an image."""
    words = ["docker", "image", "inspect", image]
    return dict(json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)[0])


def shell(image: str, script: str) -> str:
    """What a script prints in the image, run as a task would be, but as root, who sees every file."""
    words = ["docker", "run", "--rm", "--network", "none", "--read-only", "--user", "0", "--entrypoint", "sh", image]
    return subprocess.run([*words, "-c", script], capture_output=True, text=True, check=True).stdout


def short(image: str) -> str:
    """The image's own name."""
    return image.rsplit("/", 1)[1].partition(":")[0]


def test_its_user_is_a_number_and_not_root(image: str) -> None:
    user = inspected(image)["Config"]["User"]
    assert re.fullmatch(r"[1-9]\d{3,}(:[1-9]\d{3,})?", user)


def test_it_opens_the_ports_of_its_server_only(image: str) -> None:
    assert set(inspected(image)["Config"].get("ExposedPorts") or {}) == PORTS.get(short(image), set())


def test_its_labels_say_what_it_is(image: str, tag: str) -> None:
    labels = inspected(image)["Config"]["Labels"]
    assert labels["org.opencontainers.image.title"]
    assert labels["org.opencontainers.image.version"] == tag
    assert re.fullmatch(r"[0-9a-f]{40}", labels["org.opencontainers.image.revision"])


def test_its_history_and_environment_hold_no_secret(image: str) -> None:
    words = ["docker", "history", "--no-trunc", "--format", "{{.CreatedBy}}", image]
    history = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    environment = "\n".join(inspected(image)["Config"]["Env"])
    assert not SECRET_VALUE.search(history)
    assert not SECRET_VALUE.search(environment)
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|API_KEY)=.", environment)


def test_its_files_hold_no_secret(image: str) -> None:
    names = shell(image, TEXT_FILES).split()
    assert names
    assert not [name for name in names if re.search(r"(^|/)(\.env|\.git|id_[a-z0-9]+|.*\.(pem|key))$", name)]
    text = shell(image, f"{TEXT_FILES} | xargs -r grep -IhE -e . --")
    allowed = set(EXCEPTIONS["secret-like"])
    found = {match[0] for match in SECRET_VALUE.finditer(text)}
    assert found <= allowed


def test_no_tool_of_the_build_is_left(image: str) -> None:
    found = shell(image, "for tool in " + " ".join(TOOLS) + "; do command -v $tool; done; true").split()
    assert [tool for tool in found if not tool.startswith("/usr/share")] == []


def test_only_root_can_change_the_program(image: str) -> None:
    folders = "/opt /usr /etc"
    user = inspected(image)["Config"]["User"].partition(":")[0]
    volumes = "-path /opt/airflow/dags -o -path /opt/airflow/logs"
    theirs = f"-not -type l \\( -user {user} -o -perm -0002 \\)"
    script = f"find {folders} -xdev \\( {volumes} \\) -prune -o {theirs} -print | head"
    assert shell(image, script).split() == []


def test_the_scan_finds_what_it_looks_for() -> None:
    """A scan that never finds anything proves nothing."""
    for secret in (
        "-----BEGIN RSA PRIVATE KEY-----", "postgresql://me:hunter22@host/db", 'password = "correcthorse"',
        "ghp_" + "a" * 36, "AKIA" + "A" * 16,
    ):  # fmt: skip
        assert SECRET_VALUE.search(secret), secret
    for harmless in ("postgresql://${USER}:${PASSWORD}@host/db", "password: str", "redis://:***@redis:6379/0"):
        assert not SECRET_VALUE.search(harmless), harmless
