"""Bytes to numbers and statuses, against Feast's protobuf and against the reader's slow way."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from feast.protos.feast.types.Value_pb2 import Null, Value
from google.protobuf.message import DecodeError
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from twinserve.contract import Contract
from twinserve.errors import PermanentError
from twinserve.features.feast_repo.views import ServedFeature, ServiceSpec
from twinserve.features.online_store import hash_rows
from twinserve.features.online_store.freshness import all_fresh, event_statuses
from twinserve.features.online_store.hash_rows import decoded
from twinserve.features.online_store.read_plan import HashPlan, Keys, read_plan
from twinserve.features.redis.layout import (
    DELETED_MARK,
    NULL_TIME,
    decode_value,
    dummy_key,
    event_time_field,
    feature_field,
    redis_key,
)
from twinserve.features.redis.value_decoding import number, numbers
from twinserve.missing import NO_EVENT, Status, cell_status

SECOND = 1_000_000
NOW = 1_800_000_000 * SECOND
INT32, INT64 = st.integers(-(2**31), 2**31 - 1), st.integers(-(2**63), 2**63 - 1)
EDGES = st.sampled_from([0, 1, -1, 127, 128, 16383, 16384, 2**53 - 1, 2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63)])
DTYPES = ("INT32", "INT64", "FLOAT", "DOUBLE", "BOOL")

scalars = st.one_of(
    st.builds(Value, int32_val=INT32),
    st.builds(Value, int64_val=INT64 | EDGES),
    st.builds(Value, float_val=st.floats(width=32)),
    st.builds(Value, double_val=st.floats()),
    st.builds(Value, bool_val=st.booleans()),
    st.builds(Value, unix_timestamp_val=INT64 | st.just(NULL_TIME)),
    st.just(Value(null_val=Null.NULL)),
    st.just(Value()),
).map(lambda message: message.SerializeToString())
cells = st.one_of(scalars, st.none())
with_contract = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def by_feast(content: bytes | None) -> float:
    """The number in the cell as protobuf reads it; NaN for a null."""
    if content is None:
        return math.nan
    message = Value.FromString(content)
    kind = message.WhichOneof("val")
    if kind in (None, "null_val") or (kind == "unix_timestamp_val" and message.unix_timestamp_val == NULL_TIME):
        return math.nan
    return float(getattr(message, kind))


def same(one: object, other: object) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(other), equal_nan=True))


@given(cells)
def test_a_cell_is_what_feast_and_the_layout_read(content: bytes | None) -> None:
    slow = None if content is None else decode_value(content)
    assert same(number(content), by_feast(content))
    assert same(number(content), math.nan if slow is None else float(slow))


@given(st.lists(cells, max_size=40), st.sampled_from(DTYPES))
@example([Value(bool_val=True).SerializeToString()] * 3, "INT64")
@example([None, None], "FLOAT")
@example([b"", b""], "BOOL")
def test_many_cells_are_each_what_one_is(column: list[bytes | None], dtype: str) -> None:
    assert same(numbers(column, dtype), [number(cell) for cell in column])


@given(st.sampled_from(DTYPES), st.data())
def test_columns_of_one_type_with_nulls(dtype: str, data: st.DataObject) -> None:
    kinds = {
        "INT32": st.builds(Value, int32_val=INT32),
        "INT64": st.builds(Value, int64_val=INT64 | EDGES | st.integers(0, 200)),
        "FLOAT": st.builds(Value, float_val=st.floats(width=32)),
        "DOUBLE": st.builds(Value, double_val=st.floats()),
        "BOOL": st.builds(Value, bool_val=st.booleans()),
    }
    some = kinds[dtype].map(lambda message: message.SerializeToString())
    column = data.draw(st.lists(st.one_of(some, some, some, st.none(), st.just(b"")), max_size=60))
    assert same(numbers(column, dtype), [by_feast(cell) for cell in column])


@given(st.binary(max_size=14), scalars, st.sampled_from(DTYPES))
@example(b"\x35\0\0\0\0\x35\0\0\0\0", b"", "FLOAT")
@example(b"\x20" + b"\x80" * 9 + b"\x02", b"\x20\x01", "INT64")
@example(b"\x20\x80", b"\x20\x01", "INT64")
@example(b"\x20", b"\x20\x01", "INT64")
@example(b"\x98\x01", b"", "INT64")
@example(b"\x12\x031.5", b"", "DOUBLE")
def test_other_bytes_are_never_another_number_than_feasts(content: bytes, good: bytes, dtype: str) -> None:
    try:
        expected = by_feast(content)
    except (DecodeError, TypeError, ValueError):  # no protobuf, or no scalar
        expected = None
    for read in (number, lambda cell: float(numbers([good, cell, good], dtype)[1])):
        try:
            found = read(content)
        except ValueError:
            continue
        if content[:1] == b"\x18":  # an int32 is cut to its 32 bits by protobuf; nobody writes more
            continue
        assert expected is not None
        assert same(found, expected)


def test_truncated_values_are_refused() -> None:
    for message in (Value(double_val=1.5), Value(float_val=1.5), Value(int64_val=-1), Value(int64_val=300)):
        content = message.SerializeToString()
        for cut in range(1, len(content)):
            for dtype in DTYPES:
                with pytest.raises(ValueError, match="cut off"):
                    numbers([content, content[:cut]], dtype)


def stamp(micros: int) -> bytes:
    return Timestamp(seconds=micros // SECOND, nanos=micros % SECOND * 1_000).SerializeToString()


moments = st.one_of(
    st.integers(NOW - 5 * SECOND, NOW + 5 * SECOND),
    st.integers(-(10**15), 4 * 10**16),
    st.sampled_from([0, 1, SECOND, (1 << 28) * SECOND, ((1 << 28) - 1) * SECOND, (1 << 35) * SECOND]),
)


@given(st.lists(st.none() | moments, max_size=8), st.none() | st.integers(0, 100), moments)
def test_event_times_are_compared_as_if_decoded(times: list[int | None], ttl: int | None, asked: int) -> None:
    limit = None if ttl is None else ttl * SECOND
    contents = [None if time is None else stamp(time) for time in times]
    expected = [
        Status.UNKNOWN
        if time is None or time > asked
        else Status.STALE
        if limit is not None and asked - time > limit
        else Status.PRESENT
        for time in times
    ]
    assert event_statuses(contents, asked, limit) == expected
    if all_fresh(contents, asked, limit):
        assert set(expected) <= {Status.PRESENT}


@pytest.mark.parametrize("asked", [NOW, NOW + 1, NOW + SECOND - 1], ids=["second", "just behind it", "just before it"])
@pytest.mark.parametrize("ttl", [0, 1, 3600, None])
def test_the_edges_of_what_is_fresh_are_the_same_in_both_twins(
    build: Callable[..., Contract], asked: int, ttl: int | None
) -> None:
    """Fresh from exactly the TTL before the moment of asking to exactly that moment; a later row is not known yet."""
    feature = ServedFeature("sales", "revenue", "INT64", ttl, ("store_id",))
    contract, (plan,) = plan_of(build, feature)
    oldest = asked - (ttl or 0) * SECOND
    edges = {edge + off for edge in (oldest, asked) for off in (-SECOND, -1, 0, 1, SECOND)}
    whole = {edge // SECOND * SECOND + off for edge in edges for off in (0, SECOND)}
    for time in sorted(edges | whole):
        expected = (
            Status.UNKNOWN if time > asked else Status.STALE if ttl is not None and time < oldest else Status.PRESENT
        )
        times = np.array([[time]], np.int64)
        assert cell_status(contract, np.array([[5.0]]), times, np.array([asked])).item() == expected, time
        assert event_statuses([stamp(time)], asked, None if ttl is None else ttl * SECOND) == [expected], time
        rows = decoded(plan, [[Value(int64_val=5).SerializeToString(), stamp(time)]], asked)
        assert rows.status.item() == expected, time
        assert rows.complete == (expected == Status.PRESENT)
        assert np.isnan(rows.values).all() == (expected == Status.UNKNOWN)


@pytest.mark.parametrize("nanos", [0, 1_000, 20_000, 3_000_000, 300_000_000, 999_999_000])
def test_a_fresh_time_in_every_usual_length_is_not_decoded(nanos: int) -> None:
    """Else the quick way would be none; 3600 s ago in any length of nanoseconds, beside the limits of that second."""
    whole = Timestamp(seconds=NOW // SECOND - 3600, nanos=nanos).SerializeToString()
    assert all_fresh([whole] * 2, NOW, 3601 * SECOND)
    assert not all_fresh([whole, None], NOW, 3601 * SECOND)
    assert not all_fresh([whole], NOW, 3599 * SECOND)
    assert not all_fresh([whole], NOW - 3601 * SECOND, None), "it is yet to come"


@given(moments, st.none() | st.sampled_from([0, 1, 3600, 10**9]), st.data())
def test_an_event_time_that_is_cut_off_is_refused_wherever_it_ends(
    time: int, ttl: int | None, data: st.DataObject
) -> None:
    content = stamp(time)
    cut = content[: data.draw(st.integers(1, len(content)))] if content else b""
    try:
        whole = Timestamp.FromString(cut)
    except DecodeError:
        with pytest.raises(ValueError, match="cut off"):
            event_statuses([cut], NOW, None if ttl is None else ttl * SECOND)
        assert not all_fresh([cut], NOW, None if ttl is None else ttl * SECOND)
    else:  # the seconds alone, or all of it
        (found,) = event_statuses([cut], NOW, None if ttl is None else ttl * SECOND)
        at = whole.seconds * SECOND + whole.nanos // 1_000
        fresh = ttl is None or NOW - at <= ttl * SECOND
        assert found == (Status.UNKNOWN if at > NOW else Status.PRESENT if fresh else Status.STALE)


@given(st.binary(max_size=13) | st.binary(max_size=7).map(lambda tail: stamp(NOW - SECOND)[:6] + tail))
@example(b"\x08\x80\x80\x80\x80\x00")
@example(stamp(NOW - 10 * SECOND)[:5])
@example(stamp(NOW - 10 * SECOND) + b"\x10")
@example(stamp(NOW - 10 * SECOND) + b"\x10\x80")
@example(stamp(NOW - 10 * SECOND) + b"\x18\x01")
@example(stamp(NOW - 10 * SECOND) + b"\x10\xff\xff\xff\xff\x07")
def test_other_bytes_are_never_another_time_than_protobufs(content: bytes) -> None:
    try:
        whole = Timestamp.FromString(content)
        at = whole.seconds * SECOND + whole.nanos // 1_000
    except DecodeError:
        at = None
    ttl = 3600 * SECOND
    if all_fresh([content], NOW, ttl):
        assert at is not None
        assert NOW - ttl <= at <= NOW
    try:
        (found,) = event_statuses([content], NOW, ttl)
    except ValueError:
        return
    assert at is not None
    gone = at > NOW or content.endswith(DELETED_MARK)
    assert found == (Status.UNKNOWN if gone else Status.PRESENT if NOW - at <= ttl else Status.STALE)


def test_an_event_time_of_1970_is_one() -> None:
    assert stamp(0) == b""
    assert event_statuses([b"", None], 10, 11) == [Status.PRESENT, Status.UNKNOWN]
    assert event_statuses([b"", None], 10, 9) == [Status.STALE, Status.UNKNOWN]
    with pytest.raises(ValueError, match="cut off"):
        event_statuses([b"\x08\x80"], NOW, 1)


FEATURES = tuple(
    ServedFeature(view, f"{view}_{kind}", kind, ttl, ("store_id",))
    for view, ttl in (("sales", 3), ("visits", None))
    for kind in DTYPES
)


def plan_of(build: Callable[..., Contract], *features: ServedFeature, **keys: str) -> tuple[Contract, list[HashPlan]]:
    contract = build(ServiceSpec("shop", "ranking", keys or {"store_id": "INT64"}, features))
    return contract, read_plan(contract)


@with_contract
@given(data=st.data(), rows=st.integers(0, 30))
def test_rows_have_the_statuses_of_the_one_place_that_knows_them(
    build: Callable[..., Contract], data: st.DataObject, rows: int
) -> None:
    contract, (plan,) = plan_of(build, *FEATURES)
    times = [data.draw(st.lists(st.none() | moments, min_size=2, max_size=2)) for _ in range(rows)]
    replies = [
        [*data.draw(st.lists(cells, min_size=10, max_size=10)), *(None if t is None else stamp(t) for t in pair)]
        for pair in times
    ]
    values = np.array([[number(cell) for cell in reply[:10]] for reply in replies]).reshape(rows, 10)
    events = np.array([[NO_EVENT if t is None else t for t in pair for _ in range(5)] for pair in times], np.int64)
    expected = cell_status(contract, values, events.reshape(rows, 10), np.full(rows, NOW))
    absent = np.array([[cell is None for cell in reply[:10]] for reply in replies], bool).reshape(rows, 10)
    seen = (absent & (expected != Status.UNKNOWN)).any(axis=0)
    expected[absent] = Status.UNKNOWN  # a null is an empty value, no value at all is a row of other definitions
    found = decoded(plan, replies, NOW)
    assert same(found.status, expected)
    titles = [feature.title for feature in contract.features]
    assert found.absent == tuple(title for title, one in zip(titles, seen, strict=True) if one)
    assert same(found.values, np.where(expected == Status.UNKNOWN, np.nan, values))
    assert found.complete == (not expected.any())
    assert [found.values.dtype, found.status.dtype] == [np.dtype("f8"), np.dtype("i1")]


GOOD = [b"\x18\x01", b"\x20\x01", b"\x35\0\0\0\0", b"\x29" + b"\0" * 8, b"\x38\x01"] * 2 + [stamp(NOW)] * 2


def test_rows_that_have_everything_need_no_look_at_each_status(
    build: Callable[..., Contract], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the quick way would be none."""
    monkeypatch.setattr(hash_rows, "_with_status", lambda *_: pytest.fail("looked"))
    _, (plan,) = plan_of(build, *FEATURES)
    for rows in (1, 100):
        found = decoded(plan, [[*GOOD[:10], *[stamp(NOW - SECOND)] * 2]] * rows, NOW)
        assert found.complete
        assert found.status.dtype == np.int8
        assert not found.status.any()


