"""A batch answer: whose rows they are and where they stand; and the scores of some, worked out again by pandas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.chores.batch_rows import quoted
from benchmarks.job import Facts, Job, Measured

SAMPLE = 20_000
SUMS = """
    SELECT count(*), sum(hash({row})), sum(hash(n, {row}))
    FROM (SELECT *, row_number() OVER () AS n FROM read_parquet({files}))
"""


def ready(job: Job) -> Measured:
    """Compares `answer`, a file or a folder of parts, with `entity_rows`."""

    def measured() -> Facts:
        import duckdb

        files = parts(job.path("answer"))
        with duckdb.connect() as connection:
            rows, content, sequence = _sums(connection, job, files)
            wanted, right_content, right_sequence = _sums(connection, job, [job.inputs["entity_rows"]])
            sample = connection.sql(f"SELECT * FROM read_parquet({files}) LIMIT {SAMPLE}").to_arrow_table()
        return {
            "rows": rows,
            "lost": wanted - rows,
            "same_keys": content == right_content,
            "ordered": sequence == right_sequence,
            "largest_difference": largest_difference(sample.to_pandas(), job),
        }

    return measured


def parts(answer: Path) -> list[str]:
    """Its files, in order."""
    return [str(answer)] if answer.is_file() else sorted(str(file) for file in answer.rglob("*.parquet"))


def largest_difference(answer: Any, job: Job) -> float:
    """Between a score and the one worked out again, relative to the larger; infinite where only one is there."""
    import numpy as np

    right, given = _scores(answer, job), answer["prediction"].to_numpy(float)
    known = ~np.isnan(right)
    if (known != ~np.isnan(given)).any():
        return float("inf")
    apart = np.abs(right[known] - given[known]) / np.maximum(np.abs(right[known]), np.abs(given[known]))
    return float(apart.max(initial=0))


def _scores(answer: Any, job: Job) -> Any:
    """What scikit-learn gives for the features as `merge_asof` finds them; NaN where one is missing."""
    import joblib
    import numpy as np
    import pandas as pd

    keys, columns, time = job.inputs["keys"].split(","), job.inputs["features"].split(","), job.inputs["feature_time"]
    asked = answer[[*keys, "event_timestamp"]].assign(place=range(len(answer))).sort_values("event_timestamp")
    features = _features(job)[[*keys, time, *columns]].rename(columns={time: "feature_time"})
    asked["event_timestamp"] = asked["event_timestamp"].astype(features["feature_time"].dtype)
    joined = pd.merge_asof(asked, features, left_on="event_timestamp", right_on="feature_time", by=keys)
    known = joined.sort_values("place").reset_index(drop=True)[columns].dropna()
    scores = np.full(len(answer), np.nan)
    scores[known.index] = joblib.load(job.inputs["model"]).predict_proba(known.to_numpy(float))[:, 1]
    return scores


def _features(job: Job) -> Any:
    import pandas as pd

    root, _, pattern = job.inputs["feature_files"].partition("/**/")
    rows = pd.concat([pd.read_parquet(file) for file in sorted(Path(root).rglob(pattern))])
    order = [job.inputs[name] for name in ("feature_time", "feature_created") if job.inputs[name]]
    return rows.sort_values(order)


def _sums(connection: Any, job: Job, files: list[str]) -> tuple[int, ...]:
    row = f"{quoted(job.inputs['keys'])}, epoch_us(event_timestamp::TIMESTAMPTZ)"
    connection.execute("SET TimeZone = 'UTC'")
    return tuple(int(number) for number in connection.execute(SUMS.format(row=row, files=files)).fetchall()[0])
