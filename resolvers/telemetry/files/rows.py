"""Finds the rows of CSV by arithmetic over bytes, where all quotes are proper; else `quotes.py` makes them so first."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from resolvers.telemetry.files.pieces import Unreadable
from resolvers.telemetry.files.quotes import count_breaks, find_last_break, mend_quotes

LF, CR, QUOTE = 10, 13, 34
BLOCK_BYTES: Final = 8 << 20  # of CSV read at a time; no row is longer
MAX_ROWS: Final = 200_000  # in a block: a row may be a single byte, yet take memory per column
TOO_LONG: Final = "line {} is longer than {} MiB"
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Block:
    """Whole rows, whose quotes are proper and whose line ends are LF.

    line: that the first row begins in.
    refused: lines that are left blank, each with what is wrong.
    """

    text: bytes
    line: int
    refused: list[tuple[int, str]] = field(default_factory=list)
    is_last: bool = False


@dataclass(frozen=True)
class Rows:
    """The lines of a block that end a row, blank ones too.

    starts, ends: their bytes, without the line's end.
    widths: how many cells each has.
    lines: that they begin in.
    """

    starts: Places
    ends: Places
    widths: Places
    lines: Places


def read_blocks(
    chunks: Iterator[bytes], delimiter: bytes, line: int, block_bytes: int = BLOCK_BYTES, max_rows: int = MAX_ROWS
) -> Iterator[Block]:
    """Yields a file's rows. Raises Unreadable where a line is too long.

    line: that the first row begins in.
    """
    text = b""
    for chunk, is_last in _gather(chunks, block_bytes):
        text += chunk
        block, size = cut_block(text, delimiter, line, block_bytes, is_last)
        text = text[size:]
        line += count_breaks(block.text)
        yield from _split(block, max_rows)
        if len(text) > block_bytes and b'"' not in text:
            raise Unreadable(TOO_LONG.format(line, block_bytes >> 20))


def _gather(chunks: Iterator[bytes], size: int) -> Iterator[tuple[bytes, bool]]:
    """Yields at least so many bytes at a time, and whether they are the last."""
    parts, length = list[bytes](), 0
    for chunk in chunks:
        if length >= size:
            yield b"".join(parts), False
            parts, length = [], 0
        parts.append(chunk)
        length += len(chunk)
    yield b"".join(parts), True


def cut_block(text: bytes, delimiter: bytes, line: int, longest: int, is_last: bool) -> tuple[Block, int]:
    """Returns the whole rows at the beginning of a text, and how many bytes they take."""
    if b'"' not in text:
        size = len(text) if is_last else find_last_break(text, len(text))
        return Block(_end(_unify_line_ends(text[:size]), is_last), line, is_last=is_last), size
    array = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(array == QUOTE)
    if _are_proper(array, quotes, delimiter, is_last):
        size = len(text) if is_last else _find_end(text, quotes, len(text))
        if size or len(text) <= longest:
            return Block(_end(_unify_unquoted_line_ends(text[:size], quotes), is_last), line, is_last=is_last), size
    mended = mend_quotes(text, delimiter, longest, is_last)
    proper = mended.block
    quotes = np.flatnonzero(np.frombuffer(proper, np.uint8) == QUOTE)
    refused = [(line + number, reason) for number, reason in mended.refused]
    block = Block(_end(_unify_unquoted_line_ends(proper, quotes), is_last), line, refused, is_last)
    return block, len(text) - mended.rest


def _end(text: bytes, is_last: bool) -> bytes:
    return text + b"\n" if is_last and text and not text.endswith(b"\n") else text


def _are_proper(array: NDArray[np.uint8], quotes: Places, delimiter: bytes, is_last: bool) -> bool:
    """Returns whether each quote opens a cell, closes it or is doubled: then they do so by turns."""
    is_edge = np.zeros(256, np.bool_)
    is_edge[[ord(delimiter), LF, CR, QUOTE]] = True
    opening, closing = quotes[::2], quotes[1::2]
    before = is_edge[array[np.maximum(opening - 1, 0)]]
    before[:1] |= opening[:1] == 0
    after = is_edge[array[np.minimum(closing + 1, len(array) - 1)]]
    after[-1:] |= closing[-1:] == len(array) - 1
    is_open = len(quotes) % 2 == 1
    return bool(before.all() and after.all()) and not (is_last and is_open)


def _find_end(text: bytes, quotes: Places, end: int) -> int:
    """Returns where the last line ends that is outside of quotes, among the first `end` bytes."""
    while end := find_last_break(text, end):
        if np.searchsorted(quotes, end) % 2 == 0:
            return end
        end = int(quotes[np.searchsorted(quotes, end) - 1]) + 1  # no line before ends outside, back to the open quote
    return 0


def _unify_line_ends(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n") if b"\r" in text else text


def _unify_unquoted_line_ends(text: bytes, quotes: Places) -> bytes:
    """Returns the same of a text with proper quotes, whose cells stay as they are."""
    if b"\r" not in text:
        return text
    array = np.frombuffer(text, np.uint8)
    returns = np.flatnonzero(array == CR)
    outside = returns[np.searchsorted(quotes, returns) % 2 == 0]
    is_pair = array[np.minimum(outside + 1, len(array) - 1)] == LF
    if len(outside) == len(returns) and is_pair.all():
        return text.replace(b"\r\n", b"\n")
    array = array.copy()
    array[outside[~is_pair]] = LF
    return np.delete(array, outside[is_pair]).tobytes()


def _split(block: Block, max_rows: int) -> Iterator[Block]:
    """Yields parts of whole rows, about `max_rows` at most."""
    text = block.text
    half = 0
    if len(text) > max_rows and text.count(b"\n") > max_rows:
        quotes = np.flatnonzero(np.frombuffer(text, np.uint8) == QUOTE)
        half = _find_end(text, quotes, len(text) // 2)
    if not half:
        yield block
        return
    line = block.line + count_breaks(text[:half])
    first, second = ([entry for entry in block.refused if (entry[0] < line) == here] for here in (True, False))
    yield from _split(Block(text[:half], block.line, first), max_rows)
    yield from _split(Block(text[half:], line, second, block.is_last), max_rows)


def count_plain_rows(text: bytes) -> int | None:
    """Returns how many rows there are, where each line outside of quotes is one; None where some may be none."""
    array = np.frombuffer(text, np.uint8)
    is_end = array == LF
    if b"#" in text or is_end[:1].any() or (is_end[1:] & is_end[:-1]).any():
        return None
    if b'"' not in text:
        return int(np.count_nonzero(is_end))
    return int(np.count_nonzero(np.searchsorted(np.flatnonzero(array == QUOTE), np.flatnonzero(is_end)) % 2 == 0))


def measure_rows(block: Block, delimiter: bytes) -> Rows:
    """Returns where the block's rows are, and how wide."""
    array = np.frombuffer(block.text, np.uint8)
    special = (array == LF) | (array == ord(delimiter))
    is_quoted = b'"' in block.text
    if is_quoted:
        special &= ~np.bitwise_xor.accumulate(array == QUOTE)
    places = np.flatnonzero(special)
    line_ends = np.flatnonzero(array[places] == LF)
    ends = places[line_ends]
    starts = np.concatenate([[0], ends[:-1] + 1]) if len(ends) else ends
    breaks = _find_breaks(block.text, array) if is_quoted else ends
    lines = block.line + (np.searchsorted(breaks, starts) if is_quoted else np.arange(len(ends)))
    return Rows(starts, ends, np.diff(line_ends, prepend=-1), lines)


def _find_breaks(text: bytes, array: NDArray[np.uint8]) -> Places:
    """Returns where lines end, within cells too."""
    if b"\r" not in text:
        return np.flatnonzero(array == LF)
    is_lone = np.append((array[:-1] == CR) & (array[1:] != LF), array[-1] == CR)
    return np.flatnonzero((array == LF) | is_lone)
