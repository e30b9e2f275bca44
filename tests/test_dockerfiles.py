"""What every image keeps to, as its Dockerfile says it; tests/docker/test_images.py looks into the images."""

from __future__ import annotations

import re
import tomllib

import pytest
from dockerfiles import Dockerfile, instructions, read
from platform_under_test import ROOT

FILES = {
    path.parent.name: read(path)
    for pattern in ("*/Dockerfile", "deployment/*/Dockerfile")
    for path in sorted(ROOT.glob(pattern))
}
PYTHON = "python:3.11-slim-bookworm"
OTHER_BASES = {"jenkins": "jenkins/jenkins:2.492.3-lts-jdk17"}
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
WORKSPACE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["uv"]["workspace"]["members"]
SECRET_NAME = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|CREDENTIAL|API_?KEY|PRIVATE", re.IGNORECASE)
# programs and packages that have no place in an image that runs
BUILD_TOOL = re.compile(r"\b(uv|pip|pip3|gcc|g\+\+|build-essential|curl|wget|git)\b(?![./])")


@pytest.fixture(params=sorted(FILES))
def dockerfile(request: pytest.FixtureRequest) -> Dockerfile:
    """One Dockerfile after the other."""
    return FILES[request.param]


def test_make_build_knows_every_image() -> None:
    made = re.search(r"^ALL_IMAGES := (.*)$", MAKEFILE, re.MULTILINE)
    assert made
    assert set(made[1].split()) == set(FILES) - set(OTHER_BASES)


def test_its_bases_are_public_with_a_version_or_its_own_stages(dockerfile: Dockerfile) -> None:
    allowed = {OTHER_BASES.get(dockerfile.path.parent.name, PYTHON)}
    for stage in dockerfile.stages:
        assert stage.base in allowed
        allowed.add(stage.name)
    # nothing of a stage that is only built, but what is copied from it
    assert ":" in dockerfile.last.base


def test_it_is_read_by_the_engine_itself(dockerfile: Dockerfile) -> None:
    """A `# syntax` line would have the engine fetch another program to read the file with."""
    assert not re.search(r"^#\s*syntax\s*=", dockerfile.text, re.MULTILINE | re.IGNORECASE)


def test_its_last_user_is_a_number_and_not_root(dockerfile: Dockerfile) -> None:
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", dockerfile.last.rests("USER")[-1])


@pytest.mark.parametrize("name", sorted(set(FILES) - set(OTHER_BASES)))
def test_no_tool_of_the_build_is_in_the_last_stage(name: str) -> None:
    last = FILES[name].last
    assert [rest for rest in last.rests("RUN") if BUILD_TOOL.search(rest)] == []
    assert last.rests("ADD") == []


def test_what_apt_leaves_behind_is_removed(dockerfile: Dockerfile) -> None:
    for rest in dockerfile.rests("RUN"):
        if "apt-get install" in rest:
            assert "--no-install-recommends" in rest
            assert "rm -rf /var/lib/apt/lists/*" in rest


def test_python_packages_come_from_a_lock(dockerfile: Dockerfile) -> None:
    runs = dockerfile.rests("RUN")
    floor = re.search(r"'uv>=[\d.]+'", MAKEFILE)
    assert floor
    assert {rest.partition("pip install ")[2] for rest in runs if "pip install" in rest} <= {f"--quiet {floor[0]}"}
    for rest in runs:
        if "uv " in rest and "pip install" not in rest:
            assert " uv sync --frozen " in f" {rest} "
            assert "--no-dev" in rest or "--only-group" in rest
    if any("uv sync" in rest for rest in runs):
        assert any("uv.lock " in rest for rest in dockerfile.rests("COPY"))


def test_a_lock_comes_with_the_projects_that_it_is_of(dockerfile: Dockerfile) -> None:
    copied = {rest.split()[0] for rest in dockerfile.rests("COPY")}
    if "pyproject.toml" in copied:
        assert {f"{member}/pyproject.toml" for member in WORKSPACE} <= copied


@pytest.mark.parametrize(
    ("stage", "names"),
    [
        ("core", ("data_pipeline", "training_pipeline", "model_serving", "notebook")),
        ("models", ("training_pipeline", "model_serving", "notebook")),
    ],
)
def test_what_images_share_is_built_by_the_same_words(stage: str, names: tuple[str, ...]) -> None:
    """Then the engine keeps its layers once."""
    assert len({read_until(FILES[name], f" AS {stage}") for name in names}) == 1
    # and put upon the same layers
    assert len({layers_until(FILES[name], f"from={stage}") for name in names}) == 1


def read_until(file: Dockerfile, name: str) -> str:
    """The instructions up to the end of the stage called so."""
    parts = re.split(r"^(?=FROM )", file.text, flags=re.MULTILINE)
    end = next(number for number, part in enumerate(parts) if part.splitlines()[0].endswith(name))
    return "\n".join(str(instructions(part)) for part in parts[1 : end + 1])


def layers_until(file: Dockerfile, origin: str) -> str:
    """The instructions of the last stage up to the one that takes something from there."""
    end = next(number for number, one in enumerate(file.last.instructions) if origin in one.rest)
    return str(file.last.instructions[: end + 1])


def test_no_argument_and_no_variable_is_a_secret(dockerfile: Dockerfile) -> None:
    for word in ("ARG", "ENV"):
        names = re.findall(r"([A-Za-z_][A-Za-z0-9_]*)(?==|\s|$)", " ".join(dockerfile.rests(word)))
        assert [name for name in names if SECRET_NAME.search(name)] == []
    assert not any("--mount=type=secret" in rest for rest in dockerfile.rests("RUN"))


def test_what_serves_has_a_health_check(dockerfile: Dockerfile) -> None:
    if dockerfile.last.rests("EXPOSE"):
        assert len(dockerfile.last.rests("HEALTHCHECK")) == 1


def test_its_labels_name_its_release(dockerfile: Dockerfile) -> None:
    labels = " ".join(dockerfile.last.rests("LABEL"))
    for wanted in (r"title=\"[^\"]+\"", r"version=\"?\$\{?VERSION", r"revision=\"?\$\{?REVISION"):
        assert re.search(rf"org\.opencontainers\.image\.{wanted}", labels)
    # behind everything else: a new release does not make a layer anew
    assert dockerfile.last.instructions[-1].word in {"LABEL", "HEALTHCHECK"}


def test_the_engine_is_sent_little() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert "*" in rules
    let_in = {rule[1:] for rule in rules if rule.startswith("!")}
    assert let_in <= {
        "pyproject.toml",
        "uv.lock",
        "core",
        "data_pipeline",
        "training_pipeline",
        "model_serving",
        "deployment",
    }
    assert {"**/.venv", "**/tests", "**/.env*", "**/__pycache__"} <= set(rules)


def test_what_is_copied_is_there(dockerfile: Dockerfile) -> None:
    for rest in dockerfile.rests("COPY"):
        words = [word for word in rest.split() if not word.startswith("--")]
        if "--from=" not in rest:
            assert [word for word in words[:-1] if not (ROOT / word).exists()] == []
