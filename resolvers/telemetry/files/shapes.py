"""Holds the rows of a block against the heading: which are rows, and which are something else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from resolvers.telemetry.files.pieces import REFUSED
from resolvers.telemetry.files.quotes import compile_patterns
from resolvers.telemetry.files.rows import Block, Rows, measure_rows

HASH: Final = ord("#")
LONGEST_FOOTER: Final = 200  # bytes
FOOTER: Final = re.compile(
    rb"\s*(--.*|[-+=|_ ]{3,}|\(?\s*(?P<rows>\d[\d,' ]*) (rows?|records?|lines?)\b.*|(total|sum|end|eof)\b.*|\x1a?)\s*",
    re.IGNORECASE | re.DOTALL,
)
COUNTED: Final = re.compile(rb"(\d[\d,' ]*) (rows?|records?|lines?)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Shaped:
    """A block whose lines are told apart.

    kept: which of `rows` are rows of the table.
    refused: rows that are as wide as no row should be, and lines that were refused before.
    comments: how many lines were left out.
    footers: lines that end the file and are no rows.
    """

    block: Block
    rows: Rows
    kept: NDArray[np.bool_]
    refused: pl.DataFrame
    comments: int
    footers: list[bytes]

    @property
    def count(self) -> int:
        """How many rows there are, refused ones too."""
        return int(np.count_nonzero(self.kept)) + len(self.refused)

    @property
    def lines(self) -> pl.Series:
        """Where the rows of the table begin."""
        return pl.Series("line", self.rows.lines[self.kept], dtype=pl.Int64)

    @property
    def text(self) -> bytes:
        """The rows of the table alone."""
        if self.kept.all():
            return self.block.text
        change = np.flatnonzero(np.diff(self.kept, prepend=False, append=False))
        runs = zip(self.rows.starts[change[::2]], self.rows.ends[change[1::2] - 1] + 1, strict=True)
        return b"".join(self.block.text[start:end] for start, end in runs)


def shape_rows(block: Block, delimiter: bytes, width: int, has_comments: bool) -> Shaped:
    """Returns which lines of the block are rows as wide as the heading.

    has_comments: what begins with # is no row, however wide.
    """
    rows = measure_rows(block, delimiter)
    if b'"' in block.text and (rescued := _rescue_lines(block, rows, delimiter, width)):
        block = rescued
        rows = measure_rows(block, delimiter)
    is_blank = rows.starts == rows.ends
    first = np.frombuffer(block.text, np.uint8)[rows.starts]
    is_odd = ~is_blank & (rows.widths != width)
    is_comment = (first == HASH) & ~is_blank & (is_odd | has_comments)
    footers = [*_find_footers(block, rows, is_odd & ~is_comment)] if block.is_last else []
    is_odd[footers] = False
    kept = ~is_blank & (rows.widths == width) & ~is_comment
    refused = _tell_refused(block, rows, is_odd & ~is_comment, width)
    said = [block.text[rows.starts[place] : rows.ends[place]] for place in reversed(footers)]
    return Shaped(block, rows, kept, refused, int(np.count_nonzero(is_comment)), said)


def read_stated_rows(footer: bytes) -> int | None:
    """Returns how many rows the file has, as its last line says; None where it does not."""
    count = COUNTED.search(footer)
    return int(re.sub(rb"\D", b"", count[1])) if count else None


def _find_footers(block: Block, rows: Rows, is_odd: NDArray[np.bool_]) -> Iterator[int]:
    """Yields the last lines, from the end, as long as they cannot be rows and look like the end of a report."""
    for place in reversed(range(len(rows.starts))):
        start, end = rows.starts[place], rows.ends[place]
        if start == end:
            continue
        if not is_odd[place] or not FOOTER.fullmatch(block.text[start : min(end, start + LONGEST_FOOTER)]):
            return
        yield place


def _tell_refused(block: Block, rows: Rows, is_odd: NDArray[np.bool_], width: int) -> pl.DataFrame:
    odd = pl.DataFrame({"line": rows.lines[is_odd], "width": rows.widths[is_odd]})
    words = "The row has not as many cells as the heading: line {} has {}, the heading " + f"{width}."
    told = odd.select(pl.col("line").cast(pl.Int64), reason=pl.format(words, "line", "width"))
    before = pl.DataFrame(block.refused, schema=REFUSED, orient="row")
    said = before.with_columns(
        pl.col("reason").str.replace("{}", pl.col("line").cast(pl.String), literal=True),
    )
    return pl.concat([told, said]).sort("line") if len(said) else told


def _rescue_lines(block: Block, rows: Rows, delimiter: bytes, width: int) -> Block | None:
    """Returns the block with lines read one by one where they stand in a cell of a row that is none.

    A quote that is left open may be closed by one of another row. None where nothing can be rescued.
    """
    spans = np.diff(rows.lines, append=rows.lines[-1:] + 1)
    spans[-1:] += block.text.count(b"\n", int(rows.starts[-1]), int(rows.ends[-1])) if len(spans) else 0
    wrong = np.flatnonzero((rows.widths != width) & (spans > 1))
    text, refused, done = list[bytes](), list[tuple[int, str]](), 0
    for place in wrong:
        start, end, line = int(rows.starts[place]), int(rows.ends[place]), int(rows.lines[place])
        lines = block.text[start:end].split(b"\n")
        good = [_is_row(one, delimiter, width) for one in lines]
        if any(good):
            text += [
                block.text[done:start],
                b"\n".join(one.rstrip(b"\r") if fine else b"" for one, fine in zip(lines, good, strict=True)),
            ]
            refused += [
                (line + number, "The row has an open quote, or its end: line {}.")
                for number, fine in enumerate(good)
                if not fine and lines[number].strip()
            ]
            done = end
    if not refused:
        return None
    return replace(block, text=b"".join([*text, block.text[done:]]), refused=[*block.refused, *refused])


def _is_row(line: bytes, delimiter: bytes, width: int) -> bool:
    line = line.rstrip(b"\r")
    if b'"' not in line:
        return line.count(delimiter) == width - 1
    patterns = compile_patterns(delimiter)
    return bool(patterns.proper.fullmatch(line)) and len(patterns.cell.findall(line)) == width
