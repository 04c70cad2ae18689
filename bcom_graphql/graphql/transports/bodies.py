"""What arrives behind a request's headers: unpacked, no more than its sender may send, at no less than a rate."""

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from bcom_graphql.graphql.deadlines import Deadline
from bcom_graphql.graphql.errors import Refused, bad_request
from bcom_graphql.graphql.json import count_values, loaded
from bcom_graphql.graphql.limits import Allowance, Limits
from bcom_graphql.graphql.transports.spool import FREE, Lease, Place, crowded

UNPACKED: Final = 64 * 1024  # bytes at once
GZIP, ZLIB, RAW_DEFLATE = 31, 15, -15  # as zlib calls them
ENCODINGS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": ZLIB}

Admit = Callable[[], Awaitable[Allowance]]


class Arrival(Request):
    """A request whose headers are read often: `given` has them by name, in lower case; the first where one repeats.

    `lease` holds the files that came with it, `place` its memory.
    """

    lease: Lease | None = None
    place: Place | None = None

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self.given = {name.decode("latin-1"): value.decode("latin-1") for name, value in reversed(scope["headers"])}


class Body:
    """A request's body. `announced` and `received` are bytes on the wire."""

    def __init__(self, request: Arrival, limits: Limits, deadline: Deadline) -> None:
        """The deadline moves on with what is received. Raises Refused for an encoding that is not known."""
        length = request.given.get("content-length", "")
        self.announced = int(length) if length.isascii() and length.isdigit() else 0
        self.received = 0
        self._request, self._limits, self._deadline = request, limits, deadline
        self._encoding = request.given.get("content-encoding", "").strip().lower() or "identity"
        if self._encoding != "identity" and self._encoding not in ENCODINGS:
            message = f"Send the body as it is, or with gzip or deflate, not with {self._encoding[:40]!r}."
            raise Refused(message, {"code": "BAD_USER_INPUT"}, 415, {"accept-encoding": "gzip, deflate"})

    def pieces(self) -> AsyncIterator[bytes]:
        """Unpacked. Raises Refused for what cannot be, and ClientDisconnect."""
        return self._received() if self._encoding == "identity" else self._unpacked()

    async def _received(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            message = await self._request.receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            piece, more = message.get("body", b""), message.get("more_body", False)
            self.received += len(piece)
            self._deadline.move(self._limits.arrival_seconds(self.received))
            yield piece

    async def _unpacked(self) -> AsyncIterator[bytes]:
        """A little at once, whatever it grows to."""
        unpacker = None
        async for packed in self._received():
            if unpacker is None and packed:
                unpacker = zlib.decompressobj(_window(self._encoding, packed))
            left = packed
            while left and unpacker is not None:
                try:
                    yield unpacker.decompress(left, UNPACKED)
                except zlib.error as error:
                    raise self._damaged() from error
                if unpacker.unused_data:
                    raise self._damaged()
                left = unpacker.unconsumed_tail
                await asyncio.sleep(0)
        if unpacker is not None:
            yield unpacker.flush()
        if unpacker is None or not unpacker.eof:
            raise self._damaged()

    def _damaged(self) -> Refused:
        return bad_request(f"The body is not {self._encoding}, as its Content-Encoding says, or not all of it.")


def _window(encoding: str, packed: bytes) -> int:
    """Some send `deflate` without zlib's header, whose first byte ends with the number of the method, 8."""
    return RAW_DEFLATE if encoding == "deflate" and packed[0] & 15 != 8 else ENCODINGS[encoding]


class Admission:
    """How much may come: what anybody may send; and when there is more, what whoever sends it may."""

    def __init__(self, anybody: Allowance, admit: Admit, place: Place) -> None:
        """`place`: among those who are not asked for, until it turns out that they have signed in."""
        self._allowed = anybody
        self._admit: Admit | None = admit
        self._place = place

    @property
    def is_over(self) -> bool:
        """Whether the sender was asked for, and let in."""
        return self._admit is None

    def is_usual(self, size: int, values: int) -> bool:
        """Whether anybody may send so much, and it takes no room of those who are strangers still."""
        return size <= FREE and self._allowed.covers(size, values)

    async def check(self, size: int, values: int, what: str) -> None:
        """Raises Refused."""
        if not self._allowed.covers(size, values):
            await self._ask()
        self._allowed.refuse_beyond(size, values, what)

    async def keep(self, size: int) -> None:
        """So much in memory. Raises Refused where strangers have no more room."""
        if not (self._allowed.signed_in or self._place.fits(size)):
            await self._ask()
        if self._allowed.signed_in:
            self._place.leave()
        elif not self._place.fits(size):
            raise crowded()

    async def _ask(self) -> None:
        if self._admit is not None:
            admit, self._admit = self._admit, None
            self._allowed = await admit()


async def read_json(body: Body, admission: Admission) -> Any:
    """The JSON in a body, none of which is kept once there is too much of it. Raises Refused."""
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
    return await loaded(b"".join(pieces), "The body")
