"""Sockets: credentials that end, operations that fail alone, frames that are none of the protocol's.

https://github.com/enisdenjo/graphql-ws/blob/master/PROTOCOL.md
"""

import hashlib
import json
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import websockets

from bcom_graphql.authentication import ApplicationGate
from bcom_graphql.graphql.execution.application import Client
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.store.tables.core import SignIn, User
from tests.helpers.support import Api, Factory, Server, Socket, id_of, several

PROTOCOL = "graphql-transport-ws"
PROMPTLY = 1.0  # seconds within which access that was taken away is gone, in whatever process it was taken
VIEWER = "{ viewer { role } }"
WATCH = "subscription { anomalyDetected { cursor } }"
# From the log's beginning: what happens before the server begins to follow is told as well.
WATCH_ALL = 'subscription { anomalyDetected(changes: [ACKNOWLEDGED], after: "0") { anomaly { id } } }'
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { ... on Anomaly { status } } }"
LOGIN = """mutation { register(input: {email: "noc@example.com", password: "long enough"}) {
  ... on Session { accessToken refreshToken } } }"""
LOGOUT = "mutation ($token: String!) { logout(refreshToken: $token) { at } }"


@asynccontextmanager
async def raw(api: Api, protocols: Iterable[str] = (PROTOCOL,), **options: Any) -> AsyncIterator[Socket]:
    """A socket that has said nothing yet."""
    wanted = [websockets.Subprotocol(protocol) for protocol in protocols] or None
    async with websockets.connect(api.url.replace("http://", "ws://"), subprotocols=wanted, **options) as connection:
        yield Socket(connection)


async def start(socket: Socket, query: str, id: str = "1", **payload: Any) -> None:
    """Ask for something, and wait for nothing."""
    await socket.send(type="subscribe", id=id, payload={"query": query, **payload})


async def answer(socket: Socket, query: str, id: str = "1", **payload: Any) -> dict[str, Any]:
    """The payload of an operation's only result, after which it is complete."""
    await start(socket, query, id, **payload)
    message = await socket.receive()
    assert (message["type"], message["id"]) == ("next", id), message
    assert await socket.receive() == {"type": "complete", "id": id}
    result: dict[str, Any] = message["payload"]
    return result


async def is_alive(socket: Socket) -> bool:
    """Whether a ping is what is answered next."""
    await socket.send(type="ping")
    return await socket.receive() == {"type": "pong"}


async def acknowledge(operator: Api, make: Factory) -> str:
    """What a subscriber should hear of: the id of an anomaly that has just been acknowledged."""
    id = id_of(await make.anomaly())
    await operator.run(ACKNOWLEDGE, id=id)
    return id


async def told_of(socket: Socket, anomaly: str, id: str = "1") -> bool:
    """Whether it is this that a subscription hears of next."""
    data = {"anomalyDetected": {"anomaly": {"id": anomaly}}}
    return await socket.receive() == {"type": "next", "id": id, "payload": {"data": data}}


async def change(admin: Api, user: User, **to: Any) -> None:
    document = "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { __typename } }"
    assert await admin.run(document, input={"id": id_of(user), **to}) == {"updateUser": {"__typename": "User"}}


async def short_lived(api: Api, user: User, lives: timedelta) -> Api:
    """A client whose access token was issued such a while ago that it lives as long as this still."""
    async with api.services.database.write() as session:
        sign_in = SignIn(user_id=user.id)
        session.add(sign_in)
    tokens = api.services.tokens
    issued_at = datetime.now(UTC) - tokens.life - tokens.leeway + lives
    return api.with_token(tokens.issue(user.id, sign_in.id, issued_at)[0])


# ---------------------------------------------------------------- frames


