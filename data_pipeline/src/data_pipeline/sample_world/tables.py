"""The tables of the source database, and the two kinds of database that they are written to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

import pyarrow as pa

STATS, ORDERS, MANIFEST = "driver_stats", "driver_orders", "sample_world"
TABLES = (STATS, ORDERS, MANIFEST)

Piece = tuple[str, pa.Table]  # a table's name and some of its rows


class Manifest(NamedTuple):
    """The one row of the table `sample_world`: the world's parameters, and rows of each table, as JSON."""

    parameters: str
    rows: str


class Target(Protocol):
    """A database that a world can be written to."""

    name: str

    def tables(self) -> set[str]:
        """Names of the tables that are there; empty if the database is not there yet."""
        ...

    def manifest(self) -> Manifest:
        """The row of `sample_world`; the table must be there."""
        ...

    def write(self, pieces: Iterator[Piece], parameters: str) -> Manifest:
        """Put the world in the place of what is there, wholly or not at all."""
        ...
