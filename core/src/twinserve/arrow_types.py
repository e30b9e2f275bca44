"""What each Feast value type is in Arrow, wherever a column is read, checked or stored."""

from __future__ import annotations

import pyarrow as pa

from twinserve.times import INSTANT

# what is not here (lists, maps, bytes) no pipeline reads
ARROW_TYPES = {
    "INT32": pa.int32(),
    "INT64": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "STRING": pa.string(),
    "BOOL": pa.bool_(),
    "UNIX_TIMESTAMP": INSTANT,
}
