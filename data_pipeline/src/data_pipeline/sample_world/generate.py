"""The step `generate`: a world into a database, its batch request into a file."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from data_pipeline.sample_world.dirt import soil
from data_pipeline.sample_world.parameters import WorldParameters
from data_pipeline.sample_world.requests import batch_request
from data_pipeline.sample_world.simulation import simulate, stream
from data_pipeline.sample_world.tables import MANIFEST, ORDERS, STATS, Manifest, Piece, Target
from twinserve.errors import BadInput
from twinserve.files.atomic import write_atomically
from twinserve.steps.progress import RowProgress

logger = logging.getLogger(__name__)
FRESH_FOR = timedelta(days=7)  # half the example's TTL: the last features of a kept world are still served


def generate(
    world: WorldParameters,
    target: Target,
    request_file: Path,
    *,
    end_given: bool,
    ingested: bool,
    force: bool = False,
) -> dict[str, Any]:
    """Write `world`, unless the very same one is there.

    Args:
        request_file: where the batch request goes.
        end_given: the user chose the end; if not, a world that ended up to a week earlier is as good.
        ingested: rows of the database were published to the stores before.
        force: replace what is there, whoever wrote it.

    Returns:
        The database's name, rows of each table, the request file, the world's end, and whether it was
        written now or was there already.

    Raises:
        BadInput: tables are there that generate did not write, or a world that was ingested already.
    """
    found = _earlier_world(target, force=force)
    kept = found and _good_as(found, world, end_given=end_given)
    if found and kept:
        manifest, world = found, kept
        logger.info("%s holds this world already: nothing to write", target.name)
    else:
        _refuse_mixture(target, ingested=ingested and bool(target.tables()), force=force)
        manifest = _write(world, target)
    request = batch_request(world)
    if not request_file.exists() or request_file.read_text(encoding="utf-8") != request:
        write_atomically(request_file, request)
    return {
        "written": not kept,
        "database": target.name,
        "rows": json.loads(manifest.rows),
        "batch_request": str(request_file),
        "batch_rows": request.count("\n") - 1,
        "end": world.end.isoformat(),
    }


def _earlier_world(target: Target, *, force: bool) -> Manifest | None:
    """The manifest that is there; None for an empty database, or one to be overwritten by force."""
    tables = target.tables()
    if MANIFEST in tables:
        return target.manifest()
    if tables and not force:
        raise BadInput(
            f"{target.name} has tables {', '.join(sorted(tables))} that generate did not write",
            fix="Set TWINSERVE_SOURCE_URL to another database, or add --force to lose those tables",
        )
    return None


def _good_as(found: Manifest, world: WorldParameters, *, end_given: bool) -> WorldParameters | None:
    """The world that is there, if it can stand for the one asked for."""
    there = WorldParameters.from_json(found.parameters)
    if there is None or not there.same_but_end(world):
        return None
    near = not end_given and timedelta(0) <= world.end - there.end <= FRESH_FOR
    return there if near or there.end == world.end else None


def _refuse_mixture(target: Target, *, ingested: bool, force: bool) -> None:
    if ingested and not force:
        raise BadInput(
            f"the stores were filled from the world in {target.name}; another one would make a mixture",
            fix="Run `make clean`, or set another TWINSERVE_HOME, or add --force",
        )


def _write(world: WorldParameters, target: Target) -> Manifest:
    total = world.drivers * world.days * 24 + world.orders
    with RowProgress("generate", total) as progress:
        return target.write(_pieces(world, progress), world.to_json())


def _pieces(world: WorldParameters, progress: RowProgress) -> Iterator[Piece]:
    for number, day in enumerate(simulate(world)):
        stats = soil(day.stats, world.dirt, stream(world, 6, number))
        yield STATS, stats
        yield ORDERS, day.orders
        progress.advance(stats.num_rows + day.orders.num_rows)
