"""Definitions that Feast refuses by their types are refused as before, without its checks at import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SAME = """
import json, re, sys
from datetime import timedelta
if sys.argv[1] == "ours":
    from twinserve.command.feast_checks import check_when_called
    check_when_called()
from feast import BatchFeatureView, Entity, FeatureService, FeatureView, Field, FileSource, Project, ValueType
from feast.data_source import KafkaSource, PushSource, RequestSource
from feast.types import Float32, Int64

e = Entity(name="d", join_keys=["d"], value_type=ValueType.INT64)
s = FileSource(name="s", path="x", timestamp_field="t")
v = FeatureView(name="v", entities=[e], source=s, schema=[Field(name="a", dtype=Float32)])
DEFINITIONS = [
    lambda: Entity(name=5), lambda: Entity(name="a", join_keys="driver"), lambda: Entity(name="a", value_type="INT64"),
    lambda: Entity(), lambda: Entity("a"), lambda: Entity(name="a", join_keys=["a"], tags={"a": 1}),
    lambda: FeatureView(name="v", entities=["e"], source=s), lambda: FeatureView(name="v", source=s, ttl=5),
    lambda: FeatureView(name="v", source=s, schema=["a"]), lambda: FeatureView(name="v", source=s, online="yes"),
    lambda: FeatureView(nme="v"), lambda: FeatureView(name="v", source="s"),
    lambda: FeatureView(name="w", source=s, ttl=timedelta(days=1), entities=[e], tags={"a": "b"}),
    lambda: BatchFeatureView(name="v", source=s, mode="python", schema=[5]), lambda: Project(name=3),
    lambda: Field(name="a", dtype="Float32"), lambda: Field(name=3, dtype=Float32),
    lambda: Field(name="a", dtype=Int64),
    lambda: FileSource(path=7), lambda: FileSource(path="x", field_mapping=["a"]), lambda: FileSource(path="x"),
    lambda: PushSource(name="p", batch_source="x"), lambda: PushSource(name="p", batch_source=s),
    lambda: RequestSource(name="r", schema="x"), lambda: KafkaSource(name="k", timestamp_field=3),
    lambda: FeatureService(name="s", features=v), lambda: FeatureService(name="s", features=[v[["a"]]]),
    lambda: FeatureService(name="s", features=["v"]), lambda: FeatureService(name="s", features=[v], tags=[]),
    lambda: v["a"], lambda: v[["b"]], lambda: v.with_name(5), lambda: v.with_name("w"),
    lambda: v.with_join_key_map("x"), lambda: v.with_join_key_map({"d": "e"}), lambda: v.with_projection("x"),
]

def outcome(made):
    try:
        made()
    except Exception as error:
        return [type(error).__name__, re.findall('"(.*?)"', str(error))[:1]]
    return ["taken"]

print(json.dumps([outcome(made) for made in DEFINITIONS]))
"""


def outcomes(whose: str) -> list[list[Any]]:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SAME, whose], capture_output=True, text=True, check=True
    )
    found: list[list[Any]] = json.loads(done.stdout)
    return found


@pytest.mark.integration
def test_what_feast_refuses_by_its_type_is_refused_with_the_name_of_the_argument() -> None:
    theirs, ours = outcomes("theirs"), outcomes("ours")
    assert ours == theirs
    refused = [said for said in theirs if said[0] == "TypeCheckError"]
    assert len(refused) > 15, "else this shows little"
    assert ["taken"] in theirs


ASKED = """
import sys
from twinserve.command.feast_checks import check_when_called
check_when_called()
import typeguard
from typeguard import TypeCheckError, typechecked

@typechecked
def doubled(number: int) -> int:
    return 2 * number

@typechecked
class Mine:
    def __init__(self, name: str) -> None:
        self.name = name

for wrong in (lambda: doubled("a"), lambda: Mine(5), lambda: typeguard.check_type(5, str)):
    try:
        wrong()
    except TypeCheckError:
        print("refused", type(sys.modules["typeguard"]).__name__)
"""


def test_other_code_gets_typeguard_itself(tmp_path: Path) -> None:
    (tmp_path / "asked.py").write_text(ASKED)  # typeguard reads the source
    done = subprocess.run([sys.executable, str(tmp_path / "asked.py")], capture_output=True, text=True, check=True)
    assert done.stdout == "refused module\n" * 3
