"""DuckDB as we use it: one connection a task, times in UTC, memory bounded, spilling to a folder of ours."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import psutil

from twinserve.errors import BadInput, TransientError

CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
SHARE = 4  # of the machine's memory, a DuckDB of ours takes one part in this many


@dataclass(frozen=True)
class DuckLimits:
    """What a connection may take.

    Attributes:
        memory: bytes before DuckDB spills; None for a quarter of what the machine or the container has.
        spill: folder to spill to; None where nothing large is expected.
        threads: None for one per core.
        ordered: results keep the order of their rows, at some cost.
    """

    memory: int | None = None
    spill: Path | None = None
    threads: int | None = None
    ordered: bool = True


@contextmanager
def duck(limits: DuckLimits | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory connection whose session is in UTC.

    Raises:
        BadInput: a file is damaged or has other columns or types than the query needs.
        TransientError: the disk is full or memory ran out.
        KeyboardInterrupt: Ctrl-C stopped a query.
    """
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        _bound(connection, limits or DuckLimits())
        yield connection
    except duckdb.InterruptException as error:
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        raise TransientError(f"DuckDB ran out of memory or disk to spill to: {error}", fix="Free some") from error
    except duckdb.IOException as error:
        raise _io_error(error) from error
    except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
        if "magic bytes" in str(error):  # of Parquet, whose reader says so in this class
            raise _io_error(error) from error
        raise BadInput(f"the data does not have the columns or types asked for: {error}") from error
    finally:
        connection.close()


def fetched(connection: duckdb.DuckDBPyConnection, sql: str) -> dict[str, npt.NDArray[Any]]:
    """The columns of a query whose values are numbers, none of them null."""
    return {name: np.asarray(values) for name, values in connection.execute(sql).fetchnumpy().items()}


def memory_share() -> int:
    """Bytes: a quarter of what the machine, or the container that we are in, has."""
    return min([psutil.virtual_memory().total, *_cgroup_limits()]) // SHARE


def _bound(connection: duckdb.DuckDBPyConnection, limits: DuckLimits) -> None:
    connection.execute(f"SET preserve_insertion_order = {str(limits.ordered).lower()}")
    connection.execute(f"SET memory_limit = '{limits.memory or memory_share()}B'")
    if limits.threads:
        connection.execute(f"SET threads = {int(limits.threads)}")
    if limits.spill:
        folder = str(limits.spill).replace("'", "''")
        connection.execute(f"SET temp_directory = '{folder}'")


def _cgroup_limits() -> list[int]:
    texts = [Path(file).read_text("ascii").strip() for file in CGROUP_LIMITS if Path(file).is_file()]
    return [int(text) for text in texts if text.isdigit() and int(text) > 0]


def _io_error(error: duckdb.Error) -> Exception:
    if "No space left" in str(error):
        return TransientError(str(error), fix="Free space and run the command again")
    return BadInput(f"a data file can't be read: {error}", fix="Restore or remove the file named above")
