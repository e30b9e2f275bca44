"""One reader for tables in files: the same refusals in text and in Parquet, for whoever takes one in."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twinserve.errors import BadInput
from twinserve.files.table_file import TableFile, is_table


def rows_of(file: Path, columns: list[str] | None = None) -> list[tuple[object, ...]]:
    return [tuple(row.values()) for batch in TableFile(file).batches(columns) for row in batch.to_pylist()]


def written(folder: Path, name: str, names: list[str], rows: list[list[str]]) -> Path:
    file = folder / name
    if name.lower().endswith(".parquet"):
        columns = [pa.array([row[i] for row in rows], pa.string()) for i in range(len(names))]
        pq.write_table(pa.Table.from_arrays(columns, names), file)
    else:
        text = io.StringIO()
        csv.writer(text).writerows([names, *rows])
        packed = text.getvalue().encode()
        file.write_bytes(gzip.compress(packed) if name.endswith(".gz") else packed)
    return file


KINDS = ["a.csv", "a.tsv.gz", "a.parquet", "A.CSV", "A.PARQUET"]


@pytest.mark.parametrize("name", KINDS)
def test_columns_come_in_the_order_in_which_they_are_asked_for(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, name, ["x", "y", "z"], [["1", "2", "3"], ["4", "5", "6"]])
    assert is_table(file)
    assert TableFile(file).schema().names == ["x", "y", "z"]
    assert rows_of(file, ["z", "x"]) == [("3", "1"), ("6", "4")]
    assert rows_of(file) == [("1", "2", "3"), ("4", "5", "6")]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(("names", "said"), [(["x", "y", "x"], "named x"), (["x", "", ""], "no name at all")])
def test_a_name_that_stands_twice_is_refused(tmp_path: Path, name: str, names: list[str], said: str) -> None:
    file = written(tmp_path, name, names, [["1", "2", "3"]])
    with pytest.raises(BadInput, match=rf"{name} has two columns .*{said}"):
        TableFile(file).schema()
    with pytest.raises(BadInput, match=said):
        rows_of(file)


@pytest.mark.parametrize("name", KINDS)
def test_names_that_differ_by_case_or_hold_a_dot_are_two(tmp_path: Path, name: str) -> None:
    file = written(tmp_path, name, ["rate", "Rate", "rate.x"], [["1", "2", "3"]])
    assert rows_of(file, ["Rate"]) == [("2",)]
    assert rows_of(file, ["rate"]) == [("1",)]
    assert rows_of(file, ["rate.x", "rate"]) == [("3", "1")]


def test_a_field_of_a_nested_column_is_no_column(tmp_path: Path) -> None:
    table = pa.table({"place": [{"x": 1, "y": 2}], "x": [9]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert TableFile(tmp_path / "a.parquet").schema().names == ["place", "x"]
    assert rows_of(tmp_path / "a.parquet", ["x", "place"]) == [(9, {"x": 1, "y": 2})]


@pytest.mark.parametrize("name", KINDS)
def test_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=f"no file .*{name}"):
        TableFile(tmp_path / name).schema()


def test_text_of_sixteen_bits_is_refused(tmp_path: Path) -> None:
    for encoding in ("utf-16", "utf-16-le"):
        (tmp_path / "a.csv").write_bytes("x,y\n1,2\n".encode(encoding))
        with pytest.raises(BadInput, match=r"UTF-16|can't be read"):
            TableFile(tmp_path / "a.csv").schema()


@pytest.mark.parametrize("content", ["PAR1", "", "x,y\n1,2\n"])
def test_what_is_no_parquet_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.parquet").write_text(content)
    with pytest.raises(BadInput, match=r"a\.parquet can't be read as Parquet"):
        TableFile(tmp_path / "a.parquet").schema()


def test_a_file_that_is_replaced_between_header_and_rows_is_read_as_it_was(tmp_path: Path) -> None:
    file = written(tmp_path, "a.parquet", ["x"], [["1"]])
    table = TableFile(file)
    table.schema()
    written(tmp_path, "b.parquet", ["y"], [["2"]]).replace(file)
    assert [batch.to_pylist() for batch in table.batches(["x"])] == [[{"x": "1"}]]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('x,y\n1,"a\n2,b\n3,c\n', 2),  # to the end of the file
        ('x,y\n1,"a\n2,b', 2),
        ('x,y\n0,z\n1,"a\n2,"b"\n', 3),  # to the next quote
        ('x,y\r\n1,"a\r\n2,b\r\n', 2),
        ('x,y\n1,"a\n\n2,5" wide\n', 2),
    ],
)
@pytest.mark.parametrize("columns", [["x", "y"], ["x"], ["y"]])
def test_an_open_quote_swallows_no_rows(tmp_path: Path, text: str, line: int, columns: list[str]) -> None:
    (tmp_path / "a.csv").write_bytes(text.encode())
    with pytest.raises(BadInput, match=rf"a\.csv, line {line}: a quote is not closed"):
        rows_of(tmp_path / "a.csv", columns)


def test_quotes_that_are_in_order_are_read(tmp_path: Path) -> None:
    text = 'x,y\n1,"a\nb"\n\n2,"say ""no"""\n3,5" wide\n'
    (tmp_path / "a.csv").write_text(text)
    assert rows_of(tmp_path / "a.csv") == [("1", "a\nb"), ("2", 'say "no"'), ("3", '5" wide')]


VALUES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=6)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(VALUES, VALUES), max_size=8), st.booleans())
def test_any_text_comes_back_or_the_file_is_refused(
    tmp_path: Path, rows: list[tuple[str, str]], end_is_missing: bool
) -> None:
    file = written(tmp_path, "a.csv", ["x", "y"], [list(row) for row in rows])
    if end_is_missing:  # as a copy that was cut off leaves it
        file.write_bytes(file.read_bytes()[:-3])
    expected = [(x or None, y or None) for x, y in rows]
    try:
        found = rows_of(file)
    except BadInput:
        assert end_is_missing
    else:
        assert len(found) >= len(expected) - end_is_missing
        assert found[: len(expected) - 1] == expected[: len(expected) - 1]
        assert end_is_missing or found == expected
