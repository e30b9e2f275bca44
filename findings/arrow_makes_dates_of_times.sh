#!/bin/bash
# A good guess would be: pa.array() over Python values finds the type that holds all of them, or raises where there is none;
# of dates and times, that type is a timestamp.
# True is: the first value decides. A list that begins with a date takes every later datetime for a date and drops its
# hour, without an error or a warning; the same values in another order raise ArrowTypeError. A column of SQLite, which
# may hold both, loses its times or is refused by the order of its rows.
# Source: github.com/apache/arrow, python/pyarrow/src/arrow/python/inference.cc (Visit: a date ends the inference, since
# `keep_going` becomes false; date32 then takes a datetime, a subclass of date in Python), seen with pyarrow 25.0.1.
# Date: 2026-11-28.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check pyarrow==25.0.1
"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import date, datetime

import pyarrow as pa

print("pyarrow", pa.__version__)
day, noon = date(2026, 1, 1), datetime(2026, 1, 1, 12)
column = pa.array([day, noon])
print("a date, then noon:", column.type, column.to_pylist())
try:
    print("noon, then a date:", pa.array([noon, day]))
    raises = False
except pa.ArrowTypeError as error:
    print("noon, then a date:", type(error).__name__, error)
    raises = True
sys.exit(0 if column.to_pylist() == [day, day] and raises else 1)
PYTHON
echo "as described: the hour is gone, or the array refused, by the order of the values"