@pytest.mark.parametrize("rows", [1, 100])
def test_what_is_no_number_is_named(build: Callable[..., Contract], rows: int) -> None:
    _, (plan,) = plan_of(build, *FEATURES)
    good = GOOD
    bad = [*good[:6], Value(string_val="1.5").SerializeToString(), *good[7:]]
    assert decoded(plan, [good] * rows, NOW).complete
    with pytest.raises(PermanentError, match="no number for visits:visits_INT64: a value of protobuf field 2"):
        decoded(plan, [good] * (rows - 1) + [bad], NOW)
    for damaged in (b"\x08\x80", stamp(NOW - SECOND)[:5], stamp(NOW - 1)[:-1], stamp(NOW - SECOND) + b"\x10"):
        for reply, view in (([*good[:10], damaged, good[11]], "sales"), ([*good[:11], damaged], "visits")):
            with pytest.raises(PermanentError, match=f"no event time for the view {view}: the bytes are cut off"):
                decoded(plan, [good] * (rows - 1) + [reply], NOW)
        with pytest.raises(PermanentError, match="no event time for the view visits"):
            decoded(plan, [[*good[:10], None, damaged]] * rows, NOW)


def hmget(*words: bytes) -> bytes:
    return b"*%d\r\n$5\r\nHMGET\r\n" % (1 + len(words)) + b"".join(b"$%d\r\n%b\r\n" % (len(w), w) for w in words)


