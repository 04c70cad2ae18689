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
        raise BadRequest(f"{what} is not JSON: {error}.") from error


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
