"""`make deploy`: a release to a platform that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twinserve_platform.images import needed_images
from twinserve_platform.platform import Platform
from twinserve_platform.problem import Problem
from twinserve_platform.roll import roll
from twinserve_platform.secrets_file import set_variable

PIPELINES = ("data_pipeline", "training_pipeline", "model_serving")


def deploy(platform: Platform, tell: Callable[[str], None]) -> None:
    """Put the release's DAGs where Airflow reads them, then replace the online service without a gap.

    Raises:
        Problem: the platform does not run, an image is missing, or the new service does not get ready.
    """
    tag = platform.wanted_tag
    compose = platform.compose(tag)
    needed_images(compose, tag)
    deploy_dags(platform, PIPELINES, tell)
    roll(compose, tell)
    set_variable(platform.env_file, "TAG", tag)


def deploy_dags(platform: Platform, pipelines: Sequence[str], tell: Callable[[str], None]) -> None:
    """Put the DAGs of some pipelines, and the tag of the image that their tasks run in, where Airflow reads them.

    Raises:
        Problem: no such pipeline, or the platform does not run.
    """
    if unknown := sorted(set(pipelines) - set(PIPELINES)):
        raise Problem(f"no pipeline {', '.join(unknown)}", f"There are: {', '.join(PIPELINES)}")
    compose = platform.compose(platform.wanted_tag)
    if not any(c.state == "running" for c in compose.containers("airflow-scheduler")):
        raise Problem("Airflow does not run", "`make up` starts it, with this release's DAGs")
    install = ("python", "/opt/airflow/server/install_dags.py", *pipelines)
    said = compose.run("run", "--rm", "--no-deps", "--no-TTY", "airflow-init", *install, capture=True)
    for line in said.splitlines():
        tell(line)
