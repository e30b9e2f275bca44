"""What each Feast value type is in Arrow, wherever a column is read, checked or stored."""

from __future__ import annotations

import pyarrow as pa

from twinserve.values.value_types import VALUE_TYPES

# by the names in that table
_NAMED = {str(kind): kind for kind in (pa.int32(), pa.int64(), pa.float32(), pa.float64(), pa.string(), pa.bool_())}
_NAMED |= {str(kind): kind for kind in (pa.binary(), pa.timestamp("us", tz="UTC"))}

STORED_TYPES = {name: _NAMED[kind.arrow] for name, kind in VALUE_TYPES.items() if kind.arrow}
# what is not here (lists, maps, bytes) no pipeline reads
ARROW_TYPES = {name: kind for name, kind in STORED_TYPES.items() if VALUE_TYPES[name].ingested}
