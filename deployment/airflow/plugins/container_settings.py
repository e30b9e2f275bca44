"""What the worker's environment says about containers: which image, which data, how much of the machine."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from airflow.sdk.exceptions import AirflowFailException

PREFIX = "TWINSERVE_"
# the image says where these are in it
OF_THE_IMAGE = {"TWINSERVE_HOME", "TWINSERVE_FEATURE_REPO", "TWINSERVE_TRAINING_PARAMS"}
OF_THE_PLUGIN = {"TWINSERVE_VENV", "TWINSERVE_ALERTMANAGER_URL"}
OF_TASKS = "TWINSERVE_TASK_"
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


@dataclass(frozen=True)
class ContainerSettings:
    """One per execution of a task.

    Args:
        images: what all image names begin with, registry included.
        releases: folder with `<pipeline>/RELEASE`, the tag that the pipeline's tasks run with.
        volume: named volume with the data root.
        network: network of the servers.
        memory: limit, as Docker writes it: `2g`.
        cpus: limit, in processors.
    """

    images: str
    releases: Path
    volume: str
    network: str
    memory: str
    cpus: float

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> ContainerSettings:
        """Read them.

        Raises:
            AirflowFailException: `TWINSERVE_TASK_MEMORY` or `TWINSERVE_TASK_CPUS` is not an amount above zero.
        """
        return cls(
            images=_setting(environ, "IMAGES", "local/twinserve").rstrip("/"),
            releases=Path(_setting(environ, "RELEASES", "/opt/airflow/dags")),
            volume=_setting(environ, "VOLUME", "twinserve_data"),
            network=_setting(environ, "NETWORK", "twinserve_backend"),
            memory=_memory(_setting(environ, "MEMORY", "2g")),
            cpus=_processors(_setting(environ, "CPUS", "1.0")),
        )

    def image(self, console_script: str) -> str:
        """The image that holds a console script, with the tag that was deployed last.

        Raises:
            AirflowFailException: its pipeline was not deployed.
        """
        pipeline = console_script.replace("-", "_")
        file = self.releases / pipeline / "RELEASE"
        try:
            tag = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not a text file"
            raise AirflowFailException(f"no release of {pipeline} in {file} ({reason}). Run `make deploy`") from None
        if not TAG.fullmatch(tag):
            raise AirflowFailException(f"{file} holds {tag[:80]!r}, which is no image tag. Run `make deploy`")
        return f"{self.images}/{pipeline}:{tag}"


def container_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The pipelines' settings of the worker's environment, without the plug-in's own and without where things are."""
    left_out = OF_THE_IMAGE | OF_THE_PLUGIN
    settings = {
        name: value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not name.startswith(OF_TASKS) and name not in left_out
    }
    return {"TWINSERVE_LOG_FORMAT": "text", **settings, "PYTHONUNBUFFERED": "1"}


def _setting(environ: Mapping[str, str], name: str, default: str) -> str:
    return environ.get(OF_TASKS + name, "").strip() or default


def _processors(text: str) -> float:
    if not re.fullmatch(r"\d{1,4}(\.\d+)?", text) or not float(text):
        raise AirflowFailException(f"{OF_TASKS}CPUS={text!r} is not a number of processors, such as 1.5")
    return float(text)


def _memory(text: str) -> str:
    if not re.fullmatch(r"[1-9]\d{0,12}[bkmgBKMG]?", text):
        raise AirflowFailException(f"{OF_TASKS}MEMORY={text!r} is not an amount of memory, such as 2g")
    return text
