"""Answers are bounded in bytes, and written in pieces between which others have their turn."""

import asyncio
from typing import Any

import httpx
import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.execution.response_encoding import ByteBudget, encode_within
from bcom_graphql.graphql.json import encode
from resolvers.base.roles import Role
from tests.helpers.support import Factory, Server

LEAVES = st.none() | st.booleans() | st.integers(-1000, 1000) | st.text(max_size=20)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner))
LARGE = "{ links(first: 100) { nodes { id name } } }"
SMALL = "{ __typename }"


@given(VALUES, st.integers(2, 50))
def test_written_in_pieces_an_answer_is_what_it_is_at_once(value: Any, piece: int) -> None:
    in_pieces = asyncio.run(encode_within(value, ByteBudget(10**9), piece=piece))

    assert in_pieces == encode(value)


async def test_numbers_are_written_in_pieces_with_turns_for_others_in_between() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    columns = [{"mean": np.full(100_000, 0.5, dtype=np.float32)} for _ in range(40)]
    waiting = asyncio.create_task(others())

    text = await encode_within({"data": columns}, ByteBudget(10**9))

    waiting.cancel()
    assert len(orjson.loads(text)["data"]) == 40
    assert turns >= 10


async def test_what_grows_beyond_the_room_is_given_up_before_all_of_it_is_written() -> None:
    written_so_far = list[int]()

    class Watched(ByteBudget):
        def spend(self, size: int) -> None:
            written_so_far.append(size)
            super().spend(size)

    columns = [np.full(100_000, 0.5, dtype=np.float32) for _ in range(100)]

    with pytest.raises(RequestError, match="more than 2000000 bytes"):
        await encode_within(columns, Watched(2_000_000))

    assert sum(written_so_far) < 4_000_000


# ---------------------------------------------------------------- as clients meet it


@pytest.fixture
async def fleet(make: Factory) -> None:
    network = await make.network()
    for _ in range(60):
        await make.link(network=network)


@pytest.mark.usefixtures("fleet")
async def test_an_answer_that_is_too_large_is_refused_over_http_and_the_next_is_served(server: Server) -> None:
    async with server(max_response=2000) as api:
        viewer = await api.as_(Role.VIEWER)

        refused = await viewer.http.post(api.url, json={"query": LARGE}, headers=viewer.headers)

        assert refused.status_code == 400
        [error] = refused.json()["errors"]
        assert error["message"].startswith("The response has more than 2000 bytes.")
        assert error["extensions"] == {"code": "RESPONSE_TOO_LARGE"}
        assert await viewer.run(SMALL) == {"__typename": "Query"}


@pytest.mark.usefixtures("fleet")
async def test_a_batch_has_room_for_its_answers_together(server: Server) -> None:
    some = {"query": "{ links(first: 15) { nodes { id name } } }"}
    async with server(max_response=2000) as api:
        viewer = await api.as_(Role.VIEWER)
        alone = await viewer.run(some["query"])

        answers = (await viewer.http.post(api.url, json=[some] * 5, headers=viewer.headers)).json()

    outcomes = [answer.get("errors", [{"extensions": {"code": "OK"}}])[0]["extensions"]["code"] for answer in answers]
    assert len(alone["links"]["nodes"]) == 15
    assert {"OK", "RESPONSE_TOO_LARGE"} == set(outcomes)


@pytest.mark.usefixtures("fleet")
async def test_an_answer_that_is_too_large_is_refused_in_event_streams_and_sockets(server: Server) -> None:
    async with server(max_response=2000) as api:
        viewer = await api.as_(Role.VIEWER)
        headers = viewer.headers | {"accept": "text/event-stream"}

        streamed = await viewer.http.post(api.url, json={"query": LARGE}, headers=headers, timeout=httpx.Timeout(10))
        async with viewer.socket() as socket:
            await socket.send(type="subscribe", id="1", payload={"query": LARGE})
            message = await socket.receive()

    assert "RESPONSE_TOO_LARGE" in streamed.text
    assert message["type"] == "error"
    assert message["payload"][0]["extensions"]["code"] == "RESPONSE_TOO_LARGE"
