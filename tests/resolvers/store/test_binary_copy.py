"""Binary columns to PostgreSQL and back: it reads what we write, and we read what it writes."""

import io
import math
import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from resolvers.context import Services
from resolvers.store.postgres import binary_copy
from resolvers.store.postgres.database import driver

if TYPE_CHECKING:
    import asyncpg

PROPERTY = settings(
    settings.get_profile("repeatable"), max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = -62_135_596_799_999, 253_402_300_799_999  # epoch ms; the year 1 itself is -infinity to asyncpg
SMALLEST, LARGEST = 2.0**-149, (2 - 2.0**-23) * 2.0**127  # of four bytes
COLUMNS = {
    "counted": "integer",
    "numbered": "bigint",
    "direction": "char(2)",
    "at": "timestamptz",
    "level": "real",
    "never": "real",
}
NUMPY = {"integer": np.int64, "bigint": np.int64, "real": np.float64, "timestamptz": np.int64, "char(2)": "S2"}


def integers(bits: int) -> st.SearchStrategy[int]:
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    return st.sampled_from([low, low + 1, -1, 0, 1, high - 1, high]) | st.integers(low, high)


TIMES = st.sampled_from(
    [FIRST, -1001, -1000, -1, 0, 1, *(binary_copy.POSTGRES_EPOCH_MS + ms for ms in (-1, 0, 1)), LAST]
) | st.integers(FIRST, LAST)
REALS = st.sampled_from([0.0, -0.0, SMALLEST, -SMALLEST, LARGEST, -LARGEST]) | st.floats(width=32, allow_nan=False)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": integers(32),
    "bigint": integers(64),
    "char(2)": st.sampled_from(["IB", "OB"]),
    "timestamptz": TIMES,
    "real": REALS,
}
KNOWN = {name: VALUES[kind] for name, kind in COLUMNS.items()}
ROWS = st.lists(
    st.fixed_dictionaries(KNOWN | {"level": REALS | st.just(math.nan), "never": st.just(math.nan)}), max_size=30
)
ORDERS = st.permutations(list(COLUMNS))
NO_ROWS: list[dict[str, Any]] = []
EXTREMES = [
    {"counted": 2**31 - 1, "numbered": 2**63 - 1, "direction": "IB", "at": LAST, "level": LARGEST, "never": math.nan},
    {"counted": -(2**31), "numbered": -(2**63), "direction": "OB", "at": FIRST, "level": math.nan, "never": math.nan},
]


def columns_of(rows: Sequence[Mapping[str, Any]], order: Sequence[str]) -> dict[str, tuple[str, NDArray[Any]]]:
    """As `copy_in` takes them."""
    return {name: (COLUMNS[name], np.array([row[name] for row in rows], NUMPY[COLUMNS[name]])) for name in order}


def moment(at: int) -> datetime:
    return EPOCH + timedelta(milliseconds=at)


