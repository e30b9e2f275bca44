"""The console script `data-pipeline`: it ends in order from its first moment, before what it needs is imported."""

from __future__ import annotations

from typing import NoReturn

from twinserve.command.garbage import collect_rarely
from twinserve.command.signals import leave_at_once


def main() -> NoReturn:
    """The console script."""
    leave_at_once()
    collect_rarely()
    from data_pipeline.cli import main as run

    run()


if __name__ == "__main__":
    main()
