"""Writes responses as JSON, bounded in bytes; large ones in pieces, between which other tasks run.

The encoder holds the interpreter lock while it works: a fifth of a second for 64 MB of numbers. So a large value is
taken apart, objects by field and lists by stretches, and writing stops as soon as the budget is spent.
"""

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.json import encode

PIECE_BYTES: Final = 1024 * 1024  # roughly
BRACKET_BYTES: Final = 2
NUMBER_BYTES: Final = 10  # roughly, and a comma


class ByteBudget:
    """The bytes that are left for one response, or for all responses of a batch."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._left = max_bytes

    def spend(self, size: int) -> None:
        """Raises RequestError if fewer are left."""
        self._left -= size
        if self._left < 0:
            message = (
                f"The response has more than {self._max_bytes} bytes. Ask for smaller pages, fewer points or fields."
            )
            raise RequestError(message, {"code": "RESPONSE_TOO_LARGE"})


async def encode_within(body: object, budget: ByteBudget, piece: int = PIECE_BYTES) -> bytes:
    """Returns the body as JSON. Raises RequestError if it is larger than the budget."""
    parts, unpaused = list[bytes](), 0
    for part in _encode_parts(body, piece):
        budget.spend(len(part))
        parts.append(part)
        unpaused += len(part)
        if unpaused > piece:
            unpaused = 0
            await asyncio.sleep(0)
    return b"".join(parts)


def _encode_parts(value: Any, piece: int) -> Iterator[bytes]:
    is_large = estimate_bytes(value, piece) > piece
    if is_large and isinstance(value, dict):
        yield from _encode_object(value, piece)
    elif is_large and isinstance(value, list):
        yield from _encode_list(value, piece)
    else:
        yield encode(value)


def _encode_object(fields: dict[str, Any], piece: int) -> Iterator[bytes]:
    before = b"{"
    for name, value in fields.items():
        yield before + encode(name) + b":"
        yield from _encode_parts(value, piece)
        before = b","
    yield b"}"


def _encode_list(items: list[Any], piece: int) -> Iterator[bytes]:
    before = b"["
    for stretch in _split_list(items, piece):
        yield before
        if len(stretch) == 1:
            yield from _encode_parts(stretch[0], piece)
        else:
            yield encode(stretch)[1:-1]
        before = b","
    yield b"]"


def _split_list(items: list[Any], piece: int) -> Iterator[list[Any]]:
    """Yields stretches that are no larger than a piece, unless a single item is."""
    start = size = 0
    for end, item in enumerate(items):
        more = estimate_bytes(item, piece)
        if size + more > piece and end > start:
            yield items[start:end]
            start, size = end, 0
        size += more
    yield items[start:]


def estimate_bytes(value: object, most: int) -> int:
    """Returns roughly how many bytes a value takes as JSON; stops counting once there are more than `most`."""
    total, left = 0, list[Any]([[value]])
    while left:
        part = left.pop()
        for entry in part.values() if part.__class__ is dict else part:
            kind = entry.__class__
            if kind is dict or kind is list:
                left.append(entry)
                total += BRACKET_BYTES
            else:
                total += len(entry) if kind is str else NUMBER_BYTES * (entry.size if kind is np.ndarray else 1)
            if total > most:
                return total
    return total
