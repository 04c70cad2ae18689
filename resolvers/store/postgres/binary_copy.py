"""PostgreSQL's binary formats to and from numpy: whole columns at once, no Python object per value.

Formats: PostgreSQL's documentation of COPY, "Binary Format", and `array_send` in its source (arrayfuncs.c). Times are
microseconds since 2000-01-01; the network's byte order throughout.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ml.numerics.arrays import Floats

HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)  # no flags, no extension
TRAILER: Final = b"\xff\xff"
POSTGRES_EPOCH_MS: Final = 946_684_800_000
ARRAY_HEADER: Final = 12  # bytes: dimensions, has nulls, element type; for each dimension its length and lower bound
DIMENSION: Final = 8
TYPES: Final = {
    "integer": ">i4",
    "bigint": ">i8",
    "real": ">f4",
    "double precision": ">f8",
    "timestamptz": ">i8",
    "char(2)": "S2",
}
FLOATS: Final = ("real", "double precision")  # whose NaN stands for null
BLOCK: Final = 2**20  # bytes: as many stay in the processor's cache while their columns are picked out
Columns = Mapping[str, tuple[str, NDArray[Any]]]  # by name: a key of TYPES, and the values


def copy_in(columns: Columns) -> bytes:
    """Columns of equal length as COPY … FROM STDIN (FORMAT binary) reads them; NaN becomes null.

    Timestamps are given in epoch milliseconds.
    """
    fields = [("fields", ">i2")]
    for place, (kind, _) in enumerate(columns.values()):
        fields += [(f"length{place}", ">i4"), (f"value{place}", TYPES[kind])]
    rows = np.empty(len(next(iter(columns.values()))[1]), dtype=fields)
    rows["fields"] = len(columns)
    kept = np.ones((len(rows), rows.itemsize), dtype=bool)
    for place, (kind, values) in enumerate(columns.values()):
        value = rows.dtype[f"value{place}"]
        rows[f"length{place}"] = value.itemsize
        rows[f"value{place}"] = (values - POSTGRES_EPOCH_MS) * 1000 if kind == "timestamptz" else values
        if kind in FLOATS and (missing := np.isnan(values)).any():
            rows[f"length{place}"][missing] = -1
            begin = _offset(rows.dtype, f"value{place}")
            kept[missing, begin : begin + value.itemsize] = False
    written = rows.view(np.uint8).reshape(kept.shape)
    return HEADER + (written.tobytes() if kept.all() else written[kept].tobytes()) + TRAILER


class CopyOut:
    """Reads what COPY … TO STDOUT (FORMAT binary) writes, in blocks as it comes.

    No value may be null (coalesce to NaN). Timestamps become epoch milliseconds. Raises ValueError for nulls, or other
    columns than these types.
    """

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._columns = columns
        fields = [("fields", ">i2")]
        for name, kind in columns.items():
            fields += [(f"length of {name}", ">i4"), (name, TYPES[kind])]
        self._row = np.dtype(fields)
        self._pending = bytearray()
        self._begin = len(HEADER)

    def take(self, chunk: bytes) -> bytes:
        """The next block of whole rows; empty while there are too few."""
        self._pending += chunk
        rows = (len(self._pending) - self._begin - len(TRAILER)) // self._row.itemsize
        return self._cut(rows) if rows * self._row.itemsize >= BLOCK else b""

    def rest(self) -> bytes:
        """The last block, when all was taken."""
        rows, beyond = divmod(len(self._pending) - self._begin - len(TRAILER), self._row.itemsize)
        if beyond or not self._pending.endswith(TRAILER):
            raise ValueError(f"not rows of {self._row.itemsize} bytes")
        return self._cut(rows)

    def _cut(self, rows: int) -> bytes:
        if self._begin and not self._pending.startswith(HEADER):
            raise ValueError("not in COPY's binary format")
        end = self._begin + rows * self._row.itemsize
        block = bytes(memoryview(self._pending)[self._begin : end])
        self._pending = self._pending[end:]
        self._begin = 0
        return block

    def columns(self, block: bytes) -> dict[str, NDArray[Any]]:
        """Of a block, by name."""
        rows = np.frombuffer(block, self._row)
        as_declared = [(rows["fields"] == len(self._columns)).all()]
        as_declared += [(rows[f"length of {name}"] == self._row[name].itemsize).all() for name in self._columns]
        if not all(as_declared):
            raise ValueError(f"not {len(self._columns)} columns of these types, or a null among them")
        return {name: _native(rows[name], kind) for name, kind in self._columns.items()}


def array(sent: bytes | None, kind: str) -> NDArray[Any]:
    """What `array_send` made of an array without nulls, flattened; empty for null and for an empty one.

    Raises ValueError for nulls among its values.
    """
    if sent is None or len(sent) == ARRAY_HEADER:
        return np.empty(0, dtype=np.dtype(TYPES[kind]).newbyteorder("="))
    if any(sent[4:8]):
        raise ValueError("there are nulls in this array")
    begin = ARRAY_HEADER + DIMENSION * int.from_bytes(sent[:4], "big")
    elements = np.frombuffer(sent, [("length", ">i4"), ("value", TYPES[kind])], offset=begin)
    return _native(elements["value"], kind)


def matrix(sent: Sequence[bytes | None], width: int) -> Floats:
    """What `array_send` made of rows of `real[]`, as (rows, width); NaN for null and for those of another length."""
    header = ARRAY_HEADER + DIMENSION
    unknown = bytes(header) + (b"\0\0\0\4" + np.array(np.nan, TYPES["real"]).tobytes()) * width
    row = np.dtype([("header", f"V{header}"), ("elements", [("length", ">i4"), ("value", ">f4")], width)])
    rows = np.frombuffer(
        b"".join(one if one is not None and len(one) == len(unknown) else unknown for one in sent), dtype=row
    )
    values: Floats = rows["elements"]["value"].astype(np.float64)
    return values


def _offset(dtype: np.dtype[Any], name: str) -> int:
    fields = dtype.fields
    assert fields is not None  # noqa: S101
    return int(fields[name][1])


def _native(values: NDArray[Any], kind: str) -> NDArray[Any]:
    native = values.astype(values.dtype.newbyteorder("="))
    return native // 1000 + POSTGRES_EPOCH_MS if kind == "timestamptz" else native
