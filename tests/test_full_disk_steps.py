"""Every step on a disk that is full: exit code 75 with a line that says so; with room again, it ends as if undisturbed.

The commands see a small file system of their own, by a user name space, which needs no rights of an administrator.
`make test-kills` runs these.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from home_outcome import different
from killable_steps import Said
from pipeline_steps import EVERY, Step
from redis_server import RedisServer
from small_disk import on_small_disk
from step_walk import Walk
from worked_home import WorkedHome

from twinserve.errors import ExitCode

pytestmark = [pytest.mark.integration, pytest.mark.kills]
SIZE = "96m"
ROOMS = (0, 8, 48, 256, 2048)  # KiB
MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2" || exit 99; shift 2; exec "$@"'


@pytest.fixture(scope="module")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Walk]:
    folder = tmp_path_factory.mktemp("disk")
    disk = folder / "world" / "disk"
    try:
        on_small_disk(disk, "64k", ["true"], os.environ)
    except RuntimeError as error:
        pytest.skip(str(error))
    within = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh", SIZE, str(disk))
    with RedisServer(folder / "redis") as server:
        home = WorkedHome.at(folder / "world", server.client(), server.url, within=within)
        home.seen = Path(f"/proc/{home.steps.server.pid}/root{disk}/home")
        yield Walk(home, EVERY)
        home.close()


@pytest.mark.parametrize("step", EVERY, ids=lambda step: step.name)
def test_a_step_on_a_full_disk_says_so_and_ends_well_with_room(walk: Walk, step: Step) -> None:
    home = walk.before(step)
    home.run(step)
    right, found, full = home.outcome(), [], 0
    for room in ROOMS:
        home.set_back()
        filler = fill(home.seen.parent, room)
        ended = home.ended(step)
        filler.unlink()
        what = f"{step.name} with {room} KiB of room"
        if ended.code != ExitCode.OK and not well_said(ended):
            found.append(f"{what} ends with {ended.code}: {ended.text[-1500:]}")
        full += ended.code == ExitCode.TRANSIENT
        again = home.ended(step)
        if again.code:
            found.append(f"{what}, then called again with room, ends with {again.code}: {again.text[-1500:]}")
        found += [f"{what}: {line}" for line in different(right, home.outcome())]
    assert not found, "\n".join(found)
    assert full, "it was never short of room"


def well_said(ended: Said) -> bool:
    """Whether it says at the end that the disk is full; libraries may have said so at length before."""
    last = ended.text.splitlines()[-1]
    return ended.code == ExitCode.TRANSIENT and any(words in last.lower() for words in ("space left", "disk is full"))


def fill(disk: Path, room: int) -> Path:
    """A file that leaves `room` KiB."""
    filler = disk / "filler"
    free = shutil.disk_usage(disk).free - 1024 * room
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free)
    return filler
