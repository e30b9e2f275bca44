from __future__ import annotations

import logging
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from twinserve.errors import BadInput
from twinserve.files.pydantic_keys import keys_at
from twinserve.files.yaml_files import read_model, read_yaml
from twinserve.files.yaml_scalars import differing


def written(folder: Path, text: str) -> Path:
    file = folder / "params.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-1", 0.1),
        ("1e3", 1000.0),
        ("-1E-3", -0.001),
        ("0o17", 15),
        ("0x1F", 31),
        ("no", "no"),
        ("[yes, Off]", ["yes", "Off"]),
        ("true", True),
        ("'010'", "010"),
        ("y", "y"),
        ("~", None),
        ("&a {b: [1, 2]}", {"b": [1, 2]}),
    ],
)
def test_a_value_is_what_yaml_1_2_says(tmp_path: Path, text: str, value: Any) -> None:
    assert read_yaml(written(tmp_path, f"a: {text}\n")).content == {"a": value}


@pytest.mark.parametrize("text", ["010", "08", "-010", "12:30", "190:20:30", "1_000", "0b11", ".5e1", "2026-13-45"])
def test_a_number_that_readers_do_not_agree_on_is_refused_with_its_place(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput, match=rf"params\.yaml, line 2, column 13: `{text}` is .* in YAML 1.2"):
        read_yaml(written(tmp_path, f"model:\n  depth: [1,{text}]\n"))


@pytest.mark.parametrize("text", ["1e-1", "no", "On"])
def test_what_version_1_1_reads_otherwise_is_said(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        read_yaml(written(tmp_path, f"a: 1\nb: {text}\n"))

    assert f"params.yaml, line 2, column 4: `{text}` is" in caplog.text
    with pytest.raises(BadInput, match="line 2, column 4"):
        read_yaml(written(tmp_path, f"a: 1\nb: {text}\n"), older_too=True)


def test_what_is_read_otherwise_is_said_once_by_a_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for text in ("a: yes\n", "a: yes\n", "a: yes\nb: no\n"):
        read_yaml(written(tmp_path, text))
    assert [record.message.partition("params.yaml, ")[2][:22] for record in caplog.records] == [
        "line 1, column 4: `yes",
        "line 2, column 4: `no`",
    ]


class Rates(BaseModel):
    rate: float
    more: dict[str, Any] = {}


@pytest.mark.parametrize(
    ("text", "said"),
    [("rate: 1e-1\n", False), ("rate: 1e-1\nmore: {x: 1e-1}\n", True), ("rate: 1\nmore: {no: 1}\n", True)],
    ids=["a number to both", "a text to one", "another key"],
)
def test_a_model_that_both_versions_make_is_said_nothing_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, said: bool
) -> None:
    assert read_model(written(tmp_path, text), Rates).rate in (0.1, 1)
    assert bool(caplog.records) == said


@pytest.mark.parametrize("text", ["a: 1", "a: 0.5", "a: true", "a: null", "a: 2026-01-31", "a: 'no'", "a: /b/c_1"])
def test_what_all_agree_on_is_said_nothing_of(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    read_yaml(written(tmp_path, text), older_too=True)

    assert caplog.text == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: 1\nb: 2\na: 3\n", r" is no YAML: line 3, column 1: found duplicate key"),
        ("a:\n  b: 1\n  b: 2\n", r" is no YAML: line 3, column 3: found duplicate key"),
        ("a: [", r" is no YAML: line 1, column 5"),
        ("a: 1\n---\nb: 2\n", r" is no YAML: line 2, column 1: but found another document"),
        ("a: !!python/name:os.system x\n", r" is no YAML: line 1, column 4: could not determine a constructor"),
        ("%YAML 1.1\n---\na: 010\n", r", line 3, column 4: `010`"),
        ("a: *b\n", r" is no YAML: line 1, column 4: found undefined alias"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=rf"params\.yaml{says}"):
        read_yaml(written(tmp_path, text))


def test_other_encodings(tmp_path: Path) -> None:
    file = tmp_path / "params.yaml"
    file.write_bytes("a: ä".encode("latin-1"))
    with pytest.raises(BadInput, match=r"params\.yaml is no YAML"):
        read_yaml(file)
    file.write_bytes("a: ä".encode("utf-8-sig"))
    assert read_yaml(file).content == {"a": "ä"}


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")
    depths: list[int]


class Whole(BaseModel):
    model_config = ConfigDict(extra="forbid")
    part: Part
    parts: dict[str, Part | Annotated[list[Part], Field(max_length=3)]] = {}
    then: Literal["fail", "warn"] | dict[Literal["rows", "age"], Literal["fail", "warn"]] = "fail"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("part:\n  depths: [1, x]\n", r"line 2, column 15: part\.depths\.1: Input should be a valid integer"),
        ("part:\n  depths: []\n  width: 1\n", r"line 3, column 3: part\.width: there is no such key, only depths\."),
        (
            "part: {depths: []}\nparts:\n  a: {deths: [], depths: []}\n",
            r"line 3, column 7: parts\.a\.deths: there is no such key \(did you mean depths\?\), only depths\.",
        ),
        (
            "part: {depths: []}\nthem: warn\n",
            r"line 2, column 1: them: there is no such key \(did you mean then\?\), only part, parts, then\.",
        ),
        (
            "part: {depths: []}\nthen: wrn\n",
            r"line 2, column 1: then: Input .*'warn', or .*a valid dict",
        ),
        (
            "part: {depths: []}\nthen: {ages: warn}\n",
            r"line 2, column 8: then\.ages: Input should be 'rows' or 'age'\. Correct the file$",
        ),
        ("part: {}\n", r"line 1, column 1: part\.depths: Field required"),
        ("", r"line 1, column 1: the file: Input should be a valid"),
    ],
)
def test_a_wrong_entry_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(BadInput, match=rf"params\.yaml, {says}"):
        read_model(written(tmp_path, text), Whole)


@given(st.from_regex(r"[-+0-9a-fA-Fxo_:.eEyYnNosff~<=]{1,8}", fullmatch=True))
def test_every_plain_scalar_has_one_reading_or_is_told(text: str) -> None:
    found = differing(text)

    if found and not found.doubtful:
        assert type(found.older) is not type(found.newer)
    if found is None and text.lstrip("-+").isdecimal():
        assert not text.lstrip("-+").startswith("0") or int(text) in range(-7, 8)


@pytest.mark.parametrize(
    ("location", "keys"),
    [
        ([], {"part", "parts", "then"}),
        (["part"], {"depths"}),
        (["parts"], set()),
        (["parts", "any"], {"depths"}),
        (["parts", "any", 2], {"depths"}),
        (["then"], set()),
        (["nothing", "there"], set()),
        (["part", "depths", 0], set()),
    ],
)
def test_the_keys_of_each_part_of_a_file(location: list[int | str], keys: set[str]) -> None:
    assert keys_at(Whole, location) == keys
