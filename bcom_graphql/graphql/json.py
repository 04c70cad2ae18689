"""Parses and writes JSON."""

import asyncio
import re
from codecs import BOM_UTF8
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final, cast

import orjson

from bcom_graphql.graphql.errors import BadRequest
from bcom_graphql.graphql.limits import Allowance

PIECE_BYTES: Final = 1024 * 1024  # parsed in one go, in about 10 ms
FIRST_OBJECT: Final = re.compile(rb"\[\s*(?=\{)")
BETWEEN_OBJECTS: Final = re.compile(rb"(?<=\})\s*,\s*(?=\{)")
NO_NUMBER: Final = re.compile(r"-?\b(?:NaN|Infinity|inf)\b", re.IGNORECASE)
LONGEST_NO_NUMBER: Final = len("-Infinity")
LONGEST_NAME: Final = 60  # characters of a field that is told of
PLACEHOLDER: Final = token_hex()  # stands for the objects of a list; unguessable


def encode(data: object) -> bytes:
    """Writes JSON, with NumPy arrays as lists and NaN as null."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


def count_values(text: bytes) -> int:
    """Returns an upper bound of the number of values in JSON, or a part of it: its commas and opening brackets.

    Those in strings count, too: finding the ends of strings would take ten times as long.
    """
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def parse_json(text: bytes | str, what: str, allowed: Allowance) -> Any:
    """Parses JSON. Raises BadRequest if it is malformed or more than allowed: `[],` becomes 20 times as many bytes."""
    encoded = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    allowed.check(len(encoded), count_values(encoded), what)
    return _decode(encoded, what)


async def parse_long_json(text: bytes, what: str, piece: int = PIECE_BYTES) -> Any:
    """Parses JSON of an allowed size; a long list of objects in pieces, so that other tasks run between them.

    A thread would not help: orjson holds the interpreter lock. Raises BadRequest.
    """
    text = text.removeprefix(BOM_UTF8)
    if len(text) > piece:
        with suppress(ValueError):  # not a list of flat objects
            return await _decode_in_pieces(text, piece)
    return _decode(text, what)


def _decode(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(_explain_no_number(error.doc, error.pos, what) or f"{what} is not JSON: {error}.") from error


def _explain_no_number(text: str, position: int, what: str) -> str | None:
    """Returns what is wrong where NaN or Infinity stands for a number, as some encoders write it; None elsewhere.

    The parser's own words would be a position among thousands of numbers.
    """
    match = NO_NUMBER.search(text, max(0, position - LONGEST_NO_NUMBER), position + LONGEST_NO_NUMBER)
    if match is None or position - match.start() not in (0, 1):  # the parser stops at it, or behind its sign
        return None
    place = _name_place(text, match.start())
    return f"{what} is not JSON: JSON has no {match[0]}; send null. It is {place}at character {match.start() + 1}."


def _name_place(text: str, position: int) -> str:
    """Returns the field that a value is in, and which entry of its list it is, to go on in a sentence."""
    end = text.rfind('":', 0, position)
    name = text[text.rfind('"', 0, max(end, 0)) + 1 : max(end, 0)]
    if not name.isidentifier() or len(name) > LONGEST_NAME:
        return ""
    begin = text.rfind("[", end, position)
    entry = f", entry {text.count(',', begin, position)}, " if begin >= 0 else " "
    return f"in `{name}`{entry}"


async def _decode_in_pieces(text: bytes, piece: int) -> Any:
    """Parses the text around the list's objects, then the objects a piece at a time, and puts them in.

    It guesses where to cut, without looking for strings. But if every piece is JSON, the whole is the same JSON: lists
    between commas make up one list, which may take the placeholder's place. Raises ValueError for a wrong guess.
    """
    first, end = FIRST_OBJECT.search(text), text.rfind(b"}", 0, text.rfind(b"]")) + 1
    start = first.end() if first else end
    if len(text) - (end - start) > piece:
        raise ValueError
    frame = orjson.loads(b'%b"%b"%b' % (text[:start], PLACEHOLDER.encode(), text[end:]))
    objects = _find_placeholder(frame)
    objects.clear()
    while start < end:
        await asyncio.sleep(0)
        cut = BETWEEN_OBJECTS.search(text, start + piece, end)
        objects += orjson.loads(b"[%b]" % text[start : cut.start() if cut else end])
        start = cut.end() if cut else end
    return frame


def _find_placeholder(frame: Any) -> list[Any]:
    waiting = [frame]
    while waiting:
        value = waiting.pop()
        if value == [PLACEHOLDER]:
            return cast("list[Any]", value)
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    raise ValueError