NONE_OF_THE_PROTOCOLS = {
    "a binary frame": b'{"type": "ping"}',
    "not JSON": "{",
    "nothing": "",
    "a number that JSON does not have": '{"type": "ping", "payload": NaN}',
    "half of a surrogate pair": r'{"type": "ping", "payload": {"x": "\ud800"}}',
    "JSON nested beyond reason": "[" * 60_000,
    "an array": '[{"type": "ping"}]',
    "a number": "3",
    "null": "null",
    "true": "true",
    "a string": '"ping"',
    "an empty object": "{}",
    "an unknown type": '{"type": "nonsense"}',
    "a type of the older protocol": '{"type": "start", "id": "1", "payload": {"query": "{ __typename }"}}',
    "a type that only the server sends": '{"type": "next", "id": "1", "payload": {}}',
    "a type that is an object": '{"type": {}}',
    "no id": '{"type": "subscribe", "payload": {"query": "{ __typename }"}}',
    "an id that is null": '{"type": "subscribe", "id": null, "payload": {"query": "{ __typename }"}}',
    "an id that is a number": '{"type": "subscribe", "id": 1, "payload": {"query": "{ __typename }"}}',
    "an id that is an object": '{"type": "subscribe", "id": {}, "payload": {"query": "{ __typename }"}}',
    "complete without an id": '{"type": "complete"}',
    "complete with an id that is an array": '{"type": "complete", "id": []}',
    "no payload": '{"type": "subscribe", "id": "1"}',
    "a payload that is null": '{"type": "subscribe", "id": "1", "payload": null}',
    "a payload that is a string": '{"type": "subscribe", "id": "1", "payload": "{ __typename }"}',
    "neither query nor id of a document": '{"type": "subscribe", "id": "1", "payload": {"variables": {}}}',
    "a query that is a number": '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
    "variables that are an array": '{"type": "subscribe", "id": "1", "payload": {"query": "{ x }", "variables": []}}',
    "an operation's name that is a number": (
        '{"type": "subscribe", "id": "1", "payload": {"query": "{ x }", "operationName": 1}}'
    ),
    "a persisted query without a hash": (
        '{"type": "subscribe", "id": "1", "payload": {"extensions": {"persistedQuery": {"version": 1}}}}'
    ),
}


@pytest.mark.parametrize("frame", NONE_OF_THE_PROTOCOLS.values(), ids=NONE_OF_THE_PROTOCOLS)
async def test_a_frame_that_is_none_of_the_protocols_closes_with_4400(api: Api, frame: str | bytes) -> None:
    async with api.socket() as socket:
        await socket.connection.send(frame)

        assert await socket.closed() == 4400
        assert socket.connection.close_reason


@pytest.mark.parametrize("frame", ["{", "[]", '{"type": "nonsense"}', b"{}"])
async def test_a_frame_that_is_none_of_the_protocols_closes_before_the_handshake_too(
    api: Api, frame: str | bytes
) -> None:
    async with raw(api) as socket:
        await socket.connection.send(frame)

        assert await socket.closed() == 4400


@pytest.mark.parametrize("payload", [[1], [], "Bearer x", "", 3, 0, True, False])
async def test_a_handshake_whose_payload_is_no_object_closes_with_4400(api: Api, payload: Any) -> None:
    async with raw(api) as socket:
        await socket.send(type="connection_init", payload=payload)

        assert await socket.closed(2) == 4400


@pytest.mark.parametrize("message", [{}, {"payload": None}, {"payload": {}}, {"payload": {"Authorization": ""}}])
async def test_a_handshake_without_credentials_is_anonymous(api: Api, message: dict[str, Any]) -> None:
    async with raw(api) as socket:
        await socket.send(type="connection_init", **message)

        assert await socket.receive() == {"type": "connection_ack"}
        assert await answer(socket, VIEWER) == {"data": {"viewer": None}}


async def test_text_that_is_no_utf_8_closes_as_websockets_have_it(api: Api) -> None:
    async with api.socket() as socket:
        await socket.connection.send(b'{"type": "\xff"}', text=True)

        assert await socket.closed() == 1007


async def test_a_message_larger_than_the_servers_limit_closes_as_websockets_have_it(api: Api) -> None:
    async with (await api.as_(Role.VIEWER)).socket() as socket:
        await socket.connection.send(["x" * 16 * 1024 * 1024, "y"])  # in two frames: the second is one too many

        assert await socket.closed() == 1009


