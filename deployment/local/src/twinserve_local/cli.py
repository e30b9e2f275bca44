"""`twinserve-local`: the whole platform on one machine."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from typing import Annotated, NoReturn

import typer

from twinserve.command.console import run_app
from twinserve.embedded.redis import leased_redis
from twinserve.errors import BadInput
from twinserve.files.atomic import write_atomically
from twinserve.settings import Settings, child_environment, load_settings
from twinserve_local.checkout import find_checkout
from twinserve_local.ports import HOST
from twinserve_local.signals import leave_on_hangup
from twinserve_local.telemetry import contained_environment

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
Port = typer.Option(min=1, max=65535, help="on 127.0.0.1")


@app.command()
def demo() -> None:
    """Sample data, the four DAGs in Airflow, the online service, one request; then a summary."""
    from twinserve_local.demo import run_demo
    from twinserve_local.summary import summary

    settings = load_settings()
    outcome = run_demo(settings, find_checkout(), typer.echo)
    write_atomically(settings.home / "demo" / "outcome.json", json.dumps(asdict(outcome), indent=2))
    typer.echo("\n" + summary(outcome, settings.online_port))


@app.command()
def airflow(*, port: Annotated[int, Port] = 8080) -> None:
    """Airflow with all DAGs, in the foreground, until Ctrl-C."""
    from twinserve_local.airflow_server import COMPONENTS, first_stopped, running_airflow, stopped_early

    settings = load_settings()
    typer.echo("Airflow starts")
    with (
        leased_redis(settings),
        running_airflow(settings, find_checkout(), port, tuple(COMPONENTS)) as (server, sessions),
    ):
        typer.echo(f"Airflow is at {server.url}\nuser {server.user}, password {server.password}")
        typer.echo("DAGs are paused until you switch them on; then they run by their schedules\nCtrl-C stops it")
        while not (stopped := first_stopped(sessions)):
            time.sleep(1)
        raise stopped_early(stopped, server.home)


@app.command()
def serve() -> None:
    """The online service in the foreground, until Ctrl-C; all its files below TWINSERVE_HOME."""
    _become(load_settings(), "model-serving", "serve")


@app.command()
def mlflow(*, port: Annotated[int, Port] = 5000) -> None:
    """MLflow's pages on the embedded store, in the foreground, until Ctrl-C."""
    settings = load_settings()
    store = settings.mlflow_tracking
    if store.startswith("http"):
        raise BadInput("TWINSERVE_MLFLOW_URI names a server", fix="Open its pages in a browser")
    places = ["--backend-store-uri", store, "--default-artifact-root", str(settings.mlflow_artifacts)]
    _become(settings, "mlflow", "server", *places, "--host", HOST, "--port", str(port))


@app.command()
def clean() -> None:
    """Stop what runs in TWINSERVE_HOME and remove our folders from it; other files stay."""
    from twinserve_local.cleaning import clean as run

    settings = load_settings()
    left = run(settings, find_checkout())
    if left is None:
        typer.echo(f"no {settings.home} to remove")
    elif left:
        typer.echo(f"our folders in {settings.home} removed; not ours, and left: {', '.join(p.name for p in left)}")
    else:
        typer.echo(f"{settings.home} removed")


def _become(settings: Settings, name: str, *words: str) -> NoReturn:
    """Go on as another command of the pipelines' environment."""
    script = find_checkout().command(name)
    environment = child_environment(settings, **contained_environment(settings.home))
    os.execve(script, [script, *words], environment)  # noqa: S606 - no shell is what we want


def main() -> NoReturn:
    """The console script."""
    leave_on_hangup()
    run_app(app)
