"""Tables in CSV and Parquet files, read piece by piece: memory does not grow with a file.

Polars' own streams read ahead of a slow consumer, and a Parquet row group comes whole; here, nothing is read that was
not asked for.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import polars as pl

BLOCK_BYTES = 8 << 20  # of CSV read at a time; no row is longer
TOO_LONG = f"a row is longer than {BLOCK_BYTES >> 20} MiB, or a quote is left open"
SLICE_ROWS = 200_000  # of Parquet at a time; each time, the row group's compressed column is read anew


class Tabular(Protocol):
    """A file with named columns."""

    @property
    def columns(self) -> list[str]:
        """Their names."""

    def rows(self) -> int:
        """How many there are."""

    def pieces(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """These columns of all rows, in order, a bounded part at a time."""


def tabular(path: Path) -> Tabular:
    """Raises an OSError or PolarsError for what is none, as do the methods."""
    return Parquet(path) if path.suffix.lower() == ".parquet" else Csv(path)


class Csv:
    """Cells are text."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.columns = _scanned(next(self._blocks(), b"")).collect_schema().names()
        self._header = pl.DataFrame(schema=self.columns).write_csv().encode()

    def rows(self) -> int:
        return sum(int(scan.select(pl.len()).collect().item()) for scan in self._scans())

    def pieces(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        return (scan.select(columns).collect() for scan in self._scans())

    def _scans(self) -> Iterator[pl.LazyFrame]:
        for number, block in enumerate(self._blocks()):
            yield _scanned(self._header + block if number else block)

    def _blocks(self) -> Iterator[bytes]:
        """Whole rows, the file's header before the first."""
        with self._path.open("rb") as file:
            block = b""
            while read := file.read(BLOCK_BYTES):
                block += read
                if len(read) < BLOCK_BYTES:
                    break
                if end := _end_of_rows(block):
                    yield block[:end]
                    block = block[end:]
                elif len(block) > BLOCK_BYTES:
                    raise pl.exceptions.ComputeError(TOO_LONG)
            if block:
                yield block


def _scanned(block: bytes) -> pl.LazyFrame:
    return pl.scan_csv(block, infer_schema=False)


def _end_of_rows(block: bytes) -> int:
    """Where its last whole row ends, 0 where none does; after an odd number of quotes, a line ends within a cell."""
    end = block.rfind(b"\n") + 1
    quotes = block.count(b'"', 0, end)
    while quotes % 2:
        before = block.rfind(b"\n", 0, end - 1) + 1
        quotes -= block.count(b'"', before, end)
        end = before
    return end


class Parquet:
    """Columns keep their types."""

    def __init__(self, path: Path) -> None:
        self._lazy = pl.scan_parquet(path, glob=False)
        self.columns = self._lazy.collect_schema().names()

    def rows(self) -> int:
        return int(self._lazy.select(pl.len()).collect().item())

    def pieces(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """Column by column: a row group, however large, is never in memory as a whole."""
        for start in range(0, self.rows(), SLICE_ROWS):
            part = self._lazy.slice(start, SLICE_ROWS)
            yield pl.DataFrame([part.select(column).collect().to_series() for column in columns])
