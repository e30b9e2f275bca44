"""Every step, killed by SIGKILL at many points of its way and called again, ends as if nobody had disturbed it.

A point lies before an act that others can see: a rename, a removal, a new folder or file, a sync, a commit, a request
to Redis. `make test-kills` goes through all steps; the one that publishes rows is in every `make test`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_acts import RENAME
from home_outcome import different
from pipeline_steps import DATA, EVERY, Step
from redis_server import RedisServer
from step_walk import Walk, spread
from worked_home import WorkedHome

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("steps")]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with RedisServer(tmp_path_factory.mktemp("redis")) as found:
        yield found


@pytest.fixture(scope="module")
def every(server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    home = WorkedHome.at(tmp_path_factory.mktemp("kills") / "world", server.client(), server.url)
    yield Walk(home, EVERY)
    home.close()


@pytest.fixture
def data(server: RedisServer, tmp_path: Path) -> Iterator[Walk]:
    home = WorkedHome.at(tmp_path / "world", server.client(), server.url, ("data-pipeline",))
    yield Walk(home, DATA)
    home.close()


@pytest.mark.kills
@pytest.mark.parametrize("step", EVERY, ids=lambda step: step.name)
def test_a_step_that_was_killed_ends_as_if_undisturbed(every: Walk, step: Step, pytestconfig: pytest.Config) -> None:
    most = pytestconfig.getoption("--kills")
    found = not_as_undisturbed(every.before(step), step, most, (RENAME, "commit"))
    assert not found, "\n".join(found)


def test_a_publishing_step_that_was_killed_ends_as_if_undisturbed(data: Walk) -> None:
    step = next(step for step in DATA if step.name == "explore-and-validate second")
    assert not_as_undisturbed(data.before(step), step, 3, (RENAME,)) == []


def not_as_undisturbed(home: WorkedHome, step: Step, most: int, first: tuple[str, ...]) -> list[str]:
    """Kill `step` before up to `most` of its acts, acts of the kinds `first` before others; what then is otherwise."""
    _, acts = home.counted(step)
    right, found = home.outcome(), []
    assert acts, "nothing to be killed before"
    for at in spread(acts, most, first):
        home.set_back()
        killed = home.killed(step, at)
        again = home.ended(step)
        what = f"{step.name}, {'killed' if killed else 'not killed'} before act {at} ({acts[at]})"
        if again.code:
            found.append(f"{what}: called again, it ends with {again.code}: {again.text[-1500:]}")
        else:
            found += [f"{what}: {line}" for line in different(right, home.outcome())]
    return found
