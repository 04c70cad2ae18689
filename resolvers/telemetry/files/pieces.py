"""What a file of samples is read as: pieces of a table, whose rows know their lines."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

import polars as pl

REFUSED: Final = pl.Schema({"line": pl.Int64, "reason": pl.String})
MAX_COLUMNS: Final = 1000
TOO_WIDE: Final = f"it has more than {MAX_COLUMNS} columns"


class Unreadable(Exception):
    """The file is no table, or damaged; the message says why."""


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