KEY = {"INT32": INT32, "INT64": INT64, "STRING": st.text()}


@with_contract
@given(kinds=st.dictionaries(st.text(min_size=1), st.sampled_from(list(KEY)), min_size=1, max_size=3), data=st.data())
def test_requests_name_the_hashes_that_feast_writes(
    build: Callable[..., Contract], kinds: dict[str, str], data: st.DataObject
) -> None:
    feature = ServedFeature("sales", "revenue", "FLOAT", None, tuple(kinds))
    _, (plan,) = plan_of(build, feature, **kinds)
    rows = data.draw(st.lists(st.tuples(*(KEY[kind] for kind in kinds.values())), min_size=1, max_size=9))
    chosen, places = plan.distinct({name: [row[at] for row in rows] for at, name in enumerate(kinds)})
    order = range(len(rows)) if places is None else places
    names = [redis_key("shop", {n: (k, v) for (n, k), v in zip(kinds.items(), row, strict=True)}) for row in rows]
    fields = [feature_field("sales", "revenue"), event_time_field("sales")]
    commands = plan.commands(chosen)
    assert [commands[place][0] for place in order] == names
    assert [commands[place][1] for place in order] == [hmget(name, *fields) for name in names]
    assert plan.request(chosen) == b"".join(each for _, each in commands)
    assert len({name for name, _ in commands}) == len(commands)


