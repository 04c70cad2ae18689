"""Reads Parquet files piece by piece.

Polars' own streams read ahead of a slow consumer and take a row group whole; here, only what was asked for is read.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO

import polars as pl

from resolvers.telemetry.files.pieces import MAX_COLUMNS, TOO_WIDE, Piece, Unreadable


class ParquetFile:
    """A Parquet file, whose columns keep their types."""

    def __init__(self, file: BinaryIO, max_rows: int) -> None:
        file.seek(0)
        self._max_rows = max_rows
        self._lazy = pl.scan_parquet(file, glob=False)
        self.schema = self._lazy.collect_schema()
        if len(self.schema) > MAX_COLUMNS:
            raise Unreadable(TOO_WIDE)
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
