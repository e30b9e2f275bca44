"""Step 3: is this training set fit to train on?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_pipeline.checks import as_dicts, refuse_failed, warnings_of
from training_pipeline.data_checks import check_data
from training_pipeline.data_report import render
from training_pipeline.run_folder import RunFolder
from training_pipeline.targets import class_counts, read_targets
from training_pipeline.training_rows import read_training_rows
from twinserve.files.atomic import write_atomically

FIX = (
    "Correct the data, or `data_checks` or `missing` in params.yaml, and begin again: "
    "a join whose input is unchanged is taken over"
)


def validate_data(run: RunFolder) -> Mapping[str, Any]:
    """Check the training rows; every verdict is in `data_checks.json`, also when one refuses the data, and in the page
    `data_checks.html`, which shows the distributions of what failed.

    Raises:
        PermanentError: names each check that failed, with its numbers.
        ContractMismatch: a column is missing or of another type than declared.
    """
    run.begin("data-validation")
    params = run.params()
    rows = read_training_rows(run.training_rows, run.contract())
    targets = read_targets(rows.table[params.labels.target], params)
    checks = check_data(rows, targets, params)
    run.write_json("data_checks", {"checks": as_dicts(checks)})
    write_atomically(run.data_report, render(run.run_key, checks, rows, targets, params))
    refuse_failed(checks, "the training data is", f"See {run.data_report}. {FIX}")
    counts = {"classes": class_counts(targets.values[targets.usable])} if params.classifies else {}
    result = {
        "rows": rows.table.num_rows,
        "checks": len(checks),
        **counts,
        "warnings": warnings_of(checks),
        "report": str(run.data_report),
    }
    return run.finish("data-validation", result)
