"""Step 4: the rows to learn from, and the later rows to be judged by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from training_pipeline.prepared_rows import digest, usable_mask, usable_rows, write_prepared
from training_pipeline.run_folder import RunFolder
from training_pipeline.targets import read_targets
from training_pipeline.time_split import first_test_moment, instant
from training_pipeline.training_rows import read_training_rows


def prepare_data(run: RunFolder) -> Mapping[str, Any]:
    """Apply the policy for missing features, split by time, write both parts.

    Raises:
        PermanentError: the rows can't be split.
    """
    run.begin("data-preparation")
    params = run.params()
    rows = read_training_rows(run.training_rows, run.contract())
    targets = read_targets(rows.table[params.labels.target], params)
    usable = usable_rows(rows, targets)
    moment = first_test_moment(usable.times, params.split)
    train, test = usable.part(usable.times < moment), usable.part(usable.times >= moment)
    write_prepared(run.train, train)
    write_prepared(run.test, test)
    result = {
        "train_rows": len(train.times),
        "test_rows": len(test.times),
        "test_from": instant(moment).isoformat(),
        "passed_as_nan": rows.passed_as_nan(usable_mask(rows, targets) & (rows.asked < moment)),
        "left_out": {**rows.left_out(), "bad_target": int((~targets.usable).sum())},
        "digest": digest(train, test),
        "train": str(run.train),
        "test": str(run.test),
    }
    return run.finish("data-preparation", result)
