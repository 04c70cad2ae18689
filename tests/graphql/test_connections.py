"""What a connection may cost before anybody is asked who sends: addresses, headers, frames, and patience."""

import asyncio
import base64
import json
import random
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from prometheus_client import REGISTRY
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bcom_graphql.graphql.limits import Limits
from bcom_graphql.graphql.transports.open_connections import STATE, OpenConnections
from bcom_graphql.graphql.transports.pending_sockets import PendingSockets
from tests.fuzz.adversary_connections import ATTACKS, PIECE
from tests.helpers.support import Api, Server, serving, until

LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
CHUNKED = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
HANDSHAKE = (
    b"GET /graphql HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + base64.b64encode(bytes(16)) + b"\r\n"
    b"Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n"
)
INIT = json.dumps({"type": "connection_init"}).encode()
MEGABYTE = 1024 * 1024


class Raw:
    """A TCP connection, byte by byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, *parts: bytes) -> "Raw":
        """As much of it as the server takes."""
        try:
            for part in parts:
                self._writer.write(part)
                await self._writer.drain()
        except ConnectionError:
            pass
        return self

    async def go_on(self) -> None:
        """For as long as the server takes something. Raises ConnectionError."""
        while True:
            self._writer.write(bytes(PIECE))
            await self._writer.drain()

    async def status(self) -> int:
        """Of the next answer, whose body is read too; 0 when the connection ends without one."""
        try:
            head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 10)
            self.head = head.lower()
            lines = self.head.split(b"\r\n")
            length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
            self.body = await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError):
            return 0
        return int(head.split(b" ", 2)[1])

    async def rest(self) -> bytes:
        """What comes until the server closes it."""
        try:
            return await asyncio.wait_for(self._reader.read(), 10)
        except ConnectionError:
            return b""

    async def close_code(self) -> int:
        """Of the frames that come: the close's, whatever is before it."""
        code = 0
        while code == 0:
            first, second = await asyncio.wait_for(self._reader.readexactly(2), 10)
            length = second if second < 126 else int.from_bytes(await self._reader.readexactly(2))
            data = await self._reader.readexactly(length)
            code = int.from_bytes(data[:2]) if first == 0x88 else 0
        return code

    def close(self) -> None:
        self._writer.close()


def raw(api: Api) -> AbstractAsyncContextManager[Raw]:
    return raw_at(api.url)


@asynccontextmanager
async def raw_at(url: str) -> AsyncIterator[Raw]:
    host, port = url.split("/")[2].split(":")
    connection = Raw(*await asyncio.open_connection(host, int(port)))
    try:
        yield connection
    finally:
        connection.close()


def frame(opcode: int, data: bytes = b"", *, fin: bool = True) -> bytes:
    """A client's, masked with nothing."""
    length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
    return bytes([(0x80 if fin else 0) | opcode]) + length + bytes(4) + data


def refused(reason: str) -> float:
    return REGISTRY.get_sample_value("bcom_connections_refused_total", {"reason": reason}) or 0.0


# ---------------------------------------------------------------- addresses, headers, trailers

TOO_LARGE = {
    "an address": (b"GET /" + b"a" * MEGABYTE + b" HTTP/1.1\r\n\r\n", 414),
    "an address that does not end": (b"GET /" + b"a" * MEGABYTE, 414),
    "a header": (b"GET / HTTP/1.1\r\nA: " + b"a" * MEGABYTE + b"\r\n\r\n", 431),
    "a header that does not end": (b"GET / HTTP/1.1\r\nA: " + b"a" * MEGABYTE, 431),
    "a header of 33 kB": (b"GET / HTTP/1.1\r\nA: " + b"a" * 33_000 + b"\r\n\r\n", 431),
    "a name": (b"GET / HTTP/1.1\r\n" + b"a" * MEGABYTE, 431),
    "101 headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 101 + b"\r\n", 431),
    "a hundred thousand headers": (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 100_000, 431),
    "a handshake's header": (HANDSHAKE[:-2] + b"A: " + b"a" * 70_000 + b"\r\n\r\n", 431),
    "a handshake's headers": (HANDSHAKE[:-2] + b"A: b\r\n" * 101 + b"\r\n", 431),
    "empty lines": (b"\r\n" * MEGABYTE, 431),
}


@pytest.mark.parametrize("name", TOO_LARGE)
async def test_what_is_too_large_before_the_body_is_refused_when_it_is_known(api: Api, name: str) -> None:
    sent, status = TOO_LARGE[name]
    async with raw(api) as connection, raw(api) as other:
        assert await (await connection.send(sent)).status() == status
        assert await (await other.send(LIVE)).status() == 200