def test_each_set_of_join_keys_is_one_hash(build: Callable[..., Contract]) -> None:
    contract, plans = plan_of(
        build,
        ServedFeature("a", "x", "INT64", 1, ("store_id",)),
        ServedFeature("b", "y", "INT64", 2, ("city",)),
        ServedFeature("c", "z", "INT64", 3, ("store_id",)),
        ServedFeature("d", "w", "INT64", 4, ("store_id", "city")),
        ServedFeature("e", "v", "INT64", 5, ()),
        store_id="INT64",
        city="STRING",
    )
    assert [(list(plan.names), plan.outputs) for plan in plans] == [
        (["store_id"], [0, 2]),
        (["city"], [1]),
        (["city", "store_id"], [3]),
        ([], [4]),
    ]
    keys: Keys = {"store_id": [1, 2, 1], "city": ["x", "x", "x"]}
    assert [plan.distinct(keys) for plan in plans] == [
        ([1, 2], [0, 1, 0]),
        (["x"], [0, 0, 0]),
        ([("x", 1), ("x", 2)], [0, 1, 0]),
        ([()], [0, 0, 0]),
    ]
    assert plans[3].commands([()])[0][0] == dummy_key("shop")
    assert contract.to_json().count("stored_") == 0


def test_renamed_views_and_keys_are_read_under_their_own_names(build: Callable[..., Contract]) -> None:
    contract, plans = plan_of(
        build,
        ServedFeature("origin", "x", "INT64", 1, ("origin_id",), "place", ("place_id",)),
        ServedFeature("target", "x", "INT64", 1, ("target_id",), "place", ("place_id",)),
        origin_id="INT64",
        target_id="INT64",
    )
    name = redis_key("shop", {"place_id": ("INT64", 7)})
    fields = [feature_field("place", "x"), event_time_field("place")]
    assert [plan.request([7]) for plan in plans] == [hmget(name, *fields)] * 2
    assert [list(plan.names) for plan in plans] == [["origin_id"], ["target_id"]]
    assert Contract.from_json(contract.to_json()) == contract


@pytest.mark.parametrize(("kind", "bad"), [("INT64", 2**63), ("INT32", 2**31), ("INT64", "x"), ("INT32", 1.5)])
def test_keys_out_of_range_are_refused(build: Callable[..., Contract], kind: str, bad: object) -> None:
    _, (plan,) = plan_of(build, ServedFeature("a", "x", "INT64", 1, ("id",)), id=kind)
    with pytest.raises(ValueError, match="out of the range of"):
        plan.request([1, bad])


def test_a_join_key_that_the_contract_does_not_name(build: Callable[..., Contract]) -> None:
    with pytest.raises(PermanentError, match="join key other"):
        plan_of(build, ServedFeature("a", "x", "INT64", 1, ("other",)))
