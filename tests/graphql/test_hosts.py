"""Names that this server answers to, and where it answers: no page may point its own name here."""

import json

import httpx
import pytest
import websockets

from bcom_graphql.host_names import is_allowed
from tests.graphql.test_connections import HANDSHAKE, raw
from tests.helpers.settings import settings_from
from tests.helpers.support import Api, Server

EVIL = "evil.example:8010"
QUERY = {"query": "{ __typename }"}
ALWAYS = [
    "localhost:8010",
    "LOCALHOST",
    "localhost.",
    "demo.localhost",
    "127.0.0.1:8010",
    "10.1.2.3",
    "[::1]:8010",
    "[fe80::1]",
    "server:8010",
    "",
]
NEVER = [EVIL, "127.0.0.1.evil.example", "localhost.evil.example", "1.2.3", "a b.example", "x@localhost", "[x.example]"]


async def asked(api: Api, host: str, path: str = "/graphql") -> httpx.Response:
    return await api.http.post(api.url.replace("/graphql", path), json=QUERY, headers={"host": host})


async def opened(api: Api, host: str) -> int:
    """The status of a socket's handshake."""
    async with raw(api) as connection:
        return await (await connection.send(HANDSHAKE.replace(b"localhost", host.encode()))).status()


@pytest.mark.parametrize("host", ALWAYS)
def test_what_no_attacker_can_have_always_passes(host: str) -> None:
    assert is_allowed(host, [])


@pytest.mark.parametrize("host", NEVER)
def test_other_names_do_not(host: str) -> None:
    assert not is_allowed(host, ["*.noc.example", "noc.example"])


@pytest.mark.parametrize(
    ("host", "allowed"),
    [("noc.example:8010", True), ("NOC.EXAMPLE.", True), ("a.b.noc.example", True), ("xnoc.example", False)],
)
def test_a_wildcard_means_the_names_below(host: str, allowed: bool) -> None:
    assert is_allowed(host, ["*.noc.example", "noc.example"]) is allowed


async def test_in_development_a_foreign_name_is_told_what_to_set(server: Server) -> None:
    async with server() as api:
        answers = [await asked(api, EVIL), await asked(api, EVIL, "/metrics"), await asked(api, EVIL, "/static/x")]
        socket = await opened(api, EVIL)
        health = await asked(api, EVIL, "/health/live")

    assert [answer.status_code for answer in answers] == [421] * 3
    assert answers[0].json()["errors"][0]["message"] == (
        "This server does not answer to the name 'evil.example:8010':"
        " if it should, set ALLOWED_HOSTS=evil.example (with commas between several)."
    )
    assert socket == 421
    assert health.status_code == 405  # it is there, for GET


async def test_in_production_any_name_passes_until_some_are_listed(server: Server) -> None:
    async with server(profile="production") as any, server(profile="production", allowed_hosts="noc.example") as one:
        assert (await asked(any, EVIL)).status_code == 200
        assert await opened(any, EVIL) == 101
        assert [(await asked(one, host)).status_code for host in (EVIL, "noc.example")] == [421, 200]
        assert [await opened(one, host) for host in (EVIL, "noc.example")] == [421, 101]


async def test_without_a_host_as_in_http_1_0_it_is_answered_and_with_two_it_is_not(api: Api) -> None:
    async with raw(api) as old, raw(api) as two:
        await old.send(b"GET /health/live HTTP/1.0\r\n\r\n")
        await two.send(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")

        assert await old.status() == 200
        assert await two.status() in (400, 421)


@pytest.mark.parametrize("names", ["noc.example.com:8010", "https://noc.example.com", "*.*", "a b"])
def test_what_is_no_name_is_refused(names: str) -> None:
    with pytest.raises(ValueError, match="must list names such as"):
        settings_from(allowed_hosts=names)


# ---------------------------------------------------------------- where


async def test_graphql_is_where_it_is_wanted(server: Server) -> None:
    async with server(graphql_path="/api/v1/graphql") as api:
        answers = [await asked(api, "localhost", path) for path in ("/api/v1/graphql", "/api/v1/graphql/", "/graphql")]
        page = await api.http.get(api.url.replace("/graphql", "/"), follow_redirects=False)
        url = api.url.replace("http://", "ws://").replace("/graphql", "/api/v1/graphql")
        async with websockets.connect(url, subprotocols=[websockets.Subprotocol("graphql-transport-ws")]) as socket:
            await socket.send(json.dumps({"type": "ping"}))
            pong = json.loads(await socket.recv())

    assert [answer.status_code for answer in answers] == [200, 200, 404]
    assert (page.status_code, page.headers["location"]) == (307, "api/v1/graphql")
    assert pong == {"type": "pong"}


@pytest.mark.parametrize("path", ["graphql", "/", "/graphql/", "/health/graphql", "/static", "/a?b", "/a//b"])
def test_where_it_cannot_be_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="graphql_path"):
        settings_from(graphql_path=path)


async def test_a_slash_behind_the_path_makes_no_difference(api: Api) -> None:
    answer = await asked(api, "localhost", "/graphql/")
    async with raw(api) as connection:
        socket = await (await connection.send(HANDSHAKE.replace(b"/graphql", b"/graphql/"))).status()

    assert (answer.status_code, answer.json()) == (200, {"data": {"__typename": "Query"}})
    assert socket == 101


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/x", "/health", "/metrics", "/graphql/x"])
async def test_there_are_no_sockets_elsewhere(api: Api, path: str, caplog: pytest.LogCaptureFixture) -> None:
    async with raw(api) as connection:
        await connection.send(HANDSHAKE.replace(b"/graphql", path.encode()))

        assert await connection.status() == 404
    assert not caplog.records


NO_FAULT_OF_OURS: dict[str, tuple[bytes, int]] = {
    "a redirect": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", 307),
    "a redirect's head": (b"HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\n", 307),
    "HTTP/1.0": (b"GET /graphql?query={__typename} HTTP/1.0\r\n\r\n", 200),
    "an address of its own": (
        b"GET http://localhost/graphql?query={__typename} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        200,
    ),
    "no path": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "a tunnel": (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 400),
    "a path of bytes": (b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    "a path with a percent sign": (b"GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
    "half a body": (
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
        0,
    ),
    "half a form": (
        b"POST /graphql HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"GraphQL-Require-Preflight: 1\r\nContent-Length: 99\r\n\r\n--x\r\n",
        0,
    ),
    "a frame before the handshake is over": (HANDSHAKE + b"\x81\x80\0\0\0\0", 101),
    "a handshake without a key": (HANDSHAKE.replace(b"Sec-WebSocket-Key", b"X"), 400),
    "a handshake of an old version": (HANDSHAKE.replace(b"Version: 13", b"Version: 8"), 400),
    "a handshake with a body": (HANDSHAKE[:-2] + b"Content-Length: 5\r\n\r\nhello", 400),
    "an offer of HTTP/2": (
        b"GET /graphql?query={__typename} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\n"
        b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n",
        200,
    ),
}


@pytest.mark.parametrize("name", NO_FAULT_OF_OURS)
async def test_what_is_odd_is_answered_and_no_error_in_the_log(
    api: Api, name: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    sent, status = NO_FAULT_OF_OURS[name]
    async with raw(api) as connection:
        await connection.send(sent)
        if status:
            assert await connection.status() == status

    assert (await asked(api, "localhost")).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    assert "Traceback" not in "".join(capsys.readouterr())
