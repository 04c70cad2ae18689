"""The short way of a text to a socket: what it writes is what the long way writes, and when it does not, that does."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import websockets
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode

from bcom_graphql import app
from bcom_graphql.graphql.transports.websocket_protocol import WRITE, WebSocketProtocol, make_frame_head
from resolvers.base.roles import Role
from resolvers.context import Services
from tests.conftest import settings_of
from tests.helpers.support import Api, Factory, Socket, id_of, serving

LENGTHS = [0, 1, 125, 126, 127, 65_535, 65_536, 200_000]
LONG = "🛰 né " * 600
WATCH = """subscription { anomalyDetected(changes: [ACKNOWLEDGED]) { anomaly { id history { note } } } }"""
ACKNOWLEDGE = "mutation ($id: ID!, $note: String) { acknowledgeAnomaly(id: $id, note: $note) { __typename } }"
SHORT = {"ws": WebSocketProtocol, "ws_per_message_deflate": False}
COMPRESSED = {"ws": WebSocketProtocol, "ws_per_message_deflate": True}
UVICORN_S_OWN = {"ws": "auto", "ws_per_message_deflate": False}


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each text that was tried to be written the short way was."""
    seen: list[bool] = []
    write = WebSocketProtocol.write

    def noted(self: WebSocketProtocol, texts: Sequence[bytes]) -> bool:
        seen.append(write(self, texts))
        return seen[-1]

    monkeypatch.setattr(WebSocketProtocol, "write", noted)
    return seen


@pytest.fixture
def protocols(monkeypatch: pytest.MonkeyPatch) -> list[WebSocketProtocol]:
    """The server's side of each socket, in the order of their opening."""
    seen: list[WebSocketProtocol] = []
    connect = WebSocketProtocol.handle_connect

    def noted(self: WebSocketProtocol, *arguments: Any) -> None:
        seen.append(self)
        connect(self, *arguments)

    monkeypatch.setattr(WebSocketProtocol, "handle_connect", noted)
    return seen


