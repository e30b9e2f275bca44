"""`model-serving`: the champion in batch and online."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from model_serving.batch.cli import app as batch_app
from twinserve.command.console import report, run_app

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
app.add_typer(batch_app, name="batch")


@app.command()
def serve(
    *,
    host: Annotated[str | None, typer.Option(help="default: TWINSERVE_ONLINE_HOST")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="default: TWINSERVE_ONLINE_PORT")] = None,
) -> None:
    """Serve the champion online, in the foreground, until Ctrl-C or SIGTERM."""
    from model_serving.online.server import serve as run
    from twinserve.settings import load_settings

    settings = load_settings()
    listens = (host or settings.online_host, port or settings.online_port)
    run(settings, *listens)
    report({"served": "http://{}:{}".format(*listens), "stopped": True})


def main() -> NoReturn:
    """The console script."""
    run_app(app)
