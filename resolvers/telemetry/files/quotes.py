"""Makes CSV proper where quotes are not as RFC 4180 has them, so that each row ends where its line ends.

A quote inside a cell that did not begin with one is a letter. A line in which a cell's quote is never closed, or
letters follow the closing one, is refused alone: its neighbours are read.
"""

import re
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from resolvers.telemetry.files.pieces import Unreadable

OPEN: Final = "A quote is opened that is not closed: line {}."
FOLLOWED: Final = "Letters follow a closing quote: line {}."
TOO_LONG: Final = "The row is too long: line {}."
MOST_IN_VAIN: Final = 1000  # lines in a block: their closing quotes were searched for in all that follows
VAIN_BYTES: Final = 1 << 16  # that such a search takes
LINE: Final = re.compile(rb"[^\r\n]*+(?:\r\n|\n|\r|\Z)")


@dataclass(frozen=True)
class Patterns:
    """What rows and cells look like with one delimiter."""

    row: re.Pattern[bytes]  # any, quotes inside unquoted cells included
    proper: re.Pattern[bytes]  # as RFC 4180 has it
    cells: re.Pattern[bytes]  # those before the first that is wrong
    cell: re.Pattern[bytes]
    quoted: re.Pattern[bytes]  # up to its closing quote, if any


@cache
def compile_patterns(delimiter: bytes) -> Patterns:
    """Returns the patterns."""
    d = re.escape(delimiter)
    quoted = rb'"(?:[^"]++|"")*+"(?=[' + d + rb"\r\n]|\Z)"
    plain = rb'(?:[^"' + d + rb"\r\n][^" + d + rb"\r\n]*+)?+"
    clean = rb'[^"' + d + rb"\r\n]*+"
    cell, proper = rb"(?:" + quoted + rb"|(?!\")" + plain + rb")", rb"(?:" + quoted + rb"|(?!\")" + clean + rb")"
    end = rb"(?:\r\n|\n|\r|\Z)"
    return Patterns(
        re.compile(cell + rb"(?:" + d + cell + rb")*+" + end),
        re.compile(proper + rb"(?:" + d + proper + rb")*+" + end),
        re.compile(rb"(?:" + cell + d + rb")*+"),
        re.compile(rb"(?:^|(?<=" + d + rb"))" + cell),
        re.compile(rb'"(?:[^"]++|"")*+("?)'),
    )


@dataclass
class Mended:
    """What became of a part of a file.

    block: its whole rows, proper; a refused line is left blank.
    rest: bytes at the end of the part that begin a row whose end is not there.
    """

    refused: list[tuple[int, str]] = field(default_factory=list)
    parts: list[bytes] = field(default_factory=list)
    lines: int = 0
    rest: int = 0
    in_vain: int = 0

    @property
    def block(self) -> bytes:
        return b"".join(self.parts)

    def keep(self, part: bytes) -> None:
        """Adds rows."""
        self.parts.append(part)
        self.lines += count_breaks(part)

    def refuse(self, line: bytes, reason: str) -> None:
        """Leaves a line blank."""
        self.refused.append((self.lines, reason))
        self.keep(line[len(line.rstrip(b"\r\n")) :])


def count_breaks(text: bytes) -> int:
    """Returns how many lines end in the text."""
    lone = text.count(b"\r") - text.count(b"\r\n") if b"\r" in text else 0
    return text.count(b"\n") + lone


def mend_quotes(text: bytes, delimiter: bytes, longest: int, is_last: bool) -> Mended:
    """Returns the text's whole rows, proper; lines count from 0.

    text: begins with a row.
    longest: bytes of a row; one that is longer has an open quote.
    is_last: the file ends where the text does.
    """
    patterns, mended, place = compile_patterns(delimiter), Mended(), 0
    while (quote := text.find(b'"', place)) >= 0:
        start = max(text.rfind(b"\n", place, quote), text.rfind(b"\r", place, quote), place - 1) + 1
        mended.keep(text[place:start])
        row = patterns.row.match(text, start)
        end = row.end() if row else len(text)
        why, is_cut = (None, end == len(text)) if row else _explain(text, start, patterns)
        if is_cut and not is_last and len(text) - start <= longest:
            mended.rest = len(text) - start
            return mended
        if row and end - start <= longest:
            mended.keep(row[0] if patterns.proper.fullmatch(row[0]) else _quote_cells(row[0], delimiter, patterns))
            place = end
            continue
        is_vain = why is not FOLLOWED and end - start > VAIN_BYTES
        mended.in_vain += is_vain
        if mended.in_vain > MOST_IN_VAIN:
            raise Unreadable(f"more than {MOST_IN_VAIN} of its quotes are opened and not closed")
        line = LINE.match(text, start)
        place = line.end() if line else len(text)
        if place == len(text) and not is_last:
            raise Unreadable(f"a line is longer than {longest >> 20} MiB")
        mended.refuse(text[start:place], why or TOO_LONG)
    tail = text[place:]
    whole = len(tail) if is_last else find_last_break(tail, len(tail))
    mended.keep(tail[:whole])
    mended.rest = len(tail) - whole
    return mended


def find_last_break(text: bytes, end: int) -> int:
    """Returns where the last line ends among the first `end` bytes; not at a CR whose LF may follow."""
    return max(text.rfind(b"\n", 0, end), text.rfind(b"\r", 0, max(end - 1, 0))) + 1


def _explain(text: bytes, start: int, patterns: Patterns) -> tuple[str, bool]:
    """Returns what is wrong with the row that begins here, and whether the text ends before that is known."""
    cells = patterns.cells.match(text, start)
    quoted = patterns.quoted.match(text, cells.end() if cells else start)
    if quoted and quoted[1] and quoted.end() < len(text):
        return FOLLOWED, False
    return OPEN, True


def _quote_cells(row: bytes, delimiter: bytes, patterns: Patterns) -> bytes:
    """Returns the row with quotes around each cell that has some inside."""
    content = row.rstrip(b"\r\n")
    cells = patterns.cell.findall(content)
    quoted = (b'"' + c.replace(b'"', b'""') + b'"' if b'"' in c and not c.startswith(b'"') else c for c in cells)
    return delimiter.join(quoted) + row[len(content) :]
