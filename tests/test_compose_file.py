"""The Compose file against the rules of a platform that is safe by default; what is excepted says why."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from twinserve.settings import Settings
from twinserve_platform.platform import PROFILES
from twinserve_platform.secrets_file import SECRETS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docker-compose.yml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
EXCEPTIONS: dict[str, dict[str, str]] = yaml.safe_load(
    (ROOT / "deployment" / "platform" / "exceptions.yaml").read_text(encoding="utf-8")
)
OURS = re.compile(r"\$\{DOCKER_USER:-local\}/twinserve/[a-z_]+:\$\{TAG:\?[^}]+\}")
SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|FERNET_KEY")


def excepted(rule: str, breaking: set[str]) -> set[str]:
    """Services that break a rule without an exception, and exceptions that nothing needs."""
    return breaking ^ set(EXCEPTIONS[rule])


def ours(service: dict[str, Any]) -> bool:
    """Whether a service runs an image that is built from this repository."""
    return bool(OURS.fullmatch(service["image"]))


def test_every_exception_is_explained() -> None:
    assert all(len(reason) > 20 for reasons in EXCEPTIONS.values() for reason in reasons.values())


def test_images_are_ours_or_public_with_a_version() -> None:
    others = {service["image"] for service in SERVICES.values() if not ours(service)}
    assert all(re.fullmatch(r"[a-z0-9./_-]+:[A-Za-z0-9._-]+", image) for image in others)
    assert not any(image.endswith(":latest") for image in others)


def test_nobody_is_root() -> None:
    # ours are never: tests/docker/test_images.py looks at the images themselves
    root = {n for n, service in SERVICES.items() if not ours(service) and service.get("user", "root") in {"root", "0"}}
    assert excepted("root-user", root) == set()


def test_the_root_file_system_is_read_only() -> None:
    assert excepted("writable-root", {n for n, s in SERVICES.items() if not s.get("read_only")}) == set()


def test_no_capabilities_and_no_new_ones() -> None:
    assert all(service["cap_drop"] == ["ALL"] for service in SERVICES.values())
    assert all("no-new-privileges:true" in service["security_opt"] for service in SERVICES.values())
    assert not any(service.get("privileged") for service in SERVICES.values())
    assert excepted("capabilities", {n for n, s in SERVICES.items() if s.get("cap_add")}) == set()


def test_what_comes_from_the_host_is_read_only_configuration() -> None:
    mounts = {(name, mount) for name, service in SERVICES.items() for mount in service.get("volumes", [])}
    other = {
        name
        for name, mount in mounts
        if mount.split(":")[0] not in COMPOSE["volumes"] and not re.fullmatch(r"\./deployment/[^:]+:[^:]+:ro", mount)
    }
    assert excepted("host-path", other) == set()


def test_ports_are_for_this_machine_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(re.fullmatch(r"\$\{BIND_ADDRESS:-127\.0\.0\.1\}:\$\{[A-Z_]+:-\d+\}:\d+", port) for port in ports)
    stores = ("postgres", "redis", "docker-gate", "online", "kafka", "elasticsearch", "node-exporter")
    assert not any(SERVICES[name].get("ports") for name in stores)


def test_every_service_has_a_limit_bounded_logs_and_restarts_or_ends() -> None:
    for name, service in SERVICES.items():
        assert service["mem_limit"], name
        assert service["logging"]["options"]["max-size"], name
        assert service["restart"] in {"unless-stopped", "no"}, name


def test_every_server_has_a_health_check() -> None:
    without = {
        name
        for name, service in SERVICES.items()
        if service["restart"] != "no" and "healthcheck" not in service and not _image_has_health_check(service)
    }
    assert excepted("no-health-check", without) == set()


def _image_has_health_check(service: dict[str, Any]) -> bool:
    found = re.search(r"/twinserve/([a-z_]+):", service["image"])
    files = [ROOT / folder / (found[1] if found else "") / "Dockerfile" for folder in ("", "deployment")]
    return any(file.exists() and "\nHEALTHCHECK" in file.read_text(encoding="utf-8") for file in files)


def test_a_service_starts_after_what_it_needs_is_healthy() -> None:
    for name, service in SERVICES.items():
        needs = service.get("depends_on", {})
        assert isinstance(needs, dict), name
        for other, how in needs.items():
            ends = SERVICES[other]["restart"] == "no"
            wanted = "service_completed_successfully" if ends else "service_healthy"
            assert how["condition"] == wanted, (name, other)


def test_every_secret_must_be_set_and_none_is_written_down() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if SECRET_NAME.search(variable):
                assert re.fullmatch(r".*\$\{[A-Z_]+:\?[^}]+\}.*", str(value)), (name, variable)
        words = [*(service.get("command") or []), *(service.get("entrypoint") or [])]
        assert not [word for word in words if re.search(r"(?<!\$)\$\{?[A-Z_]*(PASSWORD|SECRET|TOKEN)", str(word))], name


def test_what_must_be_set_is_made_by_make_up() -> None:
    needed = set(re.findall(r"\$\{([A-Z_]+):\?", TEXT))
    assert needed - {"TAG", "DOCKER_GID"} == set(SECRETS)


def test_every_variable_is_in_the_example_of_env() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    variables = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)[:}]", TEXT))
    missing = {name for name in variables if not re.search(rf"^#?{name}=", example, flags=re.MULTILINE)}
    assert missing - {"TAG", "DOCKER_GID"} == set()


def test_every_setting_of_the_online_service_reaches_it() -> None:
    settings = {f"TWINSERVE_{name}".upper() for name in Settings.model_fields if name.startswith("online_")}
    of_compose = {"TWINSERVE_ONLINE_PORT"}  # published by the gateway
    assert settings - of_compose <= set(SERVICES["online"]["environment"])


def test_profiles_are_those_that_make_up_knows() -> None:
    found = {profile for service in SERVICES.values() for profile in service.get("profiles", [])}
    assert found - {"cli"} <= set(PROFILES)


@pytest.mark.parametrize("name", sorted(COMPOSE["volumes"]))
def test_every_volume_is_used_and_named_after_the_project(name: str) -> None:
    assert COMPOSE["volumes"][name]["name"] == f"${{COMPOSE_PROJECT_NAME:-twinserve}}_{name}"
    assert any(mount.split(":")[0] == name for service in SERVICES.values() for mount in service.get("volumes", []))
