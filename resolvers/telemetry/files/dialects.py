"""Finds out how a CSV file is written, from its first lines: what separates cells, and where the heading is."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import mode
from typing import Final

from resolvers.telemetry.files.encodings import WINDOWS

DELIMITERS: Final = ",;\t|"
LOOKED_AT: Final = 50  # rows
LONGEST_PREAMBLE: Final = 200  # lines before the heading
COMMENT: Final = "#"
ANNOTATION: Final = re.compile(r'"?#(datatype|group|default)"?[,;\t]')  # of InfluxDB's annotated CSV
SEPARATOR: Final = re.compile(r'"?sep=(.)"?[,;\t|]*\s*', re.IGNORECASE)
NUMBER: Final = re.compile(r"\s*[-+]?\d+([.,:T-]\d+)*\S*\s*")
NAMES: Final = {";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Dialect:
    """How a CSV file is written.

    headings: as they are in the file.
    size, lines: of what comes before the first row, the heading included.
    has_comments: lines that begin with # are none of its rows.
    is_annotated: as InfluxDB's are; there is no heading, then.
    """

    delimiter: str
    headings: list[str]
    size: int
    lines: int
    has_comments: bool
    notes: list[str]
    is_annotated: bool = False


def detect_dialect(sample: bytes, decimal: str) -> Dialect:
    """Returns how a file is written that begins like this."""
    csv.field_size_limit(max(len(sample), csv.field_size_limit()))
    lines = _split_lines(sample)
    texts = [line.decode("utf-8", WINDOWS) for line in lines[: LONGEST_PREAMBLE + LOOKED_AT]]
    preamble = _read_preamble(texts)
    rows = texts[preamble.lines :]
    delimiter = preamble.delimiter or _detect_delimiter(rows, decimal)
    if preamble.is_annotated:
        return replace(preamble, delimiter=delimiter)
    titles = _count_titles(rows, delimiter)
    headings, used = _read_row(rows[titles:], delimiter)
    before = preamble.lines + titles
    notes = [f"Cells are separated by {NAMES[delimiter]}."] if delimiter in NAMES else []
    if titles:
        notes.append(f"The heading is line {before + 1}; what stands above it was left out.")
    if named := _find_commented_heading(texts[:before], rows[titles:], delimiter):
        headings, used = named, 0
    size = sum(len(line) for line in lines[: before + used])
    return Dialect(delimiter, headings, size, before + used, preamble.has_comments, notes)


def _split_lines(sample: bytes) -> list[bytes]:
    return sample.splitlines(keepends=True)  # of bytes: at CR, LF and CRLF only


def _read_preamble(texts: Sequence[str]) -> Dialect:
    """Returns what the lines before the heading say."""
    delimiter, count, has_comments = "", 0, False
    for text in texts[:LONGEST_PREAMBLE]:
        if ANNOTATION.match(text):
            return Dialect(delimiter, [], 0, count, has_comments, [], is_annotated=True)
        if named := SEPARATOR.fullmatch(text) if not delimiter else None:
            delimiter = named[1]
        elif text.startswith(COMMENT):
            has_comments = True
        elif text.strip():
            break
        count += 1
    return Dialect(delimiter, [], 0, count, has_comments, [])


def _detect_delimiter(texts: Sequence[str], decimal: str) -> str:
    """Returns what separates the cells: most of them, in rows as wide as the heading."""
    scores = {delimiter: _rate(texts, delimiter) for delimiter in DELIMITERS}
    others = [delimiter for delimiter in DELIMITERS if delimiter != decimal and scores[delimiter]]
    return max(others or DELIMITERS, key=lambda delimiter: scores[delimiter])


def _rate(texts: Sequence[str], delimiter: str) -> float:
    widths = [len(row) for row in islice(_read_rows(texts, delimiter), LOOKED_AT) if row]
    wide = [width for width in widths if width > 1]
    if not wide:
        return 0
    heading, titles = wide[0], widths.index(wide[0])
    following = widths[titles + 1 :]
    alike = sum(width == heading for width in following) / len(following) if following else 1
    return heading * (0.01 + alike) - 0.001 * titles  # of two that fit, the one that reads every line as a row


def _count_titles(texts: Sequence[str], delimiter: str) -> int:
    """Returns how many lines stand above the heading: those without a delimiter, if others have some."""
    widths = [len(next(csv.reader([text], delimiter=delimiter), [])) for text in texts[:LOOKED_AT]]
    wide = [width for width in widths if width > 1]
    if not wide or widths[0] > 1:
        return 0
    heading, used = _read_row(texts, delimiter)
    if len(heading) > 1 or used > 1:  # a cell of several lines
        return 0
    first = next(place for place, width in enumerate(widths) if width > 1)
    return first if widths[first] == mode(wide) else 0


def _find_commented_heading(before: Sequence[str], rows: Sequence[str], delimiter: str) -> list[str] | None:
    """Returns the heading where it is the last comment: as wide as the first row, and without its numbers."""
    if not before or not before[-1].startswith(COMMENT):
        return None
    heading, _ = _read_row([before[-1].lstrip("# \t")], delimiter)
    first, _ = _read_row(rows, delimiter)
    has_numbers = any(NUMBER.fullmatch(cell) for cell in first)
    is_named = not any(NUMBER.fullmatch(cell) for cell in heading)
    return heading if len(heading) == len(first) > 1 and has_numbers and is_named else None


def _read_row(texts: Sequence[str], delimiter: str) -> tuple[list[str], int]:
    """Returns the first row's cells, and how many lines it takes."""
    reader = csv.reader(texts, delimiter=delimiter)
    try:
        row = next(reader, [])
    except csv.Error:
        return [], 1
    return row, reader.line_num


def _read_rows(texts: Sequence[str], delimiter: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(texts, delimiter=delimiter)
    except csv.Error:
        return
