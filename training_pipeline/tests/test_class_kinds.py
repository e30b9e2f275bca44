"""Classes that are booleans or texts, and a target that bears a feature's name: from the table to the champion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from twinserve.errors import BadInput

pytestmark = pytest.mark.integration


def relabel(project: Any, **columns: Any) -> None:
    """Rewrite the label table: new column → a function of the outcome 0 or 1."""
    engine = sa.create_engine(project.settings.source_database)
    table = pd.read_sql("SELECT * FROM evenings", engine)
    made = table.assign(**{name: table["sold_out"].map(make) for name, make in columns.items()})
    made[["stall_id", "at", *columns]].to_sql("evenings", engine, index=False, if_exists="replace")
    engine.dispose()


def rewrite(project: Any, old: str, new: str) -> None:
    file = project.root / "params.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("words", "written", "positive"),
    [
        ({0: "no", 1: "yes"}, ("[no, yes]", "yes"), "yes"),
        ({0: 0, 1: 1}, ("[false, true]", "true"), True),
        ({0: "false", 1: "true"}, ("[false, true]", "true"), True),
        ({0: "0", 1: "1"}, ('["0", "1"]', '"1"'), "1"),
    ],
    ids=["texts", "booleans", "booleans as text", "digits as text"],
)
def test_a_champion_of_other_classes_is_that_of_numbers(
    stalls: Any, words: dict[int, Any], written: tuple[str, str], positive: Any
) -> None:
    relabel(stalls, sold_out=words.__getitem__)
    rewrite(stalls, "classes:\n  - 0\n  - 1\n", f"classes: {written[0]}\n")
    rewrite(stalls, "positive_class: 1\n", f"positive_class: {written[1]}\n")

    of_words = stalls.train("words")
    served = stalls.registry.load_champion()
    relabel(stalls, sold_out={word: number for number, word in words.items()}.__getitem__)
    stalls.set_params()
    of_numbers = stalls.train("numbers")

    assert repr(served.contract.output.positive_class) == repr(positive)
    assert of_words["metrics"] == of_numbers["metrics"]
    rows = np.random.default_rng(1).random((50, 3))
    assert served.score(rows).tolist() == stalls.registry.load_champion().score(rows).tolist()


def test_a_target_that_bears_a_features_name_is_renamed(stalls: Any) -> None:
    relabel(stalls, share=int, visits=str)
    stalls.set_params(labels={"target": "share"})
    with pytest.raises(BadInput, match=r"labels\.target share is the name of a feature"):
        stalls.train("refused")

    stalls.set_params(labels={"target": "sold_out", "rename": {"share": "sold_out"}})

    assert stalls.train("renamed")["metrics"]["roc_auc"] > 0.7