async def test_whatever_is_answered_comes_in_text_frames(api: Api, make: Factory) -> None:
    await make.network(number=1)
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as socket:
        await socket.send(type="ping")
        await start(socket, "{ network(number: 1) { name } }", "1")
        await start(socket, "{ ü", "2")
        frames = [await socket.connection.recv() for _ in range(4)]

    assert sorted(json.loads(frame)["type"] for frame in frames) == ["complete", "error", "next", "pong"]
    assert all(isinstance(frame, str) for frame in frames)


# ---------------------------------------------------------------- the handshake


@pytest.mark.parametrize("protocols", [(), ("graphql-ws",), ("graphql-sse", "chat")])
async def test_a_socket_without_the_subprotocol_closes_with_4406(api: Api, protocols: tuple[str, ...]) -> None:
    async with raw(api, protocols) as socket:
        assert await socket.closed() == 4406


async def test_the_subprotocol_is_chosen_among_several(api: Api) -> None:
    async with raw(api, ["graphql-ws", PROTOCOL]) as socket:
        assert socket.connection.subprotocol == PROTOCOL


async def test_subscribing_before_the_handshake_closes_with_4401(api: Api) -> None:
    async with raw(api) as socket:
        await start(socket, VIEWER)

        assert await socket.closed() == 4401


async def test_a_handshake_that_does_not_come_in_time_closes_with_4408(server: Server) -> None:
    async with server(max_init_seconds=0.2) as api, raw(api) as waiting, raw(api) as pinging:
        assert await is_alive(pinging)

        assert await waiting.closed(2) == 4408
        assert await pinging.closed(2) == 4408


async def test_a_socket_that_was_let_in_in_time_stays(server: Server) -> None:
    async with server(max_init_seconds=0.2) as api, api.socket() as socket:
        assert await socket.silent(0.4)
        assert await is_alive(socket)


async def test_a_second_handshake_closes_with_4429(api: Api) -> None:
    async with api.socket() as socket:
        await socket.send(type="connection_init")

        assert await socket.closed() == 4429


@pytest.mark.parametrize("origin", ["https://evil.example", "https://noc.example.com.evil.example", "null"])
@pytest.mark.parametrize("allowed", [[], ["https://noc.example.com"]], ids=["none allowed", "another allowed"])
async def test_pages_of_other_origins_cannot_open_sockets(server: Server, origin: str, allowed: list[str]) -> None:
    async with server(allowed_origins=allowed) as api:
        with pytest.raises(websockets.InvalidStatus) as refused:
            async with raw(api, origin=websockets.Origin(origin)):
                pass

    assert refused.value.response.status_code == 403


async def test_pages_of_allowed_origins_and_our_own_can_open_sockets(server: Server) -> None:
    async with server(allowed_origins=["https://noc.example.com"]) as api:
        for origin in ("https://noc.example.com", api.url.removesuffix("/graphql")):
            async with raw(api, origin=websockets.Origin(origin)) as socket:
                assert await is_alive(socket)


# ---------------------------------------------------------------- pings


async def test_a_ping_is_answered_before_and_after_the_handshake(api: Api) -> None:
    async with raw(api) as socket:
        before = await is_alive(socket)
        await socket.send(type="connection_init")
        acknowledged = await socket.receive()
        await socket.send(type="ping", payload={"sent": 1})
        after = await socket.receive()

    assert before
    assert acknowledged == {"type": "connection_ack"}
    assert after == {"type": "pong"}


async def test_a_pong_that_nobody_asked_for_is_ignored(api: Api) -> None:
    async with api.socket() as socket:
        await socket.send(type="pong")
        await socket.send(type="pong", payload={"x": 1})

        assert await is_alive(socket)


# ---------------------------------------------------------------- operations


