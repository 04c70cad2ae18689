"""JSON in and out."""

import asyncio
import re
from codecs import BOM_UTF8
from contextlib import suppress
from secrets import token_hex
from typing import Any, Final, cast

import orjson

from bcom_graphql.graphql.errors import bad_request
from bcom_graphql.graphql.limits import Allowance

PIECE: Final = 1024 * 1024  # bytes that are parsed in one go, in about 10 ms
FIRST_OBJECT: Final = re.compile(rb"\[\s*(?=\{)")
BETWEEN_OBJECTS: Final = re.compile(rb"(?<=\})\s*,\s*(?=\{)")
HOLE: Final = token_hex()  # stands for the objects of a list; nobody else can know it


def encode(data: object) -> bytes:
    """Numpy arrays directly, NaN as null."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)


def count_values(text: bytes) -> int:
    """At least as many values as this JSON, or part of one, has: each stands behind a comma or within brackets.

    What is in strings counts, too: looking where they end would take ten times as long.
    """
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def parsed(text: bytes | str, what: str, allowed: Allowance) -> Any:
    """Raises Refused for what is no JSON, or more of it than allowed: `[],` becomes 20 times as many bytes."""
    encoded = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    allowed.refuse_beyond(len(encoded), count_values(encoded), what)
    return _loaded(encoded, what)


async def loaded(text: bytes, what: str, piece: int = PIECE) -> Any:
    """The same of what has been counted, with breaks for others where it is long and consists of a list of objects.

    A thread would give others no breaks: orjson holds Python's lock. Raises Refused for what is no JSON.
    """
    text = text.removeprefix(BOM_UTF8)
    if len(text) > piece:
        with suppress(ValueError):  # it has a list of something else, or its objects have lists of objects
            return await _in_pieces(text, piece)
    return _loaded(text, what)


def _loaded(text: bytes, what: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise bad_request(f"{what} is not JSON: {error}.") from error


async def _in_pieces(text: bytes, piece: int) -> Any:
    """The text without the objects of its list, which are parsed a piece at a time and then put in.

    Where it is cut is guessed, strings are not looked for. But pieces that are JSON make up the same JSON as the whole:
    if the texts between commas are lists, together they are one list, and it may stand where the hole stood.
    Raises ValueError for a wrong guess.
    """
    first, end = FIRST_OBJECT.search(text), text.rfind(b"}", 0, text.rfind(b"]")) + 1
    start = first.end() if first else end
    if len(text) - (end - start) > piece:
        raise ValueError
    frame = orjson.loads(b'%b"%b"%b' % (text[:start], HOLE.encode(), text[end:]))
    objects = _list_with_hole(frame)
    objects.clear()
    while start < end:
        await asyncio.sleep(0)
        cut = BETWEEN_OBJECTS.search(text, start + piece, end)
        objects += orjson.loads(b"[%b]" % text[start : cut.start() if cut else end])
        start = cut.end() if cut else end
    return frame


def _list_with_hole(frame: Any) -> list[Any]:
    waiting = [frame]
    while waiting:
        value = waiting.pop()
        if value == [HOLE]:
            return cast("list[Any]", value)
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    raise ValueError