def as_selected(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a plain SELECT answers for it."""
    return {name: _selected(kind, row[name]) for name, kind in COLUMNS.items()}


def _selected(kind: str, value: Any) -> Any:
    if kind == "real" and math.isnan(value):
        return None
    return moment(value) if kind == "timestamptz" else value


async def create(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """A table `copied` that ends with the transaction; `row` tells the order in which its rows came."""
    described = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    await connection.execute(f"CREATE TEMP TABLE copied ({described}, row serial) ON COMMIT DROP")


def read_out(data: bytes, columns: dict[str, str], at_once: int = 2**30) -> dict[str, Any]:
    """In as many chunks as it takes."""
    reader = binary_copy.CopyOut(columns)
    chunks = [data[begin : begin + at_once] for begin in range(0, len(data), at_once)]
    blocks = [reader.columns(block) for block in (*map(reader.take, chunks), reader.rest())]
    return {name: np.concatenate([block[name] for block in blocks]) for name in columns}


async def copy_out(connection: "asyncpg.Connection[asyncpg.Record]", query: str) -> bytes:
    written = io.BytesIO()
    await connection.copy_from_query(query, output=written, format="binary")
    return written.getvalue()


# ---------------------------------------------------------------- columns in


@given(rows=ROWS, order=ORDERS)
@example(rows=NO_ROWS, order=list(COLUMNS))
@example(rows=EXTREMES, order=list(COLUMNS))
@example(rows=EXTREMES[:1], order=list(COLUMNS))
@PROPERTY
async def test_any_columns_that_are_copied_in_are_selected_as_they_were(
    services: Services, rows: list[dict[str, Any]], order: list[str]
) -> None:
    async with services.database.write() as session:
        connection = await driver(session)
        await create(connection)

        source = io.BytesIO(binary_copy.copy_in(columns_of(rows, order)))
        await connection.copy_to_table("copied", source=source, columns=order, format="binary")

        selected = await connection.fetch(f"SELECT {', '.join(COLUMNS)} FROM copied ORDER BY row")
        assert [dict(row) for row in selected] == [as_selected(row) for row in rows]


@given(values=st.lists(REALS | st.just(math.nan), max_size=30))
@PROPERTY
async def test_each_missing_value_is_a_null_of_its_own_row(services: Services, values: list[float]) -> None:
    column = np.array(values, np.float64)
    async with services.database.write() as session:
        connection = await driver(session)
        await connection.execute("CREATE TEMP TABLE copied (a real, b real, c real, row serial) ON COMMIT DROP")

        data = binary_copy.copy_in({"a": ("real", column), "b": ("real", column[::-1]), "c": ("real", column)})
        await connection.copy_to_table("copied", source=io.BytesIO(data), columns=["a", "b", "c"], format="binary")

        selected = await connection.fetch("SELECT a, b, c FROM copied ORDER BY row")
        expected = [_selected("real", value) for value in values]
        assert [tuple(row) for row in selected] == list(zip(expected, reversed(expected), expected, strict=True))


async def test_a_value_that_four_bytes_cannot_hold_is_the_nearest_that_they_can(services: Services) -> None:
    async with services.database.write() as session:
        connection = await driver(session)
        await create(connection)

        data = binary_copy.copy_in({"level": ("real", np.array([12.3, 1e-50, 16_777_217.0]))})
        await connection.copy_to_table("copied", source=io.BytesIO(data), columns=["level"], format="binary")

        selected = await connection.fetch("SELECT level FROM copied ORDER BY row")
        assert [row["level"] for row in selected] == [np.float32(12.3), 0.0, 16_777_216.0]


# ---------------------------------------------------------------- columns out


@given(rows=st.lists(st.fixed_dictionaries(KNOWN), max_size=30), order=ORDERS)
@example(rows=NO_ROWS, order=list(COLUMNS))
@PROPERTY
async def test_any_columns_are_read_as_they_were_stored(
    services: Services, rows: list[dict[str, Any]], order: list[str]
) -> None:
    async with services.database.write() as session:
        connection = await driver(session)
        await create(connection)
        records = [tuple(as_selected(row).values()) for row in rows]
        await connection.copy_records_to_table("copied", records=records, columns=list(COLUMNS))

        data = await copy_out(connection, f"SELECT {', '.join(order)} FROM copied ORDER BY row")
        read = read_out(data, {name: COLUMNS[name] for name in order})

        assert list(read) == order
        for name, values in read.items():
            expected = np.array([row[name] for row in rows], NUMPY[COLUMNS[name]])
            assert values.dtype.isnative
            np.testing.assert_array_equal(values, expected)


@given(rows=ROWS, order=ORDERS, at_once=st.sampled_from([1, 7, 100, 2**20]))
@PROPERTY
async def test_what_is_copied_in_is_copied_out_again(
    services: Services, monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], order: list[str], at_once: int
) -> None:
    monkeypatch.setattr(binary_copy, "BLOCK", 64)
    given_columns = columns_of(rows, order)
    coalesced = [f"coalesce({name}, 'NaN')" if COLUMNS[name] == "real" else name for name in order]
    async with services.database.write() as session:
        connection = await driver(session)
        await create(connection)

        source = io.BytesIO(binary_copy.copy_in(given_columns))
        await connection.copy_to_table("copied", source=source, columns=order, format="binary")
        data = await copy_out(connection, f"SELECT {', '.join(coalesced)} FROM copied ORDER BY row")
        read = read_out(data, {name: COLUMNS[name] for name in order}, at_once)

        for name, (_, values) in given_columns.items():
            np.testing.assert_array_equal(read[name], values)


async def test_of_a_time_finer_than_milliseconds_the_rest_is_left_out(services: Services) -> None:
    times = [moment(ms) + timedelta(microseconds=rest) for ms in (-5, 5) for rest in (0, 1, 999)]
    query = f"SELECT unnest('{{{','.join(at.isoformat() for at in times)}}}'::timestamptz[])"

    async with services.database.read() as session:
        connection = await driver(session)
        copied = read_out(await copy_out(connection, query), {"at": "timestamptz"})["at"]
        sent = binary_copy.array(await connection.fetchval(f"SELECT array_send(ARRAY({query}))"), "timestamptz")

    assert copied.tolist() == sent.tolist() == [-5, -5, -5, 5, 5, 5]


async def test_nulls_and_other_columns_than_expected_are_refused(services: Services) -> None:
    wrong = [
        ("SELECT 1::bigint", {"a": "integer"}),
        ("SELECT 1, 2", {"a": "integer"}),
        ("SELECT 1", {"a": "integer", "b": "integer"}),
        ("SELECT 1, 2", {"a": "bigint"}),
        ("SELECT 1.5", {"a": "real"}),
        ("SELECT NULL::integer", {"a": "integer"}),
        ("SELECT 1::bigint, 2", {"a": "integer", "b": "bigint"}),
        ("SELECT NULL::integer FROM generate_series(1, 5)", {"a": "integer"}),
        ("SELECT CASE WHEN n > 5 THEN n END FROM generate_series(1, 9) AS n", {"a": "integer"}),
    ]
    async with services.database.read() as session:
        written = [(await copy_out(await driver(session), query), columns) for query, columns in wrong]

    for data, columns in written:
        with pytest.raises(ValueError, match="not "):
            read_out(data, columns)


@pytest.mark.parametrize(
    "data", [b"", binary_copy.HEADER, b"1\t2\n" * 8, bytes(31)], ids=["nothing", "cut", "text", "zeros"]
)
def test_what_is_no_copy_at_all_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not "):
        read_out(data, {"a": "integer"})


# ---------------------------------------------------------------- arrays


ARRAYS = st.fixed_dictionaries(
    {
        kind: st.none() | st.lists(VALUES[kind] | (st.just(math.nan) if kind == "real" else st.nothing()), max_size=20)
        for kind in ("real", "integer", "bigint", "timestamptz")
    }
)


MATRICES = st.integers(1, 12).flatmap(
    lambda width: st.lists(st.lists(REALS | st.just(math.nan), min_size=width, max_size=width), min_size=1, max_size=8)
)


def sending(kinds: Sequence[str]) -> str:
    """Arrays of these kinds as a statement's parameters, each as `array_send` writes it."""
    return ", ".join(f"array_send(${place}::{kind}[])" for place, kind in enumerate(kinds, 1))


@given(batch=st.lists(ARRAYS, min_size=1, max_size=5))
@example(batch=[{"real": None, "integer": None, "bigint": None, "timestamptz": None}])
@example(batch=[{"real": [], "integer": [], "bigint": [], "timestamptz": []}])
@PROPERTY
async def test_any_array_is_read_as_it_was(services: Services, batch: list[dict[str, list[Any] | None]]) -> None:
    given_arrays = [(kind, values) for arrays in batch for kind, values in arrays.items()]
    async with services.database.read() as session:
        connection = await driver(session)

        sent = await connection.fetchrow(
            f"SELECT {sending([kind for kind, _ in given_arrays])}", *(_parameter(*each) for each in given_arrays)
        )

    assert sent is not None
    for (kind, values), one in zip(given_arrays, sent, strict=True):
        read = binary_copy.array(one, kind)
        assert read.dtype == {"real": np.float32, "integer": np.int32}.get(kind, np.int64)
        np.testing.assert_array_equal(read, np.array(values or [], read.dtype))


def _parameter(kind: str, values: list[Any] | None) -> list[Any] | None:
    return [moment(at) for at in values] if kind == "timestamptz" and values is not None else values


@given(rows=MATRICES)
@PROPERTY
async def test_an_array_of_arrays_is_read_row_by_row(services: Services, rows: list[list[float]]) -> None:
    async with services.database.read() as session:
        connection = await driver(session)

        sent = await connection.fetchval("SELECT array_send($1::real[])", rows)

    np.testing.assert_array_equal(binary_copy.array(sent, "real").reshape(len(rows), -1), rows)


async def test_an_array_may_begin_anywhere(services: Services) -> None:
    async with services.database.read() as session:
        connection = await driver(session)

        sent = await connection.fetchval("SELECT array_send('[-3:-1]={1,2,3}'::integer[])")

    assert binary_copy.array(sent, "integer").tolist() == [1, 2, 3]


@given(rows=MATRICES, unknown=st.sets(st.integers(0, 8)))
@example(rows=[[0.0]], unknown={0})
@PROPERTY
async def test_rows_of_equal_length_are_a_matrix_and_those_that_are_null_are_unknown(
    services: Services, rows: list[list[float]], unknown: set[int]
) -> None:
    known = [None if place in unknown else row for place, row in enumerate(rows)]
    nothing = [math.nan] * len(rows[0])
    async with services.database.read() as session:
        connection = await driver(session)

        sent = await connection.fetchrow(f"SELECT {sending(['real'] * len(known))}", *known)

    matrix = binary_copy.matrix(list(sent or ()), len(rows[0]))
    assert (matrix.shape, matrix.dtype) == ((len(rows), len(rows[0])), np.float64)
    np.testing.assert_array_equal(matrix, [nothing if row is None else row for row in known])


def test_no_rows_are_a_matrix_too() -> None:
    assert binary_copy.matrix([], 12).shape == (0, 12)


async def test_a_row_of_another_length_is_unknown(services: Services) -> None:
    async with services.database.read() as session:
        connection = await driver(session)
        sent = [await connection.fetchval("SELECT array_send($1::real[])", row) for row in ([1.0, 2.0], [3.0])]

    np.testing.assert_array_equal(binary_copy.matrix(sent, 2), [[1.0, 2.0], [np.nan, np.nan]])


def test_the_header_is_the_one_that_postgres_documents() -> None:
    signature, flags, extension = struct.unpack(">11sii", binary_copy.HEADER)

    assert (signature, flags, extension) == (b"PGCOPY\n\xff\r\n\0", 0, 0)
