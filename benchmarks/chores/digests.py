"""A file of joined rows as a few numbers: equal numbers, equal rows.

Each row is hashed; the hashes are added up, so that no order counts and no memory is needed; a second sum takes in each
row's place. NaN and null are one: a DataFrame knows only the first.
"""

from __future__ import annotations

from typing import Any

ROW = """item_id::BIGINT, epoch_us(event_timestamp::TIMESTAMPTZ),
         CASE WHEN isnan(rate_a::FLOAT) THEN NULL ELSE rate_a::FLOAT END,
         CASE WHEN isnan(rate_b::FLOAT) THEN NULL ELSE rate_b::FLOAT END,
         CASE WHEN isnan(tally::DOUBLE) THEN NULL ELSE tally::DOUBLE END"""


def sums(connection: Any, relation: str, place: str) -> dict[str, int]:
    """Rows, the sum of their hashes, and that of their hashes with their places.

    Args:
        connection: of DuckDB.
        relation: SQL of a table with the columns of the joined rows.
        place: SQL of a row's number.
    """
    query = f"SELECT count(*), sum(hash({ROW})), sum(hash({place}, {ROW})) FROM {relation}"
    rows, content, sequence = connection.execute(query).fetchall()[0]
    return {"rows": int(rows), "content": int(content or 0), "sequence": int(sequence or 0)}


def foreign_rows(connection: Any, relation: str, hashes: str) -> int:
    """How many rows of a relation are not among those whose hashes are in the Parquet file `hashes`."""
    query = f"SELECT count(*) FROM (SELECT hash({ROW}) AS h FROM {relation}) ANTI JOIN '{hashes}' USING (h)"
    return int(connection.execute(query).fetchall()[0][0])