async def test_a_query_is_one_result_and_its_end(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as socket:
        first = await answer(socket, VIEWER, "the id is mine")
        second = await answer(socket, "query A { __typename } query B { viewer { role } }", operationName="B")

    assert first == second == {"data": {"viewer": {"role": "VIEWER"}}}


async def test_a_mutation_is_one_result_and_its_end(api: Api, make: Factory) -> None:
    operator, anomaly = await api.as_(Role.OPERATOR), await make.anomaly()

    async with operator.socket() as socket:
        result = await answer(socket, ACKNOWLEDGE, variables={"id": id_of(anomaly)})

    assert result == {"data": {"acknowledgeAnomaly": {"status": "ACKNOWLEDGED"}}}


async def test_a_field_that_fails_is_an_error_within_the_result(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as socket:
        result = await answer(socket, "{ users { totalCount } }")

    assert result["errors"][0]["path"] == ["users"]
    assert result["errors"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        ({"query": "{ oops"}, "GRAPHQL_PARSE_FAILED"),
        ({"query": "{ oops }"}, "GRAPHQL_VALIDATION_FAILED"),
        ({"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": {}}}, "BAD_USER_INPUT"),
        ({"query": "query ($id: ID!) { node(id: $id) { id } }"}, "BAD_USER_INPUT"),
        ({"query": "query A { __typename }", "operationName": "B"}, "BAD_USER_INPUT"),
        ({"query": 'subscription { anomalyDetected(after: "x") { cursor } }'}, "BAD_USER_INPUT"),
        ({"query": "{ x " * 30 + "}" * 30}, "QUERY_TOO_COMPLEX"),
    ],
    ids=["syntax", "validation", "variables", "missing variable", "name", "cursor", "depth"],
)
async def test_an_operation_that_fails_leaves_its_siblings_alone(
    api: Api, make: Factory, payload: dict[str, Any], code: str
) -> None:
    operator = await api.as_(Role.OPERATOR)

    async with operator.socket() as socket:
        await start(socket, WATCH_ALL)
        await socket.send(type="subscribe", id="bad", payload=payload)
        failed = await socket.receive()
        anomaly = await acknowledge(operator, make)

        assert (failed["type"], failed["id"]) == ("error", "bad")
        assert failed["payload"][0]["extensions"]["code"] == code
        assert await told_of(socket, anomaly)
        assert await answer(socket, VIEWER, "bad") == {"data": {"viewer": {"role": "OPERATOR"}}}


