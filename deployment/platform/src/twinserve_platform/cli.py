"""`python -m twinserve_platform`: the commands behind the `make` targets of the platform."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from twinserve_platform.deploy import PIPELINES, deploy, deploy_dags
from twinserve_platform.pages import page_lines, state_table
from twinserve_platform.platform import PROFILES, Platform
from twinserve_platform.problem import Problem
from twinserve_platform.start import down, up

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit code."""
    chosen = parser().parse_args(arguments)
    try:
        its = platform(chosen)
        its.engine.needed()
        chosen.run(its, chosen)
    except Problem as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def platform(chosen: argparse.Namespace) -> Platform:
    """The platform that the command line means."""
    root = chosen.root.resolve()
    return Platform(root, (chosen.env_file or root / ".env").resolve(), dict(os.environ))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    whole = argparse.ArgumentParser(prog="twinserve_platform", description=__doc__)
    whole.add_argument("--root", type=Path, default=Path.cwd(), help="folder of docker-compose.yml")
    whole.add_argument("--env-file", type=Path, help="secrets and settings; default: .env in that folder")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "up", _up, "start, and wait until all is well").add_argument("--profiles", default="")
    _add(commands, "down", _down, "stop and remove").add_argument("--volumes", action="store_true")
    _add(commands, "ps", _ps, "what runs, and where its pages are")
    _add(commands, "logs", _logs, "what it says").add_argument("services", nargs="*")
    _add(commands, "deploy", _deploy, "this release to the platform that runs")
    dags = _add(commands, "deploy-dags", _deploy_dags, "this release's DAGs only")
    dags.add_argument("pipelines", nargs="*", default=PIPELINES)
    return whole


Command = Callable[[Platform, argparse.Namespace], None]


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, run: Command, text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(run=run)
    return command


def tell(line: str) -> None:
    """Say it at once, also into a pipe."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _up(its: Platform, chosen: argparse.Namespace) -> None:
    profiles = chosen.profiles.replace(",", " ").split()
    if unknown := sorted(set(profiles) - set(PROFILES)):
        raise Problem(f"no profile {', '.join(unknown)}", f"There are: {', '.join(PROFILES)}")
    up(its, profiles, tell)
    _ps(its, chosen)


def _down(its: Platform, chosen: argparse.Namespace) -> None:
    down(its, volumes=chosen.volumes, tell=tell)


def _ps(its: Platform, _: argparse.Namespace) -> None:
    containers = its.compose(its.running_tag, PROFILES).containers()
    if not containers:
        tell("nothing runs: `make up` starts the platform")
        return
    for line in [*state_table(containers), "", *page_lines(its, containers)]:
        tell(line)


def _logs(its: Platform, chosen: argparse.Namespace) -> None:
    compose = its.compose(its.running_tag, PROFILES)
    services = sorted(compose.services())
    if unknown := sorted(set(chosen.services) - set(services)):
        raise Problem(f"no service {', '.join(unknown)}", f"There are: {', '.join(services)}")
    if not compose.containers():
        raise Problem("the platform does not run", "`make up` starts it")
    compose.run("logs", "--follow", "--tail", "100", *chosen.services)


def _deploy(its: Platform, _: argparse.Namespace) -> None:
    deploy(its, tell)


def _deploy_dags(its: Platform, chosen: argparse.Namespace) -> None:
    deploy_dags(its, chosen.pipelines, tell)
