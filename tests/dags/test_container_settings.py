"""What a container is given, worked out without an engine."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from container_settings import ContainerSettings, container_environment
from docker.errors import APIError, DockerException, ImageNotFound
from docker_command import DockerCommand, container_name, limits
from docker_problems import engine_problems
from output_lines import LONGEST_LINE, OutputLines
from requests import Response


def test_the_image_is_the_one_that_was_deployed_last(tmp_path: Path) -> None:
    (tmp_path / "data_pipeline").mkdir()
    (tmp_path / "data_pipeline" / "RELEASE").write_text("v1.2-3-gabc-dirty\n")
    environ = {"TWINSERVE_TASK_IMAGES": "host:5000/me/twinserve/", "TWINSERVE_TASK_RELEASES": str(tmp_path)}
    image = ContainerSettings.of(environ).image("data-pipeline")
    assert image == "host:5000/me/twinserve/data_pipeline:v1.2-3-gabc-dirty"


@pytest.mark.parametrize("content", [b"", b"a b", b"\xff", b"../x", b"a\nb"])
def test_a_release_that_names_no_tag_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "data_pipeline").mkdir()
    (tmp_path / "data_pipeline" / "RELEASE").write_bytes(content)
    settings = ContainerSettings.of({"TWINSERVE_TASK_RELEASES": str(tmp_path)})
    with pytest.raises(AirflowFailException, match=r"RELEASE.*Run `make deploy`"):
        settings.image("data-pipeline")
    with pytest.raises(AirflowFailException, match=r"no release of other in .*No such file.*Run `make deploy`"):
        settings.image("other")


@pytest.mark.parametrize("text", ["0", "-1", "many", "1e9", "1.", "nan"])
def test_processors_are_a_number_above_zero(text: str) -> None:
    with pytest.raises(AirflowFailException, match="TWINSERVE_TASK_CPUS"):
        ContainerSettings.of({"TWINSERVE_TASK_CPUS": text})


@pytest.mark.parametrize("text", ["0", "-1", "2x", "1.5g", "g", "2 g"])
def test_memory_is_an_amount(text: str) -> None:
    with pytest.raises(AirflowFailException, match="TWINSERVE_TASK_MEMORY"):
        ContainerSettings.of({"TWINSERVE_TASK_MEMORY": text})


def test_limits_are_the_settings() -> None:
    set_so = limits(ContainerSettings.of({"TWINSERVE_TASK_MEMORY": "512m", "TWINSERVE_TASK_CPUS": "1.5"}))
    assert (set_so["mem_limit"], set_so["memswap_limit"], set_so["nano_cpus"]) == ("512m", "512m", 1_500_000_000)
    assert set_so["mounts"] == [
        {"Target": "/var/lib/twinserve", "Source": "twinserve_data", "Type": "volume", "ReadOnly": False}
    ]


def test_a_container_gets_the_pipelines_settings_only() -> None:
    given = {
        "TWINSERVE_SOURCE_URL": "x", "TWINSERVE_LOG_FORMAT": "json", "TWINSERVE_HOME": "/h", "TWINSERVE_VENV": "/v",
        "TWINSERVE_FEATURE_REPO": "/f", "TWINSERVE_TRAINING_PARAMS": "/p", "TWINSERVE_TASK_VOLUME": "d",
        "TWINSERVE_ALERTMANAGER_URL": "http://x", "AIRFLOW__CORE__FERNET_KEY": "k", "DOCKER_HOST": "tcp://x",
    }  # fmt: skip
    assert container_environment(given) == {
        "TWINSERVE_SOURCE_URL": "x", "TWINSERVE_LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1",
    }  # fmt: skip


def instance(**other: Any) -> Any:
    """A task's instance, as far as its name goes."""
    parts = {"dag_id": "d", "task_id": "t", "run_id": "manual__2026-01-31T12:00:00+00:00", "map_index": -1}
    return SimpleNamespace(**parts | other)


def test_a_name_stands_for_one_task_of_one_run_on_one_volume() -> None:
    others: list[dict[str, Any]] = [
        {}, {"dag_id": "d-t"}, {"task_id": "u"}, {"run_id": "manual"}, {"map_index": 0}, {"run_id": "\u00fc" * 500},
    ]  # fmt: skip
    names = [container_name(instance(**other), volume) for volume in ("a", "b") for other in others]
    assert len(set(names)) == len(names)
    assert container_name(instance(), "a") == names[0]
    assert all(name.startswith("task-") and len(name) < 130 and name.isascii() for name in names)


def test_a_value_that_ends_like_a_script_is_no_template_file() -> None:
    command = DockerCommand(task_id="task", command=["tool"], options={"--input": "/etc/passwd.env"})
    command.resolve_template_files()
    assert command.options == {"--input": "/etc/passwd.env"}
    assert (command.auto_remove, command.mount_tmp_dir) == ("force", False)


def api_error(status: int) -> APIError:
    """As the Docker client raises it."""
    answered = Response()
    answered.status_code = status
    return APIError("failed", response=answered, explanation="it is\nso")


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (ImageNotFound("x"), AirflowFailException, "no image i:1 on the Docker engine. Run `make build`"),
        (api_error(403), AirflowFailException, r"refused by tcp://gate .status 403.: it is so"),
        (api_error(400), AirflowFailException, "status 400"),
        (api_error(409), AirflowException, "the Docker engine failed .status 409.: it is so"),
        (api_error(502), AirflowException, "status 502"),
        (DockerException("x"), AirflowException, "no answer from the Docker engine at tcp://gate: x"),
        (ConnectionResetError("reset"), AirflowException, "no answer from the Docker engine at tcp://gate: reset"),
    ],
)
def test_an_answer_of_the_engine_is_one_line_and_a_decision(
    error: Exception, raised: type[Exception], message: str
) -> None:
    with pytest.raises(raised, match=message) as caught, engine_problems("tcp://gate", "i:1"):
        raise error
    assert isinstance(caught.value, AirflowFailException) is (raised is AirflowFailException)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_lines_are_the_same_however_they_arrive(size: int) -> None:
    data = "one\n\nzw\u00f6lf \u20ac  \n\U0001f600\r\nlast".encode()
    lines = OutputLines()
    found = [line for at in range(0, len(data), size) for line in lines.feed(data[at : at + size])]
    assert found + lines.feed(b"", end=True) == ["one", "zw\u00f6lf \u20ac", "\U0001f600", "last"]


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    lines = OutputLines()
    assert [len(line) for line in lines.feed(b"x" * (LONGEST_LINE + 1))] == [LONGEST_LINE + 1]
    assert lines.feed(b"rest\n") == ["rest"]
