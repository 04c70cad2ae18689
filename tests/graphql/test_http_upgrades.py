"""Clients that offer another protocol with a request, as Java's HttpClient and `curl --http2` do, are answered."""

import asyncio
import json
import random
import shutil
import subprocess

import pytest

from tests.graphql.test_connections import HANDSHAKE, LIVE, raw
from tests.helpers.support import Api

BODY = json.dumps({"query": "{ __typename }"}).encode()
POST = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
WITH_LENGTH = POST + b"Content-Length: %d\r\n%%b\r\n%b" % (len(BODY), BODY)
IN_CHUNKS = POST + b"Transfer-Encoding: chunked\r\n%%b\r\n9\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (
    BODY[:9],
    len(BODY) - 9,
    BODY[9:],
)
GET = b"GET /graphql?query=%%7B__typename%%7D HTTP/1.1\r\nHost: x\r\n%b\r\n"
REQUESTS = {"a length": WITH_LENGTH, "chunks": IN_CHUNKS, "no body": GET}
OFFERS = {
    "curl": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
    "Java": b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n",
    "kept alive": b"Connection: keep-alive, Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n",
    "lines": b"Connection: Upgrade\r\nUpgrade: h2c\r\nConnection: keep-alive\r\nUpgrade: TLS/1.0\r\n",
    "TLS": b"upgrade: TLS/1.0, HTTP/2.0\r\nconnection: upgrade\r\n",
    "several": b"Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n",
}
ANSWER = {"data": {"__typename": "Query"}}


async def answers(api: Api, parts: list[bytes], number: int) -> list[tuple[int, bytes]]:
    async with raw(api) as connection:
        for part in parts:
            await connection.send(part)
            await asyncio.sleep(0.001)
        return [(await connection.status(), connection.body) for _ in range(number)]


@pytest.mark.parametrize("offer", OFFERS)
@pytest.mark.parametrize("request_", REQUESTS)
async def test_an_offer_of_another_protocol_is_ignored_and_the_connection_stays(
    api: Api, offer: str, request_: str
) -> None:
    request = REQUESTS[request_] % OFFERS[offer]

    got = await answers(api, [request * 3 + LIVE, request], 5)

    assert [status for status, _ in got] == [200] * 5
    assert [json.loads(got[place][1]) for place in (0, 1, 2, 4)] == [ANSWER] * 4


@pytest.mark.parametrize("request_", REQUESTS)
async def test_however_a_request_with_an_offer_is_cut_its_answer_is_the_same(api: Api, request_: str) -> None:
    whole = REQUESTS[request_] % OFFERS["curl"] * 2 + LIVE
    chance = random.Random(request_)
    cuts = [[place] for place in range(1, len(whole))]
    cuts += [sorted(chance.sample(range(1, len(whole)), 5)) for _ in range(50)]

    for start in range(0, len(cuts), 50):
        some = cuts[start : start + 50]
        parts = [[whole[a:b] for a, b in zip([0, *at], [*at, len(whole)], strict=True)] for at in some]
        got = await asyncio.gather(*(answers(api, each, 3) for each in parts))

        assert [[status for status, _ in each] for each in got] == [[200, 200, 200]] * len(some)
        assert {body for each in got for _, body in each[:2]} == {json.dumps(ANSWER, separators=(",", ":")).encode()}


async def test_a_large_body_behind_an_offer_arrives_whole(api: Api) -> None:
    body = json.dumps({"query": "{ __typename }", "extensions": {"a": ["a" * 1000] * 900}}).encode()
    head = POST + OFFERS["Java"] + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(body)
    async with raw(api) as connection:
        assert await (await connection.send(head)).status() == 100

        await connection.send(body)

        assert (await connection.status(), json.loads(connection.body)) == (200, ANSWER)


async def test_whoever_sends_the_body_at_once_is_not_told_to_go_on(api: Api) -> None:
    """Caddy passes on `Expect` after answering it; Java's HttpClient waits for ever when it is answered twice."""
    [(status, body)] = await answers(api, [WITH_LENGTH % (OFFERS["Java"] + b"Expect: 100-Continue\r\n")], 1)

    assert (status, json.loads(body)) == (200, ANSWER)


async def test_an_offer_with_a_last_request_is_answered_and_the_connection_ends(api: Api) -> None:
    request = WITH_LENGTH % b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n"
    async with raw(api) as connection:
        await connection.send(request)

        assert (await connection.status(), json.loads(connection.body)) == (200, ANSWER)
        assert await connection.rest() == b""


async def test_an_offer_of_http_1_0_is_ignored(api: Api) -> None:
    request = (WITH_LENGTH % OFFERS["curl"]).replace(b"HTTP/1.1", b"HTTP/1.0")

    [(status, body)] = await answers(api, [request], 1)

    assert (status, json.loads(body)) == (200, ANSWER)


async def test_a_websocket_is_asked_for_with_get(api: Api) -> None:
    asked = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"

    [(status, body)] = await answers(api, [WITH_LENGTH % asked], 1)

    assert (status, json.loads(body)) == (200, ANSWER)


@pytest.mark.parametrize(
    "lines",
    [b"Connection: keep-alive, Upgrade\r\n", b"Connection: Upgrade\r\nConnection: keep-alive\r\n"],
    ids=["one line", "two lines"],
)
async def test_a_websocket_may_be_asked_for_beside_other_options(api: Api, lines: bytes) -> None:
    handshake = HANDSHAKE.replace(b"Connection: Upgrade\r\n", lines)

    [(status, _)] = await answers(api, [handshake], 1)

    assert status == 101


async def test_smuggling_behind_an_offer_is_refused_as_anywhere(api: Api) -> None:
    request = WITH_LENGTH % (OFFERS["curl"] + b"Transfer-Encoding: chunked\r\n")

    [(status, _)] = await answers(api, [request], 1)

    assert status == 400


@pytest.mark.parametrize("address", [b"example.com:443", b"http://x/graphql", b"/graphql"])
async def test_this_is_no_proxy(api: Api, address: bytes) -> None:
    [(status, _)] = await answers(api, [b"CONNECT %b HTTP/1.1\r\nHost: x\r\n\r\n" % address], 1)

    assert status == 400


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not here")
async def test_curl_may_offer_http_2(api: Api) -> None:
    command = ["curl", "-sS", "--noproxy", "*", "--http2", api.url, "--json", BODY.decode()]

    said = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=30)

    assert json.loads(said.stdout) == ANSWER