async def test_a_cursor_of_another_database_ends_the_subscription_with_an_error(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as socket:
        await start(socket, 'subscription { anomalyDetected(after: "999") { cursor } }')
        failed = await socket.receive()

        assert failed["type"] == "error"
        assert failed["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"
        assert await is_alive(socket)


async def test_a_subscriber_that_falls_behind_is_told_where_to_go_on(api: Api, make: Factory) -> None:
    operator, feed = await api.as_(Role.OPERATOR), api.services.feed
    usual = feed.queue_length

    async with operator.socket() as socket:
        await start(socket, WATCH_ALL)
        assert await told_of(socket, await acknowledge(operator, make))
        feed.queue_length = 0  # one event is one too many
        missed = await acknowledge(operator, make)
        lagged = await socket.receive()
        [error] = lagged["payload"]
        feed.queue_length = usual
        await start(socket, WATCH_ALL.replace('"0"', f'"{error["extensions"]["resumeAfter"]}"'))

        assert (lagged["type"], lagged["id"], error["extensions"]["code"]) == ("error", "1", "LAGGED")
        assert await told_of(socket, missed)


async def test_an_id_in_use_closes_with_4409(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as socket:
        await start(socket, WATCH)
        await start(socket, VIEWER)

        assert await socket.closed() == 4409


async def test_a_subscription_that_the_client_completes_is_over_and_its_id_is_free(api: Api, make: Factory) -> None:
    operator = await api.as_(Role.OPERATOR)

    async with operator.socket() as socket:
        await start(socket, WATCH_ALL)
        first = await acknowledge(operator, make)
        assert await told_of(socket, first)
        await socket.send(type="complete", id="1")
        await acknowledge(operator, make)
        over = await socket.silent(0.3)
        await start(socket, WATCH_ALL)
        again = await told_of(socket, first)

    assert over
    assert again


@pytest.mark.parametrize("id", ["unknown", "over"])
async def test_completing_what_does_not_go_on_is_ignored(api: Api, id: str) -> None:
    async with api.socket() as socket:
        await answer(socket, VIEWER, "over")
        await socket.send(type="complete", id=id)

        assert await is_alive(socket)


async def test_an_operation_more_than_allowed_fails_alone_until_another_ends(server: Server) -> None:
    async with server(max_subscriptions=2) as api:
        viewer = await api.as_(Role.VIEWER)
        async with viewer.socket() as socket:
            await start(socket, WATCH, "1")
            await start(socket, WATCH, "2")
            await start(socket, VIEWER, "3")
            refused = await socket.receive()
            await socket.send(type="complete", id="1")
            let_in = await answer(socket, VIEWER, "3")

    [error] = refused["payload"]
    assert (refused["type"], refused["id"], error["extensions"]["code"]) == ("error", "3", "RATE_LIMITED")
    assert error["message"] == "This socket has 2 operations in progress; at most 2 are allowed."
    assert "data" in let_in


async def test_each_operation_of_a_socket_sees_the_present(api: Api, make: Factory) -> None:
    network = await make.network(number=1)
    viewer = await api.as_(Role.VIEWER)
    query = "{ network(number: 1) { hub { name } satellite { name } } }"

    async with viewer.socket() as socket:
        before = await answer(socket, query)
        async with api.services.database.write() as session:
            (await session.get_one(type(network), network.id)).satellite_id = (await make.satellite("Another")).id
        after = await answer(socket, query)

    assert before != after
    assert after["data"]["network"]["satellite"]["name"] == "Another"


async def test_each_event_of_a_subscription_sees_the_present(api: Api, make: Factory) -> None:
    link = await make.link()
    anomaly = await make.anomaly(link)
    operator = await api.as_(Role.OPERATOR)
    query = """subscription { anomalyDetected(changes: [ACKNOWLEDGED, RESOLVED], after: "0") {
      anomaly { status target { ... on Link { name } } } } }"""

    async with operator.socket() as socket:
        await start(socket, query)
        await operator.run(ACKNOWLEDGE, id=id_of(anomaly))
        before = await socket.next()
        async with api.services.database.write() as session:
            (await session.get_one(type(link), link.id)).name = "Renamed"
        await operator.run(ACKNOWLEDGE.replace("acknowledge", "resolve"), id=id_of(anomaly))
        after = await socket.next()

    assert before["anomalyDetected"]["anomaly"] == {"status": "ACKNOWLEDGED", "target": {"name": link.name}}
    assert after["anomalyDetected"]["anomaly"] == {"status": "RESOLVED", "target": {"name": "Renamed"}}


async def test_a_document_is_persisted_over_the_socket(api: Api) -> None:
    hash = hashlib.sha256(VIEWER.encode()).hexdigest()
    persisted: dict[str, Any] = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": hash}}}

    async with api.socket() as socket:
        await socket.send(type="subscribe", id="1", payload=persisted)
        unknown = await socket.receive()
        sent = await answer(socket, VIEWER, **persisted)
        await socket.send(type="subscribe", id="1", payload=persisted)
        by_hash = await socket.next()

    assert (unknown["type"], unknown["id"]) == ("error", "1")
    assert unknown["payload"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"
    assert sent == {"data": by_hash} == {"data": {"viewer": None}}


async def test_a_document_with_a_hash_that_is_not_its_own_is_refused(api: Api) -> None:
    persisted = {"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}

    async with api.socket() as socket:
        await start(socket, VIEWER, extensions=persisted)
        message = await socket.receive()

    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "BAD_USER_INPUT"


# ---------------------------------------------------------------- how many


async def test_sockets_of_one_user_are_limited_and_closing_one_frees_its_place(server: Server, make: Factory) -> None:
    user = await make.user()
    async with server(max_connections=2) as api, AsyncExitStack() as open_sockets:
        one, other = await api.of(user), await api.of(user)  # signed in twice
        first = await open_sockets.enter_async_context(one.socket())
        await open_sockets.enter_async_context(other.socket())

        async with raw(api) as refused:
            await refused.send(type="connection_init", payload=one.headers)
            assert await refused.closed() == 1013
            assert refused.connection.close_reason == "You have 2 open connections; at most 2 are allowed."
        async with (await api.as_(Role.VIEWER)).socket(), api.socket():
            pass  # somebody else's, and nobody's, are counted by themselves
        await first.connection.close()
        await eventually_opens(one)


async def test_anonymous_sockets_are_counted_by_their_address(server: Server) -> None:
    async with server(max_connections=2) as api, api.socket() as first, api.socket():
        async with raw(api) as refused:
            await refused.send(type="connection_init")
            assert await refused.closed() == 1013

        await first.connection.close()
        await eventually_opens(api)


async def test_sockets_that_were_refused_or_not_yet_let_in_take_no_place(server: Server) -> None:
    async with server(max_connections=1) as api, raw(api), raw(api) as bad:
        await bad.send(type="connection_init", payload={"Authorization": "Bearer nonsense"})
        assert await bad.closed() == 4403

        async with api.socket() as socket:
            assert await is_alive(socket)


async def eventually_opens(api: Api) -> None:
    """The server hears of a closed socket a moment later."""
    with anyio.fail_after(20):
        while True:
            async with raw(api) as socket:
                await socket.send(type="connection_init", payload=api.headers)
                try:
                    assert await socket.receive() == {"type": "connection_ack"}
                except websockets.ConnectionClosed:
                    await anyio.sleep(0.02)
                else:
                    return


# ---------------------------------------------------------------- credentials


async def test_an_anonymous_socket_opens_but_may_not_follow(api: Api) -> None:
    async with api.socket() as socket:
        await start(socket, WATCH)

        message = await socket.receive()

    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


@pytest.mark.parametrize("name", ["Authorization", "authorization", "AUTHORIZATION"])
async def test_credentials_are_found_whatever_the_case_of_their_name(api: Api, name: str) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with raw(api) as socket:
        await socket.send(type="connection_init", payload={"some": "thing", name: f"bearer {viewer.token}"})

        assert await socket.receive() == {"type": "connection_ack"}
        assert await answer(socket, VIEWER) == {"data": {"viewer": {"role": "VIEWER"}}}


@pytest.mark.parametrize("given", ["Bearer nonsense", "Bearer bcom_nonsense", "Bearer", "Basic bm9jOnB3", "x", 5, {}])
async def test_a_bad_token_is_refused_with_4403(api: Api, given: Any) -> None:
    async with raw(api) as socket:
        await socket.send(type="connection_init", payload={"Authorization": given})

        assert await socket.closed() == 4403
        assert socket.connection.close_reason


async def test_an_expired_token_is_refused_with_4403(api: Api, make: Factory) -> None:
    theirs = await short_lived(api, await make.user(), timedelta(seconds=-1))

    async with raw(api) as socket:
        await socket.send(type="connection_init", payload=theirs.headers)

        assert await socket.closed() == 4403
        assert "expired" in (socket.connection.close_reason or "")


async def test_a_user_who_is_not_active_is_refused_with_4403(api: Api, make: Factory) -> None:
    theirs = await api.of(await make.user(is_active=False))

    async with raw(api) as socket:
        await socket.send(type="connection_init", payload=theirs.headers)

        assert await socket.closed() == 4403


async def test_a_socket_ends_with_its_access_token(api: Api, make: Factory) -> None:
    lives = timedelta(seconds=2)  # a token's end is a whole second: this is one or two
    theirs = await short_lived(api, await make.user(), lives)

    async with theirs.socket() as socket:
        await start(socket, WATCH)

        assert await socket.closed(lives.total_seconds() + PROMPTLY) == 4403
        assert "expired" in (socket.connection.close_reason or "")


async def test_a_timer_that_runs_early_is_set_again(api: Api, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clocks are slewed, and set back."""
    monkeypatch.setattr(
        "bcom_graphql.graphql.transports.connections.time", SimpleNamespace(time=lambda: time.time() + 0.5)
    )
    theirs = await short_lived(api, await make.user(), timedelta(seconds=2))

    async with theirs.socket() as socket:
        await start(socket, WATCH)

        assert await socket.closed(4) == 4403


async def test_a_clock_that_is_set_ahead_ends_sockets_whose_tokens_have_expired_by_it(
    api: Api, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the socket opened, the clock was an hour behind."""
    behind = [3600.0]
    monkeypatch.setattr(
        "bcom_graphql.graphql.transports.connections.time", SimpleNamespace(time=lambda: time.time() - behind[0])
    )
    monkeypatch.setattr("bcom_graphql.graphql.transports.connections.MAX_TIMER_SECONDS", 0.1)
    theirs = await short_lived(api, await make.user(), timedelta(seconds=1))

    async with theirs.socket() as socket:
        behind[0] = 0.0

        assert await socket.closed(5) == 4403


async def test_access_that_ends_while_a_socket_opens_is_not_missed(
    api: Api, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    user, admin, open = await make.user(), await api.as_(Role.ADMIN), ApplicationGate.open_context
    theirs = await api.of(user)

    async def open_slowly(gate: ApplicationGate, client: Client) -> Context:
        context = await open(gate, client)
        if context.caller and context.caller.user_id == user.id:
            await change(admin, user, isActive=False)
        return context

    monkeypatch.setattr(ApplicationGate, "open_context", open_slowly)

    async with raw(theirs) as socket:
        await socket.send(type="connection_init", payload=theirs.headers)

        assert await socket.closed(2) == 4403


@pytest.mark.parametrize("processes", [1, 2], ids=["in this process", "in another process"])
async def test_deactivating_a_user_closes_their_sockets_and_no_others(
    server: Server, make: Factory, processes: int
) -> None:
    user = await make.user()
    async with several(server, processes) as (here, there):
        theirs, admin = await here.of(user), await there.as_(Role.ADMIN)
        async with theirs.socket() as busy, theirs.socket() as idle, here.socket() as anonymous:
            await start(busy, WATCH)
            await change(admin, user, isActive=False)

            assert await busy.closed(PROMPTLY) == 4403
            assert await idle.closed(PROMPTLY) == 4403
            assert await is_alive(anonymous)


@pytest.mark.parametrize("processes", [1, 2], ids=["in this process", "in another process"])
async def test_logging_out_closes_the_sockets_of_this_sign_in_only(server: Server, processes: int) -> None:
    async with several(server, processes) as (here, there):
        session = (await here.run(LOGIN))["register"]
        async with here.services.database.read() as reading:
            again = await here.of(await reading.get_one(User, 1))
        async with here.with_token(session["accessToken"]).socket() as socket, again.socket() as elsewhere:
            await start(socket, WATCH)
            await there.run(LOGOUT, token=session["refreshToken"])

            assert await socket.closed(PROMPTLY) == 4403
            assert await is_alive(elsewhere)


@pytest.mark.parametrize("processes", [1, 2], ids=["in this process", "in another process"])
async def test_another_role_closes_the_socket_and_is_had_by_the_next_one(
    server: Server, make: Factory, processes: int
) -> None:
    user = await make.user(role=Role.ADMIN)
    async with several(server, processes) as (here, there):
        theirs, admin = await here.of(user), await there.as_(Role.ADMIN)
        async with theirs.socket() as socket:
            before = await answer(socket, VIEWER)
            await change(admin, user, role="VIEWER")
            code = await socket.closed(PROMPTLY)
        async with theirs.socket() as socket:
            after = await answer(socket, VIEWER)

    assert (before["data"]["viewer"]["role"], code, after["data"]["viewer"]["role"]) == ("ADMIN", 4403, "VIEWER")


async def test_a_change_that_takes_nothing_away_leaves_the_socket_open(api: Api, make: Factory) -> None:
    user = await make.user()
    theirs, admin = await api.of(user), await api.as_(Role.ADMIN)

    async with theirs.socket() as socket:
        await change(admin, user, fullName="Somebody", role="VIEWER")

        assert await socket.silent(0.3)
        assert await is_alive(socket)
