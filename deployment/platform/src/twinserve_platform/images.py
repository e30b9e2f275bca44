"""Whether the images of a release are on this machine."""

from __future__ import annotations

from twinserve_platform.compose import Compose
from twinserve_platform.engine import Engine
from twinserve_platform.problem import Problem


def needed_images(compose: Compose, tag: str) -> None:
    """Look for every image of ours that the project names.

    Raises:
        Problem: some are missing; names them.
    """
    engine = Engine(compose.environment)
    images = compose.run("config", "--images", capture=True).split()
    missing = sorted(image for image in set(images) if "/twinserve/" in image and not engine.image_id(image))
    if missing:
        names = " ".join(image.rpartition("/")[2].partition(":")[0] for image in missing)
        raise Problem(
            f"no image {', '.join(missing)}",
            f'`make build IMAGES="{names}"` makes them, if {tag} is this checkout; `make pull TAG={tag}` fetches them',
        )
