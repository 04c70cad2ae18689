"""Reads request bodies: decompressed, no larger than the sender may send, no slower than a minimal rate."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from bcom_graphql.graphql.deadlines import Deadline
from bcom_graphql.graphql.errors import BadRequest, RequestError
from bcom_graphql.graphql.json import count_values, parse_long_json
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.spool import FREE_BYTES, DiskReservation, MemoryReservation, make_memory_error

UNPACKED_BYTES: Final = 64 * 1024  # decompressed in one go
GZIP, ZLIB, RAW_DEFLATE = 31, 15, -15  # zlib's `wbits`
ENCODINGS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}

Admit = Callable[[], Awaitable[Allowance]]


class HttpRequest(Request):
    """A request whose headers are read often: `header_values` has the first value of each, by its lower-case name.

    `disk` holds the uploaded files, `memory` is what an anonymous sender's body takes.
    """

    disk: DiskReservation | None = None
    memory: MemoryReservation | None = None

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.header_values = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])
        }


class Body:
    """A request's body. `announced` and `received` count bytes on the wire."""

    def __init__(self, request: HttpRequest, limits: Limits, deadline: Deadline) -> None:
        """The deadline is extended as bytes arrive. Raises RequestError for an unknown encoding."""
        length = request.header_values.get("content-length", "")
        self.announced = int(length) if length.isascii() and length.isdigit() else 0
        self.received = 0
        self._request, self._limits, self._deadline = request, limits, deadline
        self._encoding = request.header_values.get("content-encoding", "").strip().lower() or "identity"
        if self._encoding != "identity" and self._encoding not in ENCODINGS:
            message = f"Send the body uncompressed, or with gzip or deflate, not with {self._encoding[:40]!r}."
            raise RequestError(message, {"code": "BAD_USER_INPUT"}, 415, {"accept-encoding": "gzip, deflate"})

    def pieces(self) -> AsyncIterator[bytes]:
        """Yields the decompressed body. Raises RequestError if it is damaged, and ClientDisconnect."""
        return self._receive() if self._encoding == "identity" else self._unpack()

    async def _receive(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece, more = message.get("body", b""), message.get("more_body", False)
            self.received += len(piece)
            self._deadline.reschedule(self._limits.arrival_seconds(self.received))
            yield piece

    async def _unpack(self) -> AsyncIterator[bytes]:
        """Decompresses a little at once, whatever the body grows to."""
        unpacker = None
        async for packed in self._receive():
            if unpacker is None and packed:
                unpacker = zlib.decompressobj(_window_bits(self._encoding, packed))
            left = packed
            while left and unpacker is not None:
                try:
                    yield unpacker.decompress(left, UNPACKED_BYTES)
                except zlib.error as error:
                    raise self._damage_error() from error
                if unpacker.unused_data:
                    raise self._damage_error()
                left = unpacker.unconsumed_tail
                await asyncio.sleep(0)
        if unpacker is not None:
            yield unpacker.flush()
        if unpacker is None or not unpacker.eof:
            raise self._damage_error()

    def _damage_error(self) -> RequestError:
        return BadRequest(f"The body is not {self._encoding}, as its Content-Encoding says, or not all of it.")


def _window_bits(encoding: str, packed: bytes) -> int:
    """Returns zlib's `wbits`. Some send `deflate` without a header, whose first byte ends with 8, the method."""
    return RAW_DEFLATE if encoding == "deflate" and packed[0] & 15 != 8 else ENCODINGS[encoding]


class Admission:
    """How much may be sent: at first what anybody may; authenticates the sender once there is more."""

    def __init__(self, anybody: Allowance, admit: Admit, memory: MemoryReservation) -> None:
        """`memory`: reserved for anonymous senders; released if this one turns out to be signed in."""
        self._allowed = anybody
        self._admit: Admit | None = admit
        self._memory = memory

    @property
    def is_over(self) -> bool:
        """Tells whether the sender was authenticated."""
        return self._admit is None

    def is_usual(self, size: int, values: int) -> bool:
        """Tells whether anybody may send so much, without a reservation of memory."""
        return size <= FREE_BYTES and self._allowed.covers(size, values)

    async def check(self, size: int, values: int, what: str) -> None:
        """Raises RequestError if the sender may not send so much."""
        if not self._allowed.covers(size, values):
            await self._authenticate()
        self._allowed.check(size, values, what)

    async def keep(self, size: int) -> None:
        """Reserves memory for so many bytes. Raises RequestError if anonymous senders have no more."""
        if not (self._allowed.signed_in or self._memory.reserve(size)):
            await self._authenticate()
        if self._allowed.signed_in:
            self._memory.release()
        elif not self._memory.reserve(size):
            raise make_memory_error()

    async def _authenticate(self) -> None:
        if self._admit is not None:
            admit, self._admit = self._admit, None
            self._allowed = await admit()


async def read_json(body: Body, admission: Admission) -> Any:
    """Returns the JSON in a body. Raises RequestError as soon as there is too much of it."""
    pieces = list[bytes]()
    size = values = 0
    if not admission.is_usual(body.announced, values):
        await admission.check(body.announced, values, "The body")
    async for piece in body.pieces():
        pieces.append(piece)
        size, values = size + len(piece), values + count_values(piece)
        if not admission.is_usual(max(size, body.received), values):
            await admission.check(max(size, body.received), values, "The body")
            await admission.keep(size)
    return await parse_long_json(b"".join(pieces), "The body")
