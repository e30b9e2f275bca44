"""`model-serving`: the champion in batch and online."""

from __future__ import annotations

from typing import NoReturn

import typer

from model_serving.batch.cli import app as batch_app
from twinserve.console import run_app

app = typer.Typer(add_completion=False, no_args_is_help=True, help=__doc__, rich_markup_mode=None)
app.add_typer(batch_app, name="batch")


def main() -> NoReturn:
    """The console script."""
    run_app(app)
