"""Where a person finds what: the pages of the services that run."""

from __future__ import annotations

from dataclasses import dataclass

from twinserve_platform.compose import Container
from twinserve_platform.platform import Platform


@dataclass(frozen=True)
class Page:
    """One page.

    Attributes:
        service: that serves it.
        port: name of the variable with its port on this machine, and its default.
        login: who may enter, and where the password is.
    """

    title: str
    service: str
    port: tuple[str, str]
    login: str = ""


PAGES = (
    Page("online service", "gateway", ("ONLINE_PORT", "8172")),
    Page("Airflow", "airflow-api-server", ("AIRFLOW_PORT", "8080"), "admin, AIRFLOW_ADMIN_PASSWORD of .env"),
    Page("MLflow", "mlflow", ("MLFLOW_PORT", "5000")),
    Page("Grafana", "grafana", ("GRAFANA_PORT", "3000"), "admin, GRAFANA_ADMIN_PASSWORD of .env"),
    Page("Prometheus", "prometheus", ("PROMETHEUS_PORT", "9090")),
    Page("Alertmanager", "alertmanager", ("ALERTMANAGER_PORT", "9093")),
    Page("Kibana", "kibana", ("KIBANA_PORT", "5601"), "elastic, ELASTIC_PASSWORD of .env"),
    Page("Jenkins", "jenkins", ("JENKINS_PORT", "8081"), "admin, JENKINS_ADMIN_PASSWORD of .env"),
    Page("Jupyter", "notebook", ("JUPYTER_PORT", "8888"), "JUPYTER_TOKEN of .env"),
)


def state_table(containers: list[Container]) -> list[str]:
    """A line for each container: service, state, name."""
    rows = [
        (c.service, "done" if c.finished else c.health or c.state, c.name)
        for c in sorted(containers, key=lambda c: c.name)
    ]
    return [f"{service:22} {state:10} {name}" for service, state, name in rows]


def page_lines(platform: Platform, containers: list[Container]) -> list[str]:
    """A line for each page of a service that runs."""
    running = {container.service for container in containers if container.state == "running"}
    host = platform.variable("BIND_ADDRESS", "127.0.0.1").replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - replaced
    return [
        f"{page.title:22} http://{host}:{platform.variable(*page.port)}/" + (f"  ({page.login})" if page.login else "")
        for page in PAGES
        if page.service in running
    ]