@pytest.mark.parametrize(
    "head",
    [b"GET /health/live?" + b"a" * 32_000 + b" HTTP/1.1\r\n", LIVE[:-2] + b"A: b\r\n" * 99, LIVE[:-2]],
    ids=["an address", "headers", "little"],
)
async def test_what_is_large_but_allowed_is_answered_however_it_is_cut(api: Api, head: bytes) -> None:
    request = head + b"\r\n"
    async with raw(api) as whole, raw(api) as cut:
        for start in range(0, len(request), 10_000):
            await cut.send(request[start : start + 10_000])
            await asyncio.sleep(0)

        assert await (await whole.send(request)).status() == 200
        assert await cut.status() == 200


@pytest.mark.parametrize(
    "after",
    [b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 200, b"0\r\nA: " + b"a" * MEGABYTE, b"2;" + b"a" * MEGABYTE],
    ids=["trailers", "a trailer", "a chunk's extension"],
)
async def test_what_is_no_body_behind_the_head_ends_the_connection(api: Api, after: bytes) -> None:
    async with raw(api) as connection:
        await connection.send(CHUNKED, after, b"a" * MEGABYTE)

        assert await connection.status() in (0, 431, 400)
        assert await connection.rest() == b""


async def test_a_body_may_come_in_any_number_of_chunks(api: Api) -> None:
    body = json.dumps({"query": "{ __typename }" + " " * 3000}).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    async with raw(api) as connection:
        await connection.send(CHUNKED, chunks, b"0\r\n\r\n")

        assert await connection.status() == 200
        assert b"Query" in connection.body


async def test_a_body_in_too_many_small_chunks_is_not_received(api: Api) -> None:
    async with raw(api) as connection:
        await connection.send(CHUNKED, *[b"1\r\n \r\n" * 10_000] * 50, b"0\r\n\r\n")

        assert await connection.status() in (0, 400)
        assert await connection.rest() == b""


