"""Reads InfluxDB's annotated CSV: tables one after the other, each with its own heading, one field's value in a row.

https://docs.influxdata.com/influxdb/v2/reference/syntax/annotated-csv/
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import polars as pl

from resolvers.telemetry.files.dialects import Dialect
from resolvers.telemetry.files.encodings import mend_utf8
from resolvers.telemetry.files.messages import make_printable
from resolvers.telemetry.files.pieces import MAX_COLUMNS, REFUSED, TOO_WIDE, Piece, Unreadable
from resolvers.telemetry.files.rows import BLOCK_BYTES, MAX_ROWS, Block, measure_rows, read_blocks
from resolvers.telemetry.files.shapes import shape_rows

OWN: Final = frozenset({"", "result", "table", "_start", "_stop", "_measurement"})  # of which we need nothing
TIME, FIELD, VALUE, LINE, REPEATED = "_time", "_field", "_value", "_line", "_repeated"
AT: Final = "at"
DEFAULTS: Final = ("#default", '"#default"')
GATHERED_ROWS: Final = 250_000  # whose fields are put together, where they stand in tables far apart
SHOWN_ERROR: Final = 200  # characters
NOTE: Final = "It is InfluxDB's annotated CSV; each field was read as a column, and _time as at."


@dataclass(frozen=True)
class Section:
    """Rows under one heading. defaults: what empty cells hold, by column."""

    headings: list[str]
    defaults: dict[str, str]
    block: Block


@dataclass
class Gathered:
    """Rows that wait to be put together."""

    frames: list[pl.DataFrame] = field(default_factory=list)
    refused: list[pl.DataFrame] = field(default_factory=list)
    rows: int = 0


class AnnotatedFile:
    """A file whose columns are the tags, the time as `at`, and the fields of all of its tables."""

    def __init__(
        self,
        open_chunks: Callable[[], Iterator[bytes]],
        dialect: Dialect,
        notes: Sequence[str] = (),
        block_bytes: int = BLOCK_BYTES,
        max_rows: int = MAX_ROWS,
        gathered_rows: int = GATHERED_ROWS,
    ) -> None:
        """Raises Unreadable; see `CsvFile`. gathered_rows: whose fields are put together."""
        self._open_chunks, self._delimiter = open_chunks, dialect.delimiter
        self._block_bytes, self._max_rows, self._gathered_rows = block_bytes, max_rows, gathered_rows
        self.notes = [*notes, NOTE]
        self._tags, self._fields = self._list_columns()
        names = [*self._tags, *([AT] if self._has_time else []), *self._fields]
        self.schema = pl.Schema(dict.fromkeys(names, pl.String))
        self.headings = {name: TIME if name == AT else name for name in self.schema}

    def count_rows(self) -> int:
        """Returns how many there are at most: fewer are read where not all fields are."""
        return sum(len(piece.rows) + len(piece.refused) for piece in self.read_pieces([*self.schema]))

    def read_pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Rows begin where the first of their values stands."""
        gathered = Gathered()
        for frame, refused in self._read_frames():
            wanted = frame.filter(pl.col(FIELD).is_in([*columns])) if FIELD in frame.columns else frame
            gathered.frames.append(wanted)
            gathered.refused.append(refused)
            gathered.rows += len(wanted)
            if gathered.rows >= self._gathered_rows:
                yield self._combine(gathered, columns)
                gathered = Gathered()
        yield self._combine(gathered, columns)

    def _combine(self, gathered: Gathered, columns: Sequence[str]) -> Piece:
        """Returns a row for each time and series, with all of its fields."""
        refused = pl.concat([pl.DataFrame(schema=REFUSED), *gathered.refused])
        empty = pl.DataFrame(schema=dict.fromkeys([*self.schema, AT, FIELD, VALUE], pl.String) | {LINE: pl.Int64})
        rows = pl.concat([empty, *gathered.frames], how="diagonal")
        keys = [*self._tags, AT]
        repeated = pl.int_range(pl.len()).over([*keys, FIELD])  # the same moment twice stays two rows
        values = [
            pl.coalesce(pl.col(VALUE).filter(pl.col(FIELD) == name).first(), pl.col(name).drop_nulls().first()).alias(
                name
            )
            for name in self._fields
            if name in columns
        ]
        wide = rows.with_columns(repeated.alias(REPEATED)).group_by([*keys, REPEATED], maintain_order=True)
        table = wide.agg(pl.col(LINE).min(), *values)
        return Piece(table.select(columns), table[LINE].alias("line"), refused)

    def _list_columns(self) -> tuple[list[str], list[str]]:
        """Returns the names of tags and fields, in the order in which they come."""
        tags, fields = dict[str, None](), dict[str, None]()
        self._has_time = False
        for frame, _ in self._read_frames():
            self._has_time |= AT in frame.columns
            others = [name for name in frame.columns if name not in {AT, FIELD, VALUE, LINE}]
            if FIELD in frame.columns:
                tags |= dict.fromkeys(others)
                fields |= dict.fromkeys(frame[FIELD].drop_nulls().unique(maintain_order=True))
            else:
                fields |= dict.fromkeys(others)
            if len(tags) + len(fields) > MAX_COLUMNS:
                raise Unreadable(TOO_WIDE)
        return [*tags], [name for name in fields if name not in tags]

    def _read_frames(self) -> Iterator[tuple[pl.DataFrame, pl.DataFrame]]:
        """Yields the rows of each table, and the refused ones."""
        for section in self._read_sections():
            shaped = shape_rows(section.block, self._delimiter.encode(), len(section.headings), has_comments=True)
            schema = dict.fromkeys(section.headings, pl.String)
            quote = '"' if b'"' in shaped.text else None
            frame = (
                pl.read_csv(shaped.text, has_header=False, schema=schema, separator=self._delimiter, quote_char=quote)
                if len(shaped.lines)
                else pl.DataFrame(schema=schema)
            )
            if len(frame) != len(shaped.lines):
                raise Unreadable(f"the table in its line {section.block.line} cannot be read")
            kept = frame.select(
                pl.coalesce(name, pl.lit(section.defaults.get(name), pl.String)).alias(AT if name == TIME else name)
                for name in section.headings
                if name not in OWN
            )
            yield kept.with_columns(shaped.lines.alias(LINE)), shaped.refused

    def _read_sections(self) -> Iterator[Section]:
        headings, defaults, is_heading = list[str](), list[str](), True
        for block in self._read_blocks():
            rows = measure_rows(block, self._delimiter.encode())
            refused = block.refused
            blank = rows.starts == rows.ends
            run = np.flatnonzero(np.diff(self._find_marks(block, rows.starts) | blank, prepend=True, append=True))
            before = 0
            for start, end in run.reshape(-1, 2):
                marks = block.text[_get_offset(rows.starts, before) : _get_offset(rows.starts, start)]
                defaults = self._read_defaults(marks) or defaults
                is_heading |= start > before
                before = end
                if is_heading:
                    headings = self._read_cells(block.text[rows.starts[start] : rows.ends[start]])
                    self._check_error(headings, block.text[rows.starts[start] :])
                    is_heading, start = False, start + 1  # noqa: PLW2901
                text = block.text[rows.starts[start] : rows.ends[end - 1] + 1] if start < end else b""
                line = int(rows.lines[start]) if start < end else block.line
                named = dict(zip(headings, defaults, strict=False))
                yield Section(_number(headings), {n: v for n, v in named.items() if v}, Block(text, line, refused))
                refused = []
            rest = block.text[_get_offset(rows.starts, before) :] if before < len(rows.starts) else b""
            defaults = self._read_defaults(rest) or defaults
            is_heading |= bool(rest)
            if refused:
                yield Section(_number(headings), {}, Block(b"", block.line, refused))

    def _read_blocks(self) -> Iterator[Block]:
        for block in read_blocks(self._open_chunks(), self._delimiter.encode(), 1, self._block_bytes, self._max_rows):
            yield Block(mend_utf8(block.text)[0], block.line, block.refused, block.is_last)

    def _find_marks(self, block: Block, starts: "np.typing.NDArray[np.int64]") -> "np.typing.NDArray[np.bool_]":
        """Returns which rows are annotations."""
        letters = np.frombuffer(block.text, np.uint8)
        first, second = letters[starts], letters[np.minimum(starts + 1, len(letters) - 1)]
        marks: np.typing.NDArray[np.bool_] = (first == ord("#")) | ((first == ord('"')) & (second == ord("#")))
        return marks

    def _read_defaults(self, marks: bytes) -> list[str] | None:
        for line in marks.decode(errors="replace").split("\n"):
            if line.startswith(DEFAULTS):
                return self._read_cells(line.encode())
        return None

    def _read_cells(self, row: bytes) -> list[str]:
        return next(csv.reader([row.decode(errors="replace")], delimiter=self._delimiter), [])

    def _check_error(self, headings: Sequence[str], text: bytes) -> None:
        """Raises Unreadable for a table that says what went wrong in InfluxDB."""
        if {"error", "reference"} <= {*headings}:
            said = text.split(b"\n")[1:2]
            shown = make_printable(b"".join(said).decode(errors="replace").strip(self._delimiter), SHOWN_ERROR)
            raise Unreadable(f"it holds an error of InfluxDB, and no samples: {shown}")


def _get_offset(starts: "np.typing.NDArray[np.int64]", place: int) -> int | None:
    """Returns where a row begins; None behind the last."""
    return int(starts[place]) if place < len(starts) else None


def _number(headings: Sequence[str]) -> list[str]:
    """Returns headings of which none comes twice; the second is nothing that InfluxDB writes."""
    return [name if name not in headings[:place] else f"{name} ({place + 1})" for place, name in enumerate(headings)]