@pytest.fixture
async def operator(services: Services, database_url: str, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """Of a server with these options of uvicorn's."""
    application = app.application(services, settings_of(database_url, profile="development"))
    async with serving(application, **request.param) as url, Api.to(url, services) as client:
        yield await client.as_(Role.OPERATOR)


async def acknowledged(operator: Api, make: Factory, note: str = LONG) -> dict[str, Any]:
    """What a subscriber should be told."""
    id = id_of(await make.anomaly())
    await operator.run(ACKNOWLEDGE, id=id, note=note)
    return {"anomalyDetected": {"anomaly": {"id": id, "history": [{"note": note}]}}}


@given(st.one_of(st.sampled_from(LENGTHS), st.integers(0, 70_000)))
def test_a_head_is_the_one_of_the_long_way(length: int) -> None:
    text = b"x" * length

    assert make_frame_head(length) + text == Frame(Opcode.TEXT, text).serialize(mask=False)


@pytest.mark.parametrize(
    ("operator", "ways"),
    [(SHORT, [True, True]), (COMPRESSED, []), (UVICORN_S_OWN, [])],
    ids=["short", "compressed", "another protocol"],
    indirect=["operator"],
)
async def test_events_arrive_whatever_way_the_server_has(
    operator: Api, make: Factory, written: list[bool], ways: list[bool]
) -> None:
    compression = [ClientPerMessageDeflateFactory()]
    async with websockets.connect(
        operator.url.replace("http://", "ws://"),
        subprotocols=[websockets.Subprotocol("graphql-transport-ws")],
        extensions=compression,
        compression=None,
    ) as connection:
        socket = Socket(connection)
        await socket.send(type="connection_init", payload=operator.headers)
        await socket.receive()
        await socket.subscribe(WATCH)

        for _ in range(2):
            expected = await acknowledged(operator, make)
            assert await socket.next() == expected

    assert written == ways


@pytest.mark.parametrize("operator", [SHORT], ids=["short"], indirect=True)
async def test_who_does_not_read_waits_alone_and_gets_all_of_it_in_order(
    operator: Api, make: Factory, written: list[bool], protocols: list[WebSocketProtocol]
) -> None:
    """The peer's window is closed, as the server sees it, until it is opened again."""
    async with operator.socket() as slow, operator.socket() as quick:
        await slow.subscribe(WATCH)
        await quick.subscribe(WATCH)
        protocols[0].pause_writing()

        expected = [await acknowledged(operator, make, note) for note in "abc"]
        told = [await quick.next() for _ in expected]
        was_silent = await slow.silent(0.2)
        protocols[0].resume_writing()
        late = [await slow.next() for _ in expected]
        expected_last = await acknowledged(operator, make, "d")

        assert (told, was_silent, late) == (expected, True, expected)
        assert await slow.next() == await quick.next() == expected_last
    assert False in written


@pytest.mark.parametrize("operator", [SHORT], ids=["short"], indirect=True)
async def test_who_falls_too_far_behind_is_told_where_to_go_on_and_misses_nothing(
    operator: Api, make: Factory, protocols: list[WebSocketProtocol]
) -> None:
    operator.services.feed.queue_length = 3
    async with operator.socket() as slow, operator.socket() as quick:
        await slow.subscribe(WATCH)
        await quick.subscribe(WATCH)
        protocols[0].pause_writing()

        expected = []
        for note in "abcdef":
            expected.append(await acknowledged(operator, make, note))
            assert await quick.next() == expected[-1], "nobody else waits"
        protocols[0].resume_writing()
        told = [await slow.next() for _ in range(3)]
        end = await slow.receive()
        [error] = end["payload"]
        resumed = WATCH.replace("[ACKNOWLEDGED]", f'[ACKNOWLEDGED], after: "{error["extensions"]["resumeAfter"]}"')
        await slow.subscribe(resumed)
        late = [await slow.next() for _ in range(3)]

        assert (end["type"], error["extensions"]["code"]) == ("error", "LAGGED")
        assert told + late == expected
        assert await slow.silent(0.2)


@pytest.mark.parametrize("operator", [SHORT], ids=["short"], indirect=True)
async def test_what_is_pushed_to_a_socket_that_has_gone_is_nobodys_error(
    operator: Api, make: Factory, capsys: pytest.CaptureFixture[str]
) -> None:
    async with operator.socket() as stays:
        await stays.subscribe(WATCH)
        for _ in range(3):
            async with operator.socket() as goes:
                await goes.subscribe(WATCH)
                goes.connection.transport.abort()
            expected = await acknowledged(operator, make, "a")
            assert await stays.next() == expected

    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize("operator", [SHORT], ids=["short"], indirect=True)
async def test_an_operation_that_is_pushed_can_be_completed_and_its_id_used_again(operator: Api, make: Factory) -> None:
    feed = operator.services.feed
    before = feed.followers
    async with operator.socket() as socket:
        await socket.subscribe(WATCH)
        await socket.send(type="complete", id="1")
        await socket.subscribe(WATCH)

        expected = await acknowledged(operator, make, "a")

        assert await socket.next() == expected
        assert await socket.silent(0.2), "the first one is over"
        assert feed.followers == before + 1
    async with asyncio.timeout(10):
        while feed.followers > before:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_nothing_is_written_before_the_handshake_or_after_the_close(
    services: Services, database_url: str
) -> None:
    seen: list[Any] = []

    async def tries(scope: Any, receive: Any, send: Any) -> None:
        write = scope["extensions"][WRITE]
        await receive()
        seen.append(write([b"early"]))
        await send({"type": "websocket.accept"})
        seen.append(write([json.dumps("é").encode(), "ö".encode()]))
        await send({"type": "websocket.close"})
        seen.append(write([b"late"]))

    async with serving(tries, lifespan="off") as url, websockets.connect(url.replace("http://", "ws://")) as connection:  # type: ignore[arg-type]
        received = [message async for message in connection]

    assert seen == [False, True, False]
    assert received == [json.dumps("é"), "ö"]
