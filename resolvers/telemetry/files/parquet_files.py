"""Reads Parquet files piece by piece.

Polars' own streams read ahead of a slow consumer and take a row group whole; here, only what was asked for is read.
"""

from collections.abc import Iterator, Sequence
from typing import BinaryIO, Final

import polars as pl

from resolvers.telemetry.files.messages import make_printable
from resolvers.telemetry.files.pieces import MAX_COLUMNS, TOO_WIDE, Piece, Unreadable

NAMED_CHARACTERS: Final = 50  # of a column


class ParquetFile:
    """A Parquet file, whose columns keep their types, those of their values where they have dictionaries."""

    def __init__(self, file: BinaryIO, max_rows: int, notes: Sequence[str] = ()) -> None:
        file.seek(0)
        self._max_rows = max_rows
        self._lazy = pl.scan_parquet(file, glob=False)
        stored = self._lazy.collect_schema()
        if len(stored) > MAX_COLUMNS:
            raise Unreadable(TOO_WIDE)
        self.schema = pl.Schema({name: pl.String if _is_dictionary(dtype) else dtype for name, dtype in stored.items()})
        self.headings = {name: name for name in self.schema}
        self.notes = [*notes]

    def count_rows(self) -> int:
        return int(self._lazy.select(pl.len()).collect().item())

    def read_pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Reads column by column, so that a row group is never in memory as a whole, however large."""
        total = self.count_rows()
        for start in range(0, total, self._max_rows):
            part = self._lazy.slice(start, self._max_rows)
            piece = pl.DataFrame([_read_column(part, column) for column in columns])
            if len(piece) != min(self._max_rows, total - start):
                raise Unreadable("it has fewer rows than it says")
            yield Piece(piece, pl.int_range(start + 1, start + len(piece) + 1, eager=True))


def _read_column(rows: pl.LazyFrame, column: str) -> pl.Series:
    """Raises Unreadable, which names the column."""
    try:
        series = rows.select(column).collect().to_series()
    except pl.exceptions.PolarsError as error:
        shown = make_printable(column, NAMED_CHARACTERS)
        if "encrypted" in str(error):
            raise Unreadable(f"its column {shown} is encrypted") from error
        raise Unreadable(f"its column {shown} is damaged: {error}") from error
    return series.cast(pl.String) if _is_dictionary(series.dtype) else series


def _is_dictionary(dtype: pl.DataType) -> bool:
    return isinstance(dtype, pl.Categorical | pl.Enum)
