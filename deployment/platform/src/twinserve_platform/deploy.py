"""`make deploy`: a release to a platform that runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twinserve_platform.compose import Compose
from twinserve_platform.images import needed_images
from twinserve_platform.platform import Platform
from twinserve_platform.problem import Problem
from twinserve_platform.roll import roll
from twinserve_platform.secrets_file import set_variable

PIPELINES = ("data_pipeline", "training_pipeline", "model_serving")


def deploy(platform: Platform, tell: Callable[[str], None]) -> None:
    """Replace the online service without a gap, then put the release's DAGs where Airflow reads them.

    In this order, since only the first can show that the release is no good: then nothing has changed.

    Raises:
        Problem: an image is missing, Airflow does not run or is changed by the release, or the new service does not get
            ready: all is as it was. Or the DAGs could not be installed: what is told says so.
    """
    tag = platform.wanted_tag
    compose = platform.compose(tag)
    needed_images(compose, tag)
    _needed_airflow(compose)
    roll(compose, tell)
    try:
        _install_dags(compose, PIPELINES, tell)
    except BaseException:  # Ctrl-C too
        tell(f"the online service runs {tag}, but not all DAGs are of that release: repeat this, or deploy another one")
        raise
    set_variable(platform.env_file, "TAG", tag)


def deploy_dags(platform: Platform, pipelines: Sequence[str], tell: Callable[[str], None]) -> None:
    """Put the DAGs of some pipelines, and the tag of the image that their tasks run in, where Airflow reads them.

    Raises:
        Problem: no such pipeline, or Airflow does not run or is changed by the release.
    """
    if unknown := sorted(set(pipelines) - set(PIPELINES)):
        raise Problem(f"no pipeline {', '.join(unknown)}", f"There are: {', '.join(PIPELINES)}")
    compose = platform.compose(platform.wanted_tag)
    _needed_airflow(compose)
    _install_dags(compose, pipelines, tell)


def _needed_airflow(compose: Compose) -> None:
    if not any(c.state == "running" for c in compose.containers("airflow-scheduler")):
        raise Problem("Airflow does not run", "`make up` starts it, with this release's DAGs")
    if in_the_way := _in_airflow(compose, "--check").strip():
        what, _, fix = in_the_way.partition(": ")
        raise Problem(what, f"Bring all of it there with `{fix}`")


def _install_dags(compose: Compose, pipelines: Sequence[str], tell: Callable[[str], None]) -> None:
    for line in _in_airflow(compose, *pipelines).splitlines():
        tell(line)


def _in_airflow(compose: Compose, *arguments: str) -> str:
    words = ("airflow-init", "python", "/opt/airflow/server/install_dags.py", *arguments)
    return compose.run("run", "--rm", "--no-deps", "--no-TTY", *words, capture=True)
