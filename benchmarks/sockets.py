"""Thousands of WebSocket clients in one process, which do little more than count the frames that they get."""

import asyncio
import base64
import os
import struct
from collections.abc import Callable
from typing import Final

import orjson

CONNECTING: Final = 200  # at a time
HANDSHAKE: Final = (
    "GET {path} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)


class Subscriber(asyncio.Protocol):
    """One client: shakes hands, sends its messages, and counts the frames that come back."""

    def __init__(self, path: str, messages: list[bytes], arrived: Callable[["Subscriber"], None]) -> None:
        self._path, self._messages, self._arrived = path, messages, arrived
        self._buffer = b""
        self._open = False
        self.frames = 0
        self.last = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(HANDSHAKE.format(path=self._path, key=key).encode())

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, separator, rest = self._buffer.partition(b"\r\n\r\n")
            if not separator:
                return
            assert b" 101 " in head.splitlines()[0], head
            self._open, self._buffer = True, rest
            for message in self._messages:
                self._transport.write(_framed(message))
        self._take_frames()

    def _take_frames(self) -> None:
        buffer, at = self._buffer, 0
        while len(buffer) - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                length, start = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
            elif length == 127:
                length, start = int.from_bytes(buffer[at + 2 : at + 10]), at + 10
            if len(buffer) < start + length:
                break
            if buffer[at] == 0x81:  # text; else a ping
                self.frames += 1
                self.last = buffer[start : start + length]
                self._arrived(self)
            at = start + length
        self._buffer = buffer[at:]

    def close(self) -> None:
        self._transport.close()


def _framed(text: bytes) -> bytes:
    """Returns a client's text frame. Its mask is zero, which the protocol allows and costs nothing."""
    head = struct.pack("!BB", 0x81, 0x80 | len(text)) if len(text) < 126 else struct.pack("!BBH", 0x81, 0xFE, len(text))
    return head + bytes(4) + text


class Crowd:
    """Connected subscribers, which count the frames that they got since the last count."""

    def __init__(self) -> None:
        self.subscribers: list[Subscriber] = []
        self._frames = 0
        self._wanted = 0
        self._enough = asyncio.Event()

    async def join(self, port: int, path: str, messages: list[list[bytes]]) -> None:
        """Connects a client for each list of first messages."""
        loop, several = asyncio.get_running_loop(), asyncio.Semaphore(CONNECTING)

        async def one(own: list[bytes]) -> None:
            async with several:
                _, protocol = await loop.create_connection(
                    lambda: Subscriber(path, own, self._count), "127.0.0.1", port
                )
                self.subscribers.append(protocol)

        await asyncio.gather(*(one(own) for own in messages))

    def _count(self, _: Subscriber) -> None:
        self._frames += 1
        if self._frames >= self._wanted:
            self._enough.set()

    def expect(self, frames: int) -> None:
        """Expects so many frames in all, from now on."""
        self._frames, self._wanted = 0, frames
        self._enough.clear()

    async def received(self, seconds: float = 120) -> None:
        """Returns when they have got the expected frames. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            await self._enough.wait()

    def leave(self) -> None:
        for subscriber in self.subscribers:
            subscriber.close()


def subscribing(token: str, document: str, variables: dict[str, object] | None = None) -> list[bytes]:
    """Returns the messages that a client sends first."""
    payload = {"query": document, "variables": variables or {}}
    return [
        orjson.dumps({"type": "connection_init", "payload": {"Authorization": f"Bearer {token}"}}),
        orjson.dumps({"type": "subscribe", "id": "1", "payload": payload}),
    ]
