"""Answers as JSON: bounded in bytes, and large ones in pieces, between which others have their turn.

The encoder holds the interpreter while it works, 64 MB of numbers take it a fifth of a second. So what weighs more than
a piece is taken apart, objects by their fields and lists by stretches, and is given up as soon as it grows beyond what
is allowed.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from bcom_graphql.graphql.errors import Refused
from bcom_graphql.graphql.json import encode

PIECE: Final = 1024 * 1024  # bytes, roughly
OF_BRACKETS: Final = 2  # bytes
OF_NUMBER: Final = 10  # bytes, roughly, and a comma


class Room:
    """The bytes that are left: to one answer, or to all of a batch together."""

    def __init__(self, largest: int) -> None:
        self._largest = self._left = largest

    def take(self, size: int) -> None:
        """Raises Refused when there are not as many."""
        self._left -= size
        if self._left < 0:
            message = f"The answer has more than {self._largest} bytes. Ask for smaller pages, fewer points or fields."
            raise Refused(message, {"code": "RESPONSE_TOO_LARGE"})


async def written(body: object, room: Room, piece: int = PIECE) -> bytes:
    """The body's JSON. Raises Refused for one that is too large."""
    parts, since = list[bytes](), 0
    for part in _parts(body, piece):
        room.take(len(part))
        parts.append(part)
        since += len(part)
        if since > piece:
            since = 0
            await asyncio.sleep(0)
    return b"".join(parts)


def _parts(value: Any, piece: int) -> Iterator[bytes]:
    is_heavy = weight(value, piece) > piece
    if is_heavy and isinstance(value, dict):
        yield from _object(value, piece)
    elif is_heavy and isinstance(value, list):
        yield from _list(value, piece)
    else:
        yield encode(value)


def _object(fields: dict[str, Any], piece: int) -> Iterator[bytes]:
    before = b"{"
    for name, value in fields.items():
        yield before + encode(name) + b":"
        yield from _parts(value, piece)
        before = b","
    yield b"}"


def _list(items: list[Any], piece: int) -> Iterator[bytes]:
    before = b"["
    for stretch in _stretches(items, piece):
        yield before
        if len(stretch) == 1:
            yield from _parts(stretch[0], piece)
        else:
            yield encode(stretch)[1:-1]
        before = b","
    yield b"]"


def _stretches(items: list[Any], piece: int) -> Iterator[list[Any]]:
    """None weighs more than a piece, unless it is a single item."""
    start = weighs = 0
    for end, item in enumerate(items):
        more = weight(item, piece)
        if weighs + more > piece and end > start:
            yield items[start:end]
            start, weighs = end, 0
        weighs += more
    yield items[start:]


def weight(value: object, most: int) -> int:
    """The bytes that it takes as JSON, roughly; not looked at any further where they are more than `most`."""
    total, left = 0, list[Any]([[value]])
    while left:
        part = left.pop()
        for one in part.values() if part.__class__ is dict else part:
            kind = one.__class__
            if kind is dict or kind is list:
                left.append(one)
                total += OF_BRACKETS
            else:
                total += len(one) if kind is str else OF_NUMBER * (one.size if kind is np.ndarray else 1)
            if total > most:
                return total
    return total
