"""Reads CSV files block by block."""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import polars as pl

from resolvers.telemetry.files.dialects import Dialect
from resolvers.telemetry.files.encodings import mend_utf8
from resolvers.telemetry.files.messages import make_printable
from resolvers.telemetry.files.pieces import MAX_COLUMNS, TOO_WIDE, Piece, Unreadable
from resolvers.telemetry.files.rows import BLOCK_BYTES, MAX_ROWS, Block, count_plain_rows, read_blocks
from resolvers.telemetry.files.shapes import Shaped, read_stated_rows, shape_rows

NAMED_CHARACTERS: Final = 50  # of a footer
BOM: Final = "\ufeff".encode()


class CsvFile:
    """A CSV file, whose cells are text."""

    def __init__(
        self,
        open_chunks: Callable[[], Iterator[bytes]],
        dialect: Dialect,
        notes: Sequence[str] = (),
        block_bytes: int = BLOCK_BYTES,
        max_rows: int = MAX_ROWS,
    ) -> None:
        """Raises Unreadable.

        open_chunks: begins to read the file, in UTF-8, from its start.
        notes: on the file so far.
        """
        if len(dialect.headings) > MAX_COLUMNS:  # before polars takes memory for each
            raise Unreadable(TOO_WIDE)
        self._open_chunks, self._dialect = open_chunks, dialect
        self._block_bytes, self._max_rows = block_bytes, max_rows
        self._counted: int | None = None
        self._delimiter = dialect.delimiter.encode()
        self.headings = _name_apart(dialect.headings)
        self.schema = pl.Schema(dict.fromkeys(self.headings, pl.String))
        self.notes = [*notes, *dialect.notes]

    def count_rows(self) -> int:
        self._counted = sum(self._count(block) for block in self._read_blocks())
        return self._counted

    def read_pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Raises Unreadable where fewer or more rows are read than lines were counted."""
        total = comments = foreign = 0
        for block in self._read_blocks():
            text, mended = mend_utf8(block.text)
            shaped = self._shape(Block(text, block.line, block.refused, block.is_last))
            yield Piece(self._parse(shaped, columns), shaped.lines, shaped.refused)
            total, comments, foreign = total + shaped.count, comments + shaped.comments, foreign + mended
            self._note_footers(shaped.footers, total)
        if self._counted not in {None, total}:
            raise Unreadable(f"{self._counted} rows were counted in it and {total} read; it has changed meanwhile")
        self._note(comments, "begin with # and were left out")
        self._note(foreign, "are not in UTF-8 and were read as Windows-1252")

    def _read_blocks(self) -> Iterator[Block]:
        chunks = _skip(self._open_chunks(), self._dialect.size)
        return read_blocks(chunks, self._delimiter, self._dialect.lines + 1, self._block_bytes, self._max_rows)

    def _count(self, block: Block) -> int:
        """Returns how many rows there are: as many as lines, where none is something else."""
        plain = None if block.is_last or block.refused else count_plain_rows(block.text)
        return self._shape(block).count if plain is None else plain

    def _shape(self, block: Block) -> Shaped:
        return shape_rows(block, self._delimiter, len(self.schema), self._dialect.has_comments)

    def _parse(self, shaped: Shaped, columns: Sequence[str]) -> pl.DataFrame:
        text, rows = shaped.text, len(shaped.lines)
        if not rows:
            return pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
        if not text.startswith(BOM):  # which polars would leave out
            frame = self._parse_fast(text, columns)
            if len(frame) == rows:
                return frame
        frame = self._parse_exactly(text, columns)
        if len(frame) != rows:
            raise Unreadable(
                f"{rows} rows begin in its line {shaped.block.line} and after it, and {len(frame)} were read"
            )
        return frame

    def _parse_fast(self, text: bytes, columns: Sequence[str]) -> pl.DataFrame:
        quote = '"' if b'"' in text else None
        separator = self._dialect.delimiter
        lazy = pl.scan_csv(text, has_header=False, schema=self.schema, separator=separator, quote_char=quote)
        return lazy.select(columns).collect()

    def _parse_exactly(self, text: bytes, columns: Sequence[str]) -> pl.DataFrame:
        lines = io.StringIO(text.decode(), newline="")
        table = [*csv.reader(lines, delimiter=self._dialect.delimiter, strict=True)]
        frame = pl.DataFrame(
            table, schema=[(f"c{place}", pl.String) for place in range(len(self.schema))], orient="row"
        )
        frame.columns = self.schema.names()  # among which may be "", as the schema could not have it
        return frame.select(pl.col(columns).replace("", None))

    def _note(self, lines: int, what: str) -> None:
        if lines:
            self.notes.append(f"{lines} lines {what}.")

    def _note_footers(self, footers: Sequence[bytes], rows: int) -> None:
        for footer in footers:
            shown = make_printable(footer.decode(errors="replace").strip(), NAMED_CHARACTERS)
            if shown.strip("?"):
                self.notes.append(f"The file's end was left out: {shown}.")
            stated = read_stated_rows(footer)
            if stated not in {None, rows}:
                self.notes.append(f"The file says that it has {stated} rows, and has {rows}.")


def _name_apart(headings: Sequence[str]) -> dict[str, str]:
    """Returns headings by a name of their own."""
    named = dict[str, str]()
    for heading in headings:
        name, number = heading, 1
        while name in named:
            number += 1
            name = f"{heading} ({number})"
        named[name] = heading
    return named


def _skip(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        yield chunk[size:]
        size = max(0, size - len(chunk))