WITH_BODY = b"Content-Type: application/json\r\nContent-Length: 1000000000\r\n"
REFUSED = {
    "too large": (b"POST /graphql", WITH_BODY, 413),
    "bad credentials": (b"POST /graphql", WITH_BODY + b"Authorization: Bearer x\r\n", 401),
    "another encoding": (b"POST /graphql", WITH_BODY + b"Content-Encoding: br\r\n", 415),
    "nowhere": (b"POST /nowhere", WITH_BODY, 404),
    "health": (b"GET /health/live", WITH_BODY, 200),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_whoever_is_answered_before_the_body_has_come_cannot_go_on_sending(api: Api, name: str) -> None:
    asked, headers, status = REFUSED[name]
    async with raw(api) as connection, asyncio.timeout(20):
        await connection.send(asked + b" HTTP/1.1\r\nHost: localhost\r\n" + headers + b"\r\n")

        assert await connection.status() == status
        assert b"connection: close" in connection.head
        with pytest.raises(ConnectionError):
            await connection.go_on()


async def test_requests_may_be_sent_ahead_but_not_without_end(api: Api) -> None:
    async with raw(api) as some, raw(api) as many:
        await some.send(LIVE * 20)
        assert [await some.status() for _ in range(20)] == [200] * 20

        await many.send(LIVE * 10_000)
        assert (await many.rest()).count(b"HTTP/1.1 200") < 100


async def test_a_handshakes_headers_may_be_as_large_as_any(api: Api) -> None:
    """A session behind a proxy that signs people in has cookies of 16 KB."""
    async with raw(api) as connection:
        await connection.send(HANDSHAKE[:-2] + b"Cookie: session=" + b"a" * 30_000 + b"\r\n\r\n")

        assert await connection.status() == 101


# ---------------------------------------------------------------- patience


async def test_a_head_that_does_not_come_in_time_is_answered_with_408(server: Server) -> None:
    async with server(max_header_seconds=0.2, max_idle_seconds=0.2) as api, raw(api) as silent, raw(api) as half:
        await half.send(LIVE[:-2])

        assert await silent.status() == 408
        assert await half.status() == 408


async def test_a_trickle_does_not_hold_a_connection(server: Server) -> None:
    async with server(max_header_seconds=0.3) as api, raw(api) as connection:
        for byte in LIVE[:-4] * 100:
            await connection.send(bytes([byte]))
            await asyncio.sleep(0.02)
            if refused("too slow"):
                break

        assert await connection.status() == 408


async def test_a_connection_that_was_answered_ends_without_a_word(server: Server) -> None:
    """Also while the rest of a body that nobody reads trickles in."""
    async with server(max_header_seconds=0.2, max_idle_seconds=0.2) as api, raw(api) as idle, raw(api) as trickle:
        await idle.send(LIVE)
        await trickle.send(LIVE[:-2] + b"Content-Length: 1000\r\n\r\n")
        assert await idle.status() == await trickle.status() == 200

        for _ in range(100):
            await trickle.send(b"a")
            await asyncio.sleep(0.01)

        assert await idle.rest() == b""
        assert await trickle.rest() == b""


async def test_a_request_that_takes_long_to_answer_is_not_too_slow(server: Server) -> None:
    """Nor is a socket, or an answer that is awaited."""
    async with server(max_header_seconds=0.1, max_idle_seconds=0.1) as api, api.socket() as socket:
        body = json.dumps({"query": "{ __typename }"}).encode()
        async with raw(api) as connection:
            await connection.send(CHUNKED)
            await asyncio.sleep(0.6)
            await connection.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            assert await connection.status() == 200

        await socket.send(type="ping")
        assert await socket.receive() == {"type": "pong"}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems wait longer")
async def test_whoever_does_not_read_does_not_keep_a_connection() -> None:
    connections = OpenConnections(Limits(seconds=0.5))

    async def much(_: Request) -> Response:
        return Response(bytes(50 * MEGABYTE))

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[dict[str, Any]]:
        yield {STATE: connections}

    application = Starlette(routes=[Route("/health/live", much)], lifespan=lifespan)
    async with serving(application) as url, raw_at(url) as connection:
        await connection.send(LIVE)
        await until(lambda: connections.number == 1)

        await until(lambda: connections.number == 0, seconds=30)


# ---------------------------------------------------------------- how many


async def test_whoever_has_waited_longest_makes_way(server: Server) -> None:
    before = refused("made way")
    async with server(max_open_connections=16) as api, AsyncExitStack() as idle:
        waiting = [await idle.enter_async_context(raw(api)) for _ in range(40)]

        async with raw(api) as connection:
            assert await (await connection.send(LIVE)).status() == 200

        assert await waiting[0].status() == 503
        assert await (await waiting[-1].send(LIVE)).status() == 200
    assert refused("made way") >= before + 24


async def test_whoever_has_not_sent_all_of_a_body_makes_way(server: Server) -> None:
    before = refused("made way")
    async with server(max_open_connections=16) as api, AsyncExitStack() as slow:
        for _ in range(40):
            await (await slow.enter_async_context(raw(api))).send(CHUNKED, b"1\r\n \r\n")

        await until(lambda: refused("made way") >= before + 24)
        async with raw(api) as connection:
            assert await (await connection.send(LIVE.replace(b"/health/live", b"/nowhere"))).status() == 404


async def test_while_all_are_busy_newcomers_get_503_and_health_is_told(server: Server) -> None:
    async with server(max_open_connections=16) as api, AsyncExitStack() as busy:
        for _ in range(16):
            await busy.enter_async_context(api.socket())

        async with raw(api) as connection, raw(api) as handshake, raw(api) as health:
            await connection.send(LIVE.replace(b"/health/live", b"/graphql"))
            assert await connection.status() == 503
            assert await (await handshake.send(HANDSHAKE)).status() == 503
            assert await (await health.send(LIVE)).status() == 200


def test_connections_are_fewer_than_the_files_that_may_be_open() -> None:
    """The rest is for PostgreSQL, uploads and models."""
    connections = OpenConnections(Limits(open_connections=10**9))
    connections.number = 10**7

    assert connections.is_over_limit


async def test_sockets_that_wait_with_their_connection_init_are_limited_by_address(server: Server) -> None:
    async with server(max_pending_connections=3) as api, AsyncExitStack() as waiting:
        for _ in range(3):
            connection = await waiting.enter_async_context(raw(api))
            assert await (await connection.send(HANDSHAKE)).status() == 101
        async with raw(api) as one_more:
            assert await (await one_more.send(HANDSHAKE)).status() == 503

        await connection.send(frame(1, INIT))
        await connection.send(frame(1, b'{"type": "ping"}'))  # answered when the other was
        await until(lambda: opens(api))


async def opens(api: Api) -> bool:
    async with raw(api) as connection:
        return await (await connection.send(HANDSHAKE)).status() == 101


# ---------------------------------------------------------------- frames


@asynccontextmanager
async def opened(api: Api, *, admitted: bool = True) -> AsyncIterator[Raw]:
    async with raw(api) as connection:
        assert await (await connection.send(HANDSHAKE)).status() == 101
        if admitted:
            await connection.send(frame(1, INIT))
            await connection._reader.readexactly(len('{"type":"connection_ack"}') + 2)
        yield connection


FLOODS: dict[str, tuple[bool, bytes, int]] = {
    "fragments": (True, frame(1, b"a", fin=False) + frame(0, b"a", fin=False) * 50_000, 1008),
    "empty fragments": (True, frame(1, b"a", fin=False) + frame(0, fin=False) * 50_000, 1008),
    "pings": (True, frame(9) * 50_000, 1008),
    "pings before the connection_init": (False, frame(9) * 200, 1008),
    "pongs": (True, frame(10) * 50_000, 1008),
    "messages": (True, frame(1, b'{"type": "pong"}') * 50_000, 1008),
    "a message before the connection_init": (False, frame(1, b"a" * 60_000, fin=False) + frame(0, b"a" * 9_000), 1009),
}


@pytest.mark.parametrize("name", FLOODS)
async def test_a_flood_of_frames_ends_the_socket_and_others_have_their_turn(api: Api, name: str) -> None:
    admitted, sent, code = FLOODS[name]
    async with opened(api, admitted=admitted) as socket:
        flooding = asyncio.create_task(socket.send(sent))

        async with raw(api) as other:
            assert await (await other.send(LIVE)).status() == 200
        assert await socket.close_code() == code
        await flooding


async def test_frames_are_counted_by_message_and_by_time(server: Server) -> None:
    ping = frame(1, b'{"type":"pi', fin=False) + frame(0, b'ng"}')
    async with server(max_fragments=2, max_frames=200) as api, opened(api) as socket:
        for _ in range(50):
            await socket.send(ping)
            assert await socket._reader.readexactly(17) == b'\x81\x0f{"type":"pong"}'

        await socket.send(ping * 51)
        assert await socket.close_code() == 1008


async def test_messages_of_strangers_are_small(api: Api) -> None:
    async with api.socket() as socket:
        await socket.connection.send("x" * 2 * MEGABYTE)

        assert await socket.closed() == 1009


async def test_a_message_that_is_no_utf_8_is_no_error_of_ours(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    async with opened(api) as socket:
        await socket.send(frame(1, b"\xc3", fin=False), frame(0, b"\x28"))

        assert await socket.close_code() == 1007
    assert not caplog.records


async def test_half_a_character_may_be_in_each_of_two_fragments(api: Api) -> None:
    text = json.dumps({"type": "ping", "x": "é"}, ensure_ascii=False).encode()
    at = text.index(b"\xc3") + 1
    async with opened(api) as socket:
        await socket.send(frame(1, text[:at], fin=False), frame(0, text[at:]))

        assert await socket._reader.readexactly(17) == b'\x81\x0f{"type":"pong"}'


async def test_a_client_that_sends_much_at_once_is_answered_in_order(api: Api) -> None:
    async with api.socket() as socket:
        for number in range(300):
            await socket.send(type="subscribe", id=str(number), payload={"query": "{ __typename }" + " " * number})
            await socket.send(type="ping")
        answers = [await socket.receive() for _ in range(900)]

    assert sum(answer["type"] == "pong" for answer in answers) == 300
    assert {answer["id"] for answer in answers if answer["type"] == "complete"} == set(map(str, range(300)))


def test_of_sockets_that_wait_in_all_the_oldest_makes_way() -> None:
    pending, gone = PendingSockets(2), list[int]()
    sockets = [pending.add(f"192.0.2.{number // 2}") for number in range(8)]
    for number, socket in enumerate(sockets):
        socket.make_way = partial(gone.append, number)
    sockets[1].leave()
    sockets[1].leave()

    pending.add("192.0.2.0")
    pending.add("192.0.2.9")

    assert gone == [0]


# ---------------------------------------------------------------- all of it at once


async def test_after_all_attacks_it_answers_and_has_logged_no_error_of_its_own(
    api: Api, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def attack(name: str) -> None:
        async with raw(api) as connection:
            await connection.send(*ATTACKS[name](random.Random(name)))

    async with asyncio.timeout(60):
        await asyncio.gather(*map(attack, ATTACKS))

    async with raw(api) as connection:
        assert await (await connection.send(LIVE)).status() == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert "Traceback" not in "".join(capsys.readouterr())
