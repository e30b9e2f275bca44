from __future__ import annotations

from typing import Any

import pyarrow as pa

from data_pipeline.clean import ROW, clean_schema
from data_pipeline.sources import Checks
from data_pipeline.validation.checks import find_bad_rows


def test_a_bound_beyond_2_53_is_that_number(pipeline: Any) -> None:
    bound = 2**53 + 1
    checks = Checks.model_validate({"columns": {"count": {"max": bound}, "rate": {"min": 0.1}}})
    rows = {
        "shop": [1, 2],
        "rate": [0.5, 0.0],
        "count": [bound, bound + 1],
        "event_timestamp": [pipeline.now] * 2,
        "created": [pipeline.now] * 2,
        ROW: [0, 1],
    }

    bad = find_bad_rows(pa.table(rows, clean_schema(pipeline.view)), pipeline.view, checks, pipeline.now)

    assert bad.by_reason() == {f"count: above {bound}": 1, "rate: below 0.1": 1}
