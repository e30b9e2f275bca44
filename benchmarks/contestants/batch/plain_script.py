"""Entity rows in, scores out, as the tutorials do it: Feast to a DataFrame, `predict_proba`, `to_parquet`.

After Feast's documentation, "Retrieve historical features", and scikit-learn's on persisting a model with joblib.

    python plain_script.py FEATURE_REPO SERVICE ENTITY_ROWS MODEL FEATURES OUTPUT
"""

from __future__ import annotations

import sys

import joblib
import pandas as pd
from feast import FeatureStore


def main(repo: str, service: str, entity_rows: str, model: str, features: str, output: str) -> None:
    """Score each row that has all its features."""
    store = FeatureStore(repo_path=repo)
    rows = pd.read_parquet(entity_rows)
    frame = store.get_historical_features(entity_df=rows, features=store.get_feature_service(service)).to_df()
    columns = features.split(",")
    known = frame.dropna(subset=columns)
    frame.loc[known.index, "prediction"] = joblib.load(model).predict_proba(known[columns])[:, 1]
    frame.to_parquet(output, index=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
