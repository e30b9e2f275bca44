"""Compare what two demos came to: `same_outcome.py first.json second.json`; exits 1 and names what differs.

What a run is called, how long it took and how many rows were new may differ; what was learned and answered may not.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq


def essence(file: Path) -> dict[str, Any]:
    """The model and its metrics, the bytes of the batch output, the online answer."""
    outcome = json.loads(file.read_text(encoding="utf-8"))
    trained = outcome["tasks"]["training_pipeline"]["model_validation_task"]
    scored = outcome["tasks"]["batch_serving_pipeline"]["batch_prediction_task"]
    output = Path(scored["output"])
    # the footer names the run; what is compared is what a reader of the file gets
    rows = pq.read_table(output).replace_schema_metadata(None)
    return {
        "model version": trained["version"],
        "metrics": trained["metrics"],
        "batch rows": hashlib.sha256(rows.to_pandas().to_csv().encode()).hexdigest(),
        "online answer": outcome["answer"],
    }


def main() -> int:
    """Compare the two files named on the command line."""
    first, second = (essence(Path(name)) for name in sys.argv[1:3])
    different = [name for name in first if first[name] != second[name]]
    for name in different:
        sys.stdout.write(f"{name}: {first[name]} then {second[name]}\n")
    sys.stdout.write("two demos came to the same\n" if not different else "two demos differ\n")
    return bool(different)


if __name__ == "__main__":
    sys.exit(main())
