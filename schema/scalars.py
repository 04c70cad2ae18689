"""Scalars: times with an offset, and arrays that are checked and written as a whole."""

import re
import reprlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NewType, cast

import numpy as np
import orjson
import polars as pl
import strawberry
from graphql import GraphQLError
from strawberry.types.scalar import ScalarDefinition

from resolvers.base.times import from_ms
from resolvers.telemetry.values.epochs import UNIT_NAMES, UNITS, find_unit
from resolvers.telemetry.values.moments import NO_OFFSET, read_moment
from resolvers.telemetry.values.parsed import Unusable

FloatArray = NewType("FloatArray", object)
IntArray = NewType("IntArray", object)
TimeArray = NewType("TimeArray", object)
DirectionArray = NewType("DirectionArray", object)
Upload = NewType("Upload", object)
MAX_TIME_LENGTH = 40  # characters
MAX_WORD_BYTES = 10  # bytes
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
USUAL_TIME = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[0-5]\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)


def parse_time(value: object) -> datetime:
    """Parses an RFC 3339 timestamp into UTC. Raises GraphQLError for anything else, and if it has no offset."""
    if not isinstance(value, str):
        raise GraphQLError(f"A DateTime is a string, such as 2026-01-31T12:00:00Z{_guess_time(value)}.")
    if len(value) > MAX_TIME_LENGTH:
        raise GraphQLError(f"A DateTime has at most {MAX_TIME_LENGTH} characters; this one has {len(value)}.")
    try:
        return datetime.fromisoformat(value).astimezone(UTC) if USUAL_TIME.fullmatch(value) else _read_time(value)
    except Unusable as unusable:
        if str(unusable) == NO_OFFSET:
            raise GraphQLError(f"{value!r} has no offset; append Z for UTC.") from None
    except (ValueError, OverflowError):
        pass
    guess = _guess_time(float(value)) if value.isdigit() and value.isascii() else ""
    raise GraphQLError(f"{value!r} is not an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z{guess}.") from None


def _read_time(text: str) -> datetime:
    """Reads what is less usual: `t` and `z`, leap seconds, more digits. Raises Unusable."""
    return EPOCH + timedelta(milliseconds=read_moment(text))


def _guess_time(value: object) -> str:
    """Returns what a number may be meant to be, to go on in a sentence."""
    unit = find_unit(value) if isinstance(value, int | float) else None
    if unit is None:
        return ""
    seconds = float(cast("float", value)) / UNITS[unit]
    return f"; {value:.0f} may be the {UNIT_NAMES[unit]} since 1970 of {format_time(from_ms(round(seconds * 1000)))}"


def format_time(at: datetime) -> str:
    """Formats a time in UTC with Z, and with milliseconds if there are any."""
    text = orjson.dumps(at if at.tzinfo is UTC else at.astimezone(UTC), option=orjson.OPT_UTC_Z)  # the quickest way
    return f"{text[1:24].decode()}Z" if at.microsecond else text[1:-1].decode()


def parse_upload(value: object) -> object:
    """Returns the file that the server put in place of the variable; it has `filename` and an open `file`."""
    if not hasattr(value, "file"):
        raise GraphQLError(
            "An Upload is a file of a multipart form, as in the GraphQL multipart request specification."
        )
    return value


def _column(dtype: type[pl.DataType], of: str) -> Callable[[object], pl.Series]:
    def parse(value: object) -> pl.Series:
        if not isinstance(value, list):
            raise GraphQLError(f"Expected a list of {of}.")
        try:
            if bool in set(map(type, value)):  # which polars takes for 0 and 1
                raise TypeError(bool)
            column = pl.Series(value, dtype=dtype, strict=True)
        except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):
            column = pl.Series([_parse_entry(dtype, of, *entry) for entry in enumerate(value)], dtype=dtype)
        if dtype is pl.String and column.str.len_bytes().gt(MAX_WORD_BYTES).any():
            index = int(column.str.len_bytes().gt(MAX_WORD_BYTES).arg_max() or 0)
            raise _refuse_entry(of, index, value[index])
        return column

    return parse


def _parse_entry(dtype: type[pl.DataType], of: str, index: int, entry: object) -> object:
    """Returns an entry as a column of this type takes it; 7.0 is a whole number. Raises GraphQLError."""
    if entry is None or (dtype is pl.String and isinstance(entry, str)):
        return entry
    if dtype is not pl.String and type(entry) in (int, float):
        number = cast("float", entry)
        if dtype is pl.Float64:
            return float(number)
        if number == number // 1 and -(2**63) <= number < 2**63:
            return int(number)
    raise _refuse_entry(of, index, entry)


def _refuse_entry(of: str, index: int, entry: object) -> GraphQLError:
    return GraphQLError(f"The list may only contain {of} or null; entry {index} is {reprlib.repr(entry)}.")


def _serialize_array(value: object) -> object:
    """Returns a numpy array unchanged: the JSON encoder writes it, with NaN as null."""
    return value if isinstance(value, np.ndarray) else list(cast("Any", value))


def _array(name: str, dtype: type[pl.DataType], of: str, description: str) -> ScalarDefinition:
    return strawberry.scalar(
        name=name, description=description, serialize=_serialize_array, parse_value=_column(dtype, of)
    )


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="An RFC 3339 timestamp, such as `2026-01-31T12:00:00Z`. Input needs an offset. Output is in UTC.",
        specified_by_url="https://datatracker.ietf.org/doc/html/rfc3339",
        serialize=format_time,
        parse_value=parse_time,
    ),
    FloatArray: _array(
        "FloatArray",
        pl.Float64,
        "numbers",
        "A JSON array of numbers, one per row. Null means not measured. Never NaN or Infinity.",
    ),
    IntArray: _array("IntArray", pl.Int64, "integers", "A JSON array of integers, one per row."),
    TimeArray: _array(
        "TimeArray",
        pl.Int64,
        "integers",
        "A JSON array of times, one per row, in milliseconds since 1970-01-01T00:00:00Z.",
    ),
    Upload: strawberry.scalar(
        name="Upload",
        description="A file, sent as the GraphQL multipart request specification says.",
        specified_by_url="https://github.com/jaydenseric/graphql-multipart-request-spec",
        parse_value=parse_upload,
    ),
    DirectionArray: _array(
        "DirectionArray", pl.String, "'IB' or 'OB'", 'A JSON array of `"IB"` or `"OB"`, one per row.'
    ),
}
