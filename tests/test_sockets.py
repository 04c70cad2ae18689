"""Sockets: credentials that end, operations that fail alone, frames that are none of the protocol's."""

from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
import websockets

from resolvers.store.tables import Role, SignIn, User
from resolvers.tokens import AUDIENCE, ISSUER
from tests.conftest import SECRET
from tests.support import Api, Factory, Socket, id_of

WATCH = "subscription { anomalyDetected { cursor } }"
UPDATE = "mutation ($input: UpdateUserInput!) { updateUser(input: $input) { __typename } }"
LOGIN = """mutation { register(input: {email: "noc@example.com", password: "long enough"}) {
  ... on Session { accessToken refreshToken } } }"""
LOGOUT = "mutation ($token: String!) { logout(refreshToken: $token) { at } }"


async def raw(api: Api) -> websockets.ClientConnection:
    """A socket that has said nothing yet."""
    return await websockets.connect(
        api.url.replace("http://", "ws://"), subprotocols=[websockets.Subprotocol("graphql-transport-ws")]
    )


async def test_an_anonymous_socket_opens_but_may_not_follow(api: Api) -> None:
    async with api.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": WATCH})

        message = await socket.receive()

    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_bad_token_is_refused_with_4403(api: Api) -> None:
    connection = await raw(api)
    socket = Socket(connection)

    await socket.send(type="connection_init", payload={"Authorization": "Bearer nonsense"})

    assert await socket.closed() == 4403


async def test_deactivating_a_user_closes_their_socket(api: Api, make: Factory) -> None:
    user = await make.user()
    theirs, admin = await api.of(user), await api.as_(Role.ADMIN)

    async with theirs.socket() as socket:
        await socket.subscribe(WATCH)
        await admin.run(UPDATE, input={"id": id_of(user), "isActive": False})

        assert await socket.closed(2) == 4403


async def test_another_role_keeps_the_socket_and_takes_effect_in_its_next_operation(api: Api, make: Factory) -> None:
    user = await make.user(role=Role.ADMIN)
    await make.user(role=Role.ADMIN)
    theirs, admin = await api.of(user), await api.as_(Role.ADMIN)

    async with theirs.socket() as socket:
        await admin.run(UPDATE, input={"id": id_of(user), "role": "VIEWER"})
        await socket.send(type="subscribe", id="1", payload={"query": "{ users { totalCount } }"})
        message = await socket.receive()

    assert message["payload"]["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_logging_out_closes_the_socket(api: Api) -> None:
    session = (await api.run(LOGIN))["register"]

    async with api.with_token(session["accessToken"]).socket() as socket:
        await socket.subscribe(WATCH)
        await api.run(LOGOUT, token=session["refreshToken"])

        assert await socket.closed(2) == 4403


async def test_a_socket_ends_with_its_access_token(api: Api, make: Factory) -> None:
    user = await make.user()

    async with api.with_token(await _token(api, user, lives=timedelta(seconds=1))).socket() as socket:
        await socket.subscribe(WATCH)

        assert await socket.closed(4) == 4403


async def _token(api: Api, user: User, lives: timedelta) -> str:
    async with api.services.database.write() as session:
        sign_in = SignIn(user_id=user.id)
        session.add(sign_in)
    now = datetime.now(UTC)
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": str(user.id), "sid": str(sign_in.id)}
    return jwt.encode({**claims, "iat": now, "exp": now + lives, "jti": "1"}, SECRET, "HS256")


async def test_a_syntax_error_leaves_its_siblings_alone(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as socket:
        await socket.subscribe(WATCH)
        await socket.send(type="subscribe", id="2", payload={"query": "{ oops"})
        failed = await socket.receive()
        await socket.send(type="subscribe", id="3", payload={"query": "{ viewer { role } }"})
        answered = await socket.receive()

    assert (failed["type"], failed["id"]) == ("error", "2")
    assert failed["payload"][0]["extensions"]["code"] == "GRAPHQL_PARSE_FAILED"
    assert answered == {"type": "next", "id": "3", "payload": {"data": {"viewer": {"role": "VIEWER"}}}}


@pytest.mark.parametrize(
    "frame",
    [
        *("[1]", "3", "null", '"x"', "{", '{"type": "nonsense"}', '{"type": "subscribe", "id": {}, "payload": {}}'),
        '{"type": "subscribe", "id": "1", "payload": null}',
        '{"type": "subscribe", "id": "1", "payload": {"query": 1}}',
    ],
)
async def test_a_frame_that_is_none_of_the_protocols_closes_with_4400(api: Api, frame: str) -> None:
    async with api.socket() as socket:
        await socket.connection.send(frame)

        assert await socket.closed() == 4400


async def test_subscribing_before_the_handshake_closes_with_4401(api: Api) -> None:
    socket = Socket(await raw(api))

    await socket.send(type="subscribe", id="1", payload={"query": WATCH})

    assert await socket.closed() == 4401


async def test_a_second_handshake_closes_with_4429_and_a_used_id_with_4409(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    async with viewer.socket() as again, viewer.socket() as same:
        await again.send(type="connection_init")
        await same.subscribe(WATCH, id="1")
        await same.send(type="subscribe", id="1", payload={"query": WATCH})

        assert await again.closed() == 4429
        assert await same.closed() == 4409


async def test_each_operation_of_a_socket_sees_the_present(api: Api, make: Factory) -> None:
    network = await make.network(number=1)
    viewer = await api.as_(Role.VIEWER)
    query: Any = {"query": "{ network(number: 1) { hub { name } satellite { name } } }"}

    async with viewer.socket() as socket:
        await socket.send(type="subscribe", id="1", payload=query)
        before, _ = await socket.receive(), await socket.receive()
        async with api.services.database.write() as session:
            (await session.get_one(type(network), network.id)).satellite_id = (await make.satellite("Another")).id
        await socket.send(type="subscribe", id="2", payload=query)
        after = await socket.receive()

    assert before["payload"]["data"] != after["payload"]["data"]
    assert after["payload"]["data"]["network"]["satellite"]["name"] == "Another"
