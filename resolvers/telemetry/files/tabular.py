"""Tables in CSV and Parquet files, read piece by piece: memory does not grow with a file.

Polars' own streams read ahead of a slow consumer, and a Parquet row group comes whole; here, nothing is read that was
not asked for.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final, Protocol

import polars as pl

BLOCK_BYTES = 8 << 20  # of CSV read at a time; no row is longer
TOO_LONG = f"a row is longer than {BLOCK_BYTES >> 20} MiB, or a quote is left open"
MOST_ROWS = 200_000  # at a time; of Parquet, the row group's compressed column is read anew each time
MOST_COLUMNS: Final = 1000
TOO_WIDE: Final = f"it has more than {MOST_COLUMNS} columns"
PARQUET: Final = b"PAR1"  # how such a file begins
OTHERS: Final = {  # how files begin that are sent by mistake; polars would unpack some of them, however large
    b"PARE": "its footer is encrypted",
    b"\x1f\x8b": "it is compressed by gzip; unpack it first",
    b"PK\x03\x04": "it is a zip or an Excel workbook; send the CSV file in it",
    b"\x28\xb5\x2f\xfd": "it is compressed by zstd; unpack it first",
    b"BZh": "it is compressed by bzip2; unpack it first",
    b"\xfd7zXZ": "it is compressed by xz; unpack it first",
    b"\x78\x01": "it is compressed by zlib; unpack it first",
    b"\x78\x9c": "it is compressed by zlib; unpack it first",
    b"\x78\xda": "it is compressed by zlib; unpack it first",
    b"\xff\xfe": "it is in UTF-16; save it as UTF-8",
    b"\xfe\xff": "it is in UTF-16; save it as UTF-8",
}


class Unreadable(Exception):
    """The file is none of ours; says why."""


class Tabular(Protocol):
    """A file with named columns."""

    @property
    def schema(self) -> pl.Schema:
        """Their names and types."""

    def rows(self) -> int:
        """How many there are."""

    def pieces(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """These columns of all rows, in order, a bounded part at a time. One pass at a time."""


def tabular(file: BinaryIO) -> Tabular:
    """Parquet tells by its first bytes, anything else is CSV.

    Raises Unreadable, an OSError or a PolarsError for what is neither, as do the methods.
    """
    file.seek(0)
    beginning = file.read(8)
    for mark, why in OTHERS.items():
        if beginning.startswith(mark):
            raise Unreadable(why)
    table = Parquet(file) if beginning.startswith(PARQUET) else Csv(file)
    if len(table.schema) > MOST_COLUMNS:
        raise Unreadable(TOO_WIDE)
    return table


class Csv:
    """Cells are text."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        first = next(self._blocks(), b"")
        if _first_row(first).count(b",") >= MOST_COLUMNS:  # before polars takes memory for each
            raise Unreadable(TOO_WIDE)
        self.schema = _scanned(first).collect_schema()
        self._header = pl.DataFrame(schema=self.schema).write_csv().encode()

    def rows(self) -> int:
        return sum(int(scan.select(pl.len()).collect().item()) for scan in self._scans())

    def pieces(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        return (scan.select(columns).collect() for scan in self._scans())

    def _scans(self) -> Iterator[pl.LazyFrame]:
        for number, block in enumerate(self._blocks()):
            yield _scanned(self._header + block if number else block)

    def _blocks(self) -> Iterator[bytes]:
        """Whole rows, the file's header before the first."""
        self._file.seek(0)
        block = b""
        while read := self._file.read(BLOCK_BYTES):
            block += read
            if len(read) < BLOCK_BYTES:
                break
            if end := _end_of_rows(block):
                yield from _portions(block[:end])
                block = block[end:]
            elif len(block) > BLOCK_BYTES:
                raise Unreadable(TOO_LONG)
        yield from _portions(block)


def _scanned(block: bytes) -> pl.LazyFrame:
    return pl.scan_csv(block, infer_schema=False)


def _first_row(block: bytes) -> bytes:
    """After an odd number of quotes, a line ends within a cell."""
    block = block.lstrip()
    end = quotes = 0
    while line := block.find(b"\n", end) + 1:
        quotes += block.count(b'"', end, line)
        end = line
        if quotes % 2 == 0:
            return block[:end]
    return block


def _end_of_rows(block: bytes) -> int:
    """Where its last whole row ends, 0 where none does; after an odd number of quotes, a line ends within a cell."""
    end = block.rfind(b"\n") + 1
    quotes = block.count(b'"', 0, end)
    while quotes % 2:
        before = block.rfind(b"\n", 0, block.rfind(b'"', 0, end)) + 1
        quotes -= block.count(b'"', before, end)
        end = before
    return end


def _portions(block: bytes) -> Iterator[bytes]:
    """Whole rows, not too many in each: a row may be a single byte, and take memory for each column."""
    half = _end_of_rows(block[: len(block) // 2]) if block.count(b"\n") > MOST_ROWS else 0
    if half:
        yield from _portions(block[:half])
        yield from _portions(block[half:])
    elif block:
        yield block


class Parquet:
    """Columns keep their types."""

    def __init__(self, file: BinaryIO) -> None:
        file.seek(0)
        self._lazy = pl.scan_parquet(file, glob=False)
        self.schema = self._lazy.collect_schema()

    def rows(self) -> int:
        return int(self._lazy.select(pl.len()).collect().item())

    def pieces(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Column by column: a row group, however large, is never in memory as a whole."""
        total = self.rows()
        for start in range(0, total, MOST_ROWS):
            part = self._lazy.slice(start, MOST_ROWS)
            piece = pl.DataFrame([part.select(column).collect().to_series() for column in columns])
            if len(piece) != min(MOST_ROWS, total - start):
                raise Unreadable("it has fewer rows than it says")
            yield piece
