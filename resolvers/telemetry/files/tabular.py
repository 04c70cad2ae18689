"""Reads tables in CSV and Parquet files piece by piece, so that memory does not grow with the file.

Polars' own streams read ahead of a slow consumer and take a Parquet row group whole; here, only what was asked for is
read.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final, Protocol

import polars as pl

BLOCK_BYTES = 8 << 20  # of CSV read at a time; no row is longer
TOO_LONG = f"a row is longer than {BLOCK_BYTES >> 20} MiB, or a quote is left open"
MAX_ROWS = 200_000  # at a time; each time, the compressed column of a Parquet row group is read anew
MAX_COLUMNS: Final = 1000
TOO_WIDE: Final = f"it has more than {MAX_COLUMNS} columns"
PARQUET: Final = b"PAR1"  # how such a file begins
OTHERS: Final = {  # beginnings of files that are sent by mistake; polars would unpack some of them, however large
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
    """The file is neither CSV nor Parquet, or damaged; the message says why."""


REFUSED: Final = pl.Schema({"line": pl.Int64, "reason": pl.String})


@dataclass(frozen=True)
class Piece:
    """Some rows of a file, in its order.

    rows: the columns asked for. A CSV file's cells are text, null where empty; Parquet's columns keep their types.
    lines: where each row begins, counted from 1: the line of a CSV file, the row of a Parquet file (Int64).
    refused: rows that have no place in the table, as `REFUSED`: `line`, and a sentence that names it.
    """

    rows: pl.DataFrame
    lines: pl.Series
    refused: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=REFUSED))


class TableFile(Protocol):
    """A file with named columns."""

    @property
    def schema(self) -> pl.Schema:
        """Names and types of all columns. A heading that comes again has a name of its own here."""

    @property
    def headings(self) -> Mapping[str, str]:
        """The headings as the file has them, by their names in `schema`: the same but where one comes again."""

    @property
    def notes(self) -> Sequence[str]:
        """Sentences on what was understood of the file beyond plain CSV. Complete once all was read."""

    def count_rows(self) -> int:
        """Returns how many rows there are, refused ones too."""

    def read_pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Yields these columns of all rows in order, a bounded part at a time. Supports one pass at a time."""


def open_table(
    file: BinaryIO, decimal: str = ".", block_bytes: int = BLOCK_BYTES, max_rows: int = MAX_ROWS
) -> TableFile:
    """Opens a table: Parquet by its first bytes, anything else as CSV.

    Raises Unreadable, an OSError or a PolarsError for what is neither, as the methods do.

    decimal: what separates a number's decimals in CSV, and so is not what separates its cells if anything else can be.
    block_bytes: of CSV read at a time; no row may be longer.
    max_rows: of a piece.
    """
    file.seek(0)
    beginning = file.read(8)
    for mark, why in OTHERS.items():
        if beginning.startswith(mark):
            raise Unreadable(why)
    table = ParquetFile(file, max_rows) if beginning.startswith(PARQUET) else CsvFile(file, block_bytes, max_rows)
    if len(table.schema) > MAX_COLUMNS:
        raise Unreadable(TOO_WIDE)
    return table


class CsvFile:
    """A CSV file, whose cells are text."""

    def __init__(self, file: BinaryIO, block_bytes: int, max_rows: int) -> None:
        self._file, self._block_bytes, self._max_rows = file, block_bytes, max_rows
        first = next(self._read_blocks(), b"")
        if _find_first_row(first).count(b",") >= MAX_COLUMNS:  # checked before polars takes memory for each
            raise Unreadable(TOO_WIDE)
        self.schema = _scan(first).collect_schema()
        self._header = pl.DataFrame(schema=self.schema).write_csv().encode()
        self.headings = {name: name for name in self.schema}
        self.notes: list[str] = []

    def count_rows(self) -> int:
        return sum(int(scan.select(pl.len()).collect().item()) for scan in self._scan_blocks())

    def read_pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        line = 2
        for scan in self._scan_blocks():
            rows = scan.select(columns).collect()
            yield Piece(rows, pl.int_range(line, line + len(rows), eager=True))
            line += len(rows)

    def _scan_blocks(self) -> Iterator[pl.LazyFrame]:
        for number, block in enumerate(self._read_blocks()):
            yield _scan(self._header + block if number else block)

    def _read_blocks(self) -> Iterator[bytes]:
        """Yields whole rows; the first block begins with the file's header."""
        self._file.seek(0)
        block = b""
        while read := self._file.read(self._block_bytes):
            block += read
            if len(read) < self._block_bytes:
                break
            if end := _find_end_of_rows(block):
                yield from _split(block[:end], self._max_rows)
                block = block[end:]
            elif len(block) > self._block_bytes:
                raise Unreadable(TOO_LONG)
        yield from _split(block, self._max_rows)


def _scan(block: bytes) -> pl.LazyFrame:
    return pl.scan_csv(block, infer_schema=False)


def _find_first_row(block: bytes) -> bytes:
    """Returns the header row. After an odd number of quotes, a line ends within a cell."""
    block = block.lstrip()
    end = quotes = 0
    while line := block.find(b"\n", end) + 1:
        quotes += block.count(b'"', end, line)
        end = line
        if quotes % 2 == 0:
            return block[:end]
    return block


def _find_end_of_rows(block: bytes) -> int:
    """Returns where the last whole row ends, 0 where none does; see `_find_first_row`."""
    end = block.rfind(b"\n") + 1
    quotes = block.count(b'"', 0, end)
    while quotes % 2:
        before = block.rfind(b"\n", 0, block.rfind(b'"', 0, end)) + 1
        quotes -= block.count(b'"', before, end)
        end = before
    return end


def _split(block: bytes, max_rows: int) -> Iterator[bytes]:
    """Yields parts of whole rows, about `max_rows` at most: a row may be a single byte, yet take memory per column."""
    half = _find_end_of_rows(block[: len(block) // 2]) if block.count(b"\n") > max_rows else 0
    if half:
        yield from _split(block[:half], max_rows)
        yield from _split(block[half:], max_rows)
    elif block:
        yield block


class ParquetFile:
    """A Parquet file, whose columns keep their types."""

    def __init__(self, file: BinaryIO, max_rows: int) -> None:
        file.seek(0)
        self._max_rows = max_rows
        self._lazy = pl.scan_parquet(file, glob=False)
        self.schema = self._lazy.collect_schema()
        self.headings = {name: name for name in self.schema}
        self.notes: list[str] = []

    def count_rows(self) -> int:
        return int(self._lazy.select(pl.len()).collect().item())

    def read_pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Reads column by column, so that a row group is never in memory as a whole, however large."""
        total = self.count_rows()
        for start in range(0, total, self._max_rows):
            part = self._lazy.slice(start, self._max_rows)
            piece = pl.DataFrame([part.select(column).collect().to_series() for column in columns])
            if len(piece) != min(self._max_rows, total - start):
                raise Unreadable("it has fewer rows than it says")
            yield Piece(piece, pl.int_range(start + 1, start + len(piece) + 1, eager=True))
