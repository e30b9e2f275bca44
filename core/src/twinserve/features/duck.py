"""DuckDB as we use it: one connection a task, times in UTC, spilling below the data's own folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import duckdb

from twinserve.errors import BadInput, TransientError


@contextmanager
def duck() -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory connection whose session is in UTC and keeps the order of rows.

    Raises:
        BadInput: a file is damaged or has other columns or types than the query needs.
        TransientError: the disk is full or memory ran out.
    """
    connection = duckdb.connect(":memory:")
    try:
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true; SET enable_progress_bar = false")
        yield connection
    except duckdb.OutOfMemoryException as error:
        raise TransientError(f"DuckDB ran out of memory: {error}", fix="Free memory and try again") from error
    except duckdb.IOException as error:
        raise _io_error(error) from error
    except (duckdb.BinderException, duckdb.ConversionException, duckdb.InvalidInputException) as error:
        raise BadInput(f"the data does not have the columns or types asked for: {error}") from error
    finally:
        connection.close()


def _io_error(error: duckdb.IOException) -> Exception:
    if "No space left" in str(error):
        return TransientError(str(error), fix="Free space and run the command again")
    return BadInput(f"a data file can't be read: {error}", fix="Restore or remove the file named above")
