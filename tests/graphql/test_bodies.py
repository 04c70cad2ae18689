"""What requests carry: how much of it from whom, packed how, and how it arrives."""

import asyncio
import gzip
import json
import os
import random
import resource
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest
from structlog.testing import capture_logs

from bcom_graphql.graphql.json import PLACEHOLDER, count_values, parse_long_json
from bcom_graphql.observability.logging import configure_logging
from resolvers.base.roles import Role
from tests.graphql.test_uploads import IMPORT, PLACE, operation
from tests.helpers.support import Api, Factory, Server, ago, ms, until

JSON = {"content-type": "application/json"}
VIEWER = {"query": "{ viewer { role } }"}


async def post(api: Api, content: Any, **headers: str) -> httpx.Response:
    return await api.http.post(api.url, content=content, headers={**JSON, **api.headers, **headers})


def said(answer: httpx.Response) -> tuple[int, str, str]:
    """Status, code and message."""
    error = answer.json()["errors"][0]
    return answer.status_code, error["extensions"]["code"], error["message"]


def padded(size: int) -> bytes:
    """A query of the viewer in so many bytes."""
    body = orjson.dumps({**VIEWER, "variables": {"x": ""}})
    return body[:-3] + b"y" * (size - len(body)) + body[-3:]


@asynccontextmanager
async def raw(api: Api, *lines: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection on which the headers of a POST were sent, and nothing of its body."""
    address = urlsplit(api.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    headers = [f"{name}: {value}" for name, value in api.headers.items()]
    writer.write("\r\n".join(["POST /graphql HTTP/1.1", "Host: localhost", *headers, *lines, "", ""]).encode())
    try:
        yield reader, writer
    finally:
        writer.close()
        await writer.wait_closed()


async def status_of(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


# ---------------------------------------------------------------- how much from whom


async def test_who_has_signed_in_may_send_more(server: Server) -> None:
    async with server(max_anonymous_body=2_000, max_body=5_000) as api:
        viewer = await api.as_(Role.VIEWER)

        little, much, too_much = [await post(who, padded(size)) for who, size in
                                  ((api, 2_000), (viewer, 5_000), (viewer, 5_001))]  # fmt: skip
        anonymous = await post(api, padded(2_001))

    assert (little.status_code, much.status_code) == (200, 200)
    assert said(too_much) == (413, "BAD_USER_INPUT", "The body has more than the 5000 bytes that are allowed.")
    assert said(anonymous)[2] == "The body has more than the 2000 bytes that are allowed without signing in."


async def test_a_stranger_is_refused_before_the_rest_arrives(server: Server) -> None:
    async with (
        server(max_anonymous_body=2_000) as api,
        raw(api, "content-type: application/json", "content-length: 60000000") as (announced, _),
        raw(api, "content-type: application/json", "transfer-encoding: chunked") as (streamed, writer),
    ):
        writer.write(b"bb9\r\n" + b"[" * 3001 + b"\r\n")

        statuses = await status_of(announced), await status_of(streamed)

    assert statuses == (413, 413)


async def test_credentials_and_budget_come_before_a_large_body(server: Server) -> None:
    async with server(max_anonymous_body=2_000, rate_operations="15/minute") as api:
        viewer = await api.as_(Role.VIEWER)

        forged = await post(api.with_token("nonsense"), padded(3_000))
        first, second = await post(viewer, padded(3_000)), await post(viewer, padded(3_000))

    assert said(forged)[:2] == (401, "UNAUTHENTICATED")
    assert [said(answer)[1] for answer in (first, second)] == ["RATE_LIMITED"] * 2
    assert (first.status_code, second.status_code) == (429, 429)


@pytest.mark.parametrize(
    "body",
    [b"[" + b"[]," * 999 + b"[]]", b"[" + b"{}," * 999 + b"{}]", b'{"variables":{' + b'"a":1,' * 999 + b'"b":1}}'],
    ids=["lists", "objects", "members"],
)
async def test_more_values_than_allowed_are_refused_unparsed(server: Server, body: bytes) -> None:
    async with server(max_anonymous_values=500, max_values=900) as api:
        viewer = await api.as_(Role.VIEWER)

        anonymous, signed_in = await post(api, body), await post(viewer, body)

    assert said(anonymous) == (
        413,
        "BAD_USER_INPUT",
        "The body has more than the 500 values that are allowed without signing in.",
    )
    assert said(signed_in) == (413, "BAD_USER_INPUT", "The body has more than the 900 values that are allowed.")


async def test_variables_in_an_address_and_operations_in_a_form_have_the_same_limits(server: Server) -> None:
    many = json.dumps({"a": [0] * 600})
    async with server(max_anonymous_values=500, max_values=500) as api:
        operator = await api.as_(Role.OPERATOR)

        by_get = await api.http.get(api.url, params={"query": "{ __typename }", "variables": many})
        in_form = await send_form(operator, {**operation(), "variables": json.loads(many)}, PLACE)

    assert said(by_get)[::2] == (413, "`variables` has more than the 500 values that are allowed without signing in.")
    assert said(in_form)[::2] == (413, "`operations` has more than the 500 values that are allowed.")


async def test_json_too_deep_is_refused(api: Api) -> None:
    answer = await post(api, b"[" * 5_000)

    assert (answer.status_code, "depth" in said(answer)[2]) == (400, True)


# ---------------------------------------------------------------- files


async def send_form(api: Api, operations: Any, places: Any, content: bytes = b"x", **headers: str) -> httpx.Response:
    parts: Any = [("operations", (None, json.dumps(operations))), ("map", (None, json.dumps(places)))]
    parts.append(("0", ("samples.csv", content, "text/csv")))
    return await api.http.post(api.url, files=parts, headers={**api.headers, **headers})


LARGE = b"x" * 1_000


async def test_a_small_file_of_whoever_may_not_send_any_is_answered_by_its_field(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    answer = await send_form(viewer, operation(), PLACE)

    assert answer.json()["data"] == {"importMetrics": {"__typename": "Forbidden"}}


@pytest.mark.parametrize(("role", "status"), [(None, 401), (Role.VIEWER, 403)])
async def test_files_are_not_received_of_whoever_may_not_send_any(api: Api, role: Role | None, status: int) -> None:
    sender = api if role is None else await api.as_(role)
    form = "content-type: multipart/form-data; boundary=x", "content-length: 1000000000"

    async with raw(sender, *form, "graphql-require-preflight: 1") as (reader, _):
        refused = await status_of(reader)

    assert refused == status


async def test_an_exhausted_budget_comes_before_files(server: Server) -> None:
    async with server(rate_operations="5/minute", max_anonymous_body=1_000) as api:
        operator = await api.as_(Role.OPERATOR)

        answer = await send_form(operator, operation(), PLACE, LARGE)

    assert answer.status_code == 429


async def test_uploads_together_have_a_bound_and_give_back_what_they_held(server: Server, make: Factory) -> None:
    form = "content-type: multipart/form-data; boundary=x", "graphql-require-preflight: 1"
    link = await make.link()
    file = f"link,direction,at,esnoDb\n{link.number},OB,{ms(ago(minutes=1))},1\n".encode() + b"\n" * 1_000
    async with server(max_spooled=10_000, max_anonymous_body=1_000) as api:
        operator = await api.as_(Role.OPERATOR)

        async with raw(operator, *form, "content-length: 9500", "expect: 100-continue") as (reader, _):
            assert await status_of(reader) == 100  # there is room
            full = await send_form(operator, operation(), PLACE, file)
        await until_received(operator)
        malformed = await api.http.post(
            api.url,
            content=b"--x" + b"\0" * 9_000,
            headers={**operator.headers, "content-type": "multipart/form-data; boundary=x"},
        )
        after = await send_form(operator, operation(), PLACE, file)

    assert said(full)[:2] == (503, "SERVICE_UNAVAILABLE")
    assert "as many files as it has room for" in said(full)[2]
    assert full.headers["retry-after"] == "30"
    assert malformed.status_code == 400
    assert after.json()["data"]["importMetrics"]["__typename"] == "RecordedMetrics"


async def test_bodies_of_strangers_have_a_bound_together_and_keep_nobody_else_away(server: Server) -> None:
    body = "content-type: application/json", "content-length: 70000"
    async with server(max_anonymous_bodies=100_000) as api:
        viewer = await api.as_(Role.VIEWER)
        async with raw(api, *body) as (_, first), raw(api, *body) as (reader, second):
            first.write(b" " * 60_000)
            second.write(b" " * 69_999)
            await first.drain()
            await second.drain()
            await until_admitted(api, 503)
            stranger, small, known = [
                await post(who, padded(size)) for who, size in ((api, 60_000), (api, 2_000), (viewer, 60_000))
            ]
            second.write(b"x")
            assert await status_of(reader) == 400

        assert said(stranger)[:2] == (503, "SERVICE_UNAVAILABLE")
        assert "from strangers" in said(stranger)[2]
        assert small.status_code == known.status_code == 200
        await until_admitted(api)


async def until_admitted(api: Api, status: int = 200) -> None:
    """Until there is room for a stranger's body, or none."""

    async def is_admitted() -> bool:
        return (await post(api, padded(60_000))).status_code == status

    await until(is_admitted)


async def until_received(api: Api) -> None:
    """Until there is room for a form."""

    async def is_received() -> bool:
        return (await send_form(api, operation(), PLACE, LARGE)).status_code == 200

    await until(is_received)


async def test_the_last_of_the_disk_is_not_for_uploads(server: Server) -> None:
    async with server(min_free_disk=2**60, max_anonymous_body=1_000) as api:
        operator = await api.as_(Role.OPERATOR)
        with capture_logs() as logs:
            answer = await send_form(operator, operation(), PLACE, LARGE)

    assert said(answer) == (
        507,
        "INSUFFICIENT_STORAGE",
        "The server has too little free disk for files. Try again later.",
    )
    assert "the disk is almost full" in logs[0]["event"]


async def test_a_folder_that_takes_no_files_is_told_and_logged(server: Server, tmp_path: Path) -> None:
    async with server(upload_folder=tmp_path / "missing", max_anonymous_body=1_000) as api:
        operator = await api.as_(Role.OPERATOR)
        with capture_logs() as logs:
            answer = await send_form(operator, operation(), PLACE, LARGE)

    assert said(answer) == (507, "INSUFFICIENT_STORAGE", "The server cannot store files now. Try again later.")
    assert logs[0]["event"] == "an upload cannot be stored"
    assert "missing" in logs[0]["error"]


@contextmanager
def no_more_files() -> Iterator[None]:
    """The process may open none: the next would get the first number that it may not have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(following := os.open(os.devnull, os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (following, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_too_many_open_files_are_told_as_what_they_are(api: Api) -> None:
    operator = await api.as_(Role.OPERATOR)
    await send_form(operator, operation(), PLACE, b"x" * 2_000_000)  # connections and threads are there

    with no_more_files():
        answer = await send_form(operator, operation(), PLACE, b"x" * 2_000_000)

    assert said(answer) == (
        503,
        "SERVICE_UNAVAILABLE",
        "The server has too many files and connections open. Try again later.",
    )


# ---------------------------------------------------------------- packed


def deflated(body: bytes, window: int = zlib.MAX_WBITS) -> bytes:
    packer = zlib.compressobj(wbits=window)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        ("gzip", gzip.compress(padded(300_000))),
        ("x-gzip", gzip.compress(padded(1_000))),
        ("GZIP", gzip.compress(padded(1_000), 0)),
        ("deflate", deflated(padded(1_000))),
        ("deflate", deflated(padded(1_000), -zlib.MAX_WBITS)),
        ("identity", padded(1_000)),
        ("", padded(1_000)),
    ],
    ids=["gzip", "x-gzip", "stored", "zlib", "raw deflate", "identity", "none"],
)
async def test_a_body_may_be_packed(api: Api, encoding: str, content: bytes) -> None:
    answer = await post(api, content, **{"content-encoding": encoding})

    assert answer.json() == {"data": {"viewer": None}}


async def test_a_form_may_be_packed(api: Api) -> None:
    operator = await api.as_(Role.OPERATOR)
    parts: Any = {
        "operations": (None, json.dumps(operation())),
        "map": (None, json.dumps(PLACE)),
        "0": ("a.csv", b"a,b\n"),
    }
    form = httpx.Request("POST", api.url, files=parts)
    headers = {"content-type": form.headers["content-type"], "content-encoding": "gzip"}

    answer = await operator.http.post(
        api.url, content=gzip.compress(form.read()), headers={**headers, **operator.headers}
    )

    assert "lacks the column link" in answer.json()["data"]["importMetrics"]["message"]


async def test_a_packed_body_is_refused_while_it_grows(server: Server) -> None:
    bomb = gzip.compress(b" " * 50_000_000)
    nothing = gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 2_000  # empty blocks without an end
    async with server(max_anonymous_body=200_000, max_body=300_000) as api:
        viewer = await api.as_(Role.VIEWER)

        anonymous, signed_in = [await post(who, bomb, **{"content-encoding": "gzip"}) for who in (api, viewer)]
    async with server(max_body=5_000) as api:
        endless = await post(api, nothing, **{"content-encoding": "gzip"})

    assert len(bomb) < 200_000
    assert [answer.status_code for answer in (anonymous, signed_in, endless)] == [413] * 3


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "nonsense" * 50])
async def test_another_encoding_is_told_which_there_are(api: Api, encoding: str) -> None:
    answer = await post(api, padded(1_000), **{"content-encoding": encoding})

    assert said(answer)[:2] == (415, "BAD_USER_INPUT")
    assert answer.headers["accept-encoding"] == "gzip, deflate"
    assert len(said(answer)[2]) < 150


@pytest.mark.parametrize(
    "content",
    [
        b"",
        padded(100),
        gzip.compress(padded(1_000))[:-1],
        gzip.compress(padded(1_000)) + b"x",
        gzip.compress(b"{") + gzip.compress(b"}"),
    ],
    ids=["nothing", "not packed", "half", "more", "two"],
)
async def test_damaged_packing_is_said_to_be_damaged(api: Api, content: bytes) -> None:
    answer = await post(api, content, **{"content-encoding": "gzip"})

    assert (answer.status_code, said(answer)[2][:27]) == (400, "The body is not gzip, as it")


# ---------------------------------------------------------------- arriving


async def test_what_arrives_steadily_may_take_longer_than_an_operation(server: Server) -> None:
    async def steadily() -> AsyncIterator[bytes]:
        for number in range(6):
            yield padded(600)[number * 100 :][:100]
            await asyncio.sleep(0.1)

    async with server(max_seconds=0.3, min_arrival_rate=10) as api:
        answer = await api.http.post(api.url, content=steadily(), headers=JSON)

    assert answer.status_code == 200


async def test_a_trickle_does_not_hold_its_place(server: Server) -> None:
    async with (
        server(max_seconds=0.2, min_arrival_rate=10_000) as api,
        raw(api, "content-type: application/json", "content-length: 900") as (reader, writer),
    ):
        answered = asyncio.create_task(status_of(reader))
        while not answered.done():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    assert await answered == 408


async def test_a_client_that_leaves_halfway_is_no_error(api: Api) -> None:
    operator = await api.as_(Role.OPERATOR)
    form = "content-type: multipart/form-data; boundary=x", "graphql-require-preflight: 1"
    configure_logging("json", "info")
    with capture_logs() as logs:
        for lines in (["content-type: application/json"], form):
            async with raw(operator, *lines, "content-length: 9000") as (_, writer):
                writer.write(b"--x\r\n")
                await writer.drain()
        await until(lambda: len(logs) == 2)
    configure_logging("json", "error")

    assert {(entry["log_level"], entry["event"]) for entry in logs} == {
        ("info", "a client left before its request had arrived")
    }


# ---------------------------------------------------------------- what clients send


OPERATIONS = json.dumps({"query": IMPORT, "variables": {"kind": "LINK", "file": None}})
MAP = json.dumps(PLACE)
FILE = "link,direction,at,esnoDb\n"


def form_of(*parts: tuple[str, str], boundary: str = "x", end: str = "\r\n") -> str:
    """Headers and content of each part."""
    written = "".join(f"--{boundary}\r\n{headers}\r\n\r\n{content}\r\n" for headers, content in parts)
    return f"{written}--{boundary}--{end}"


def named(name: str, *more: str) -> str:
    return "; ".join([f'Content-Disposition: form-data; name="{name}"', *more])


USUAL = (named("operations"), OPERATIONS), (named("map"), MAP)
CSV = 'filename="samples.csv"\r\nContent-Type: text/csv'
DART = "content-type: text/plain; charset=utf-8\r\ncontent-transfer-encoding: binary"
CLIENTS = {
    # Sources: what each writes on the wire, boundary and all.
    "curl -F": ("------------------------d74496d66958873e", [*USUAL, (named("0", CSV), FILE)]),
    "curl -F operations=@file": (
        "x",
        [
            (named("operations", 'filename="operations.json"') + "\r\nContent-Type: application/json", OPERATIONS),
            (named("map", 'filename="map.json"') + "\r\nContent-Type: application/json", MAP),
            (named("0", CSV), FILE),
        ],
    ),
    "browsers, operations as a Blob": (
        "----WebKitFormBoundary7MA4YWxkTrZu0gW",
        [
            (named("operations", 'filename="blob"') + "\r\nContent-Type: application/json", OPERATIONS),
            (named("map"), MAP),
            (named("0", 'filename="samples.csv"') + "\r\nContent-Type: application/vnd.ms-excel", FILE),
        ],
    ),
    "aiohttp, as gql has it": (
        "0f2f1a1dd4f24ee9a5d3a1d2",
        [
            ('Content-Type: application/json\r\nContent-Disposition: form-data; name="operations"', OPERATIONS),
            ('Content-Type: application/json\r\nContent-Disposition: form-data; name="map"', MAP),
            ('Content-Type: text/csv\r\nContent-Disposition: form-data; name="0"; filename="a.csv"', FILE),
        ],
    ),
    "Dart": (
        '"dart-http-boundary-KLxXc.tZ+r_XIxtQvpTQ"',
        [
            ('content-disposition: form-data; name="operations"\r\n' + DART, OPERATIONS),
            ('content-disposition: form-data; name="map"\r\n' + DART, MAP),
            ('content-type: text/csv\r\ncontent-disposition: form-data; name="0"; filename="a.csv"', FILE),
        ],
    ),
    "OkHttp": (
        "6ffec7a8-0a4d-4a5c-8a53-5f4a8e4f7a31",
        [
            ('Content-Disposition: form-data; name="operations"\r\nContent-Length: 9999', OPERATIONS),
            ('Content-Disposition: form-data; name="map"', MAP),
            ('Content-Disposition: form-data; name="0"; filename="a.csv"\r\nContent-Type: text/csv', FILE),
        ],
    ),
    ".NET": (
        '"8f4e9d1c-1f0b-4f9e-9d0b-2b8c6a0b6d11"',
        [
            ("Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=operations", OPERATIONS),
            ("Content-Type: text/plain; charset=utf-8\r\nContent-Disposition: form-data; name=map", MAP),
            ("Content-Disposition: form-data; name=0; filename=a.csv; filename*=utf-8''a.csv", FILE),
        ],
    ),
    "a name beyond ASCII only": ("x", [*USUAL, (named("0", "filename*=UTF-8''d%C3%A9bit.csv"), FILE)]),
    "an extra field and an extra file": (
        "x",
        [(named("note"), "hello"), *USUAL, (named("0", CSV), FILE), (named("1", CSV), FILE), (named("csrf"), "y")],
    ),
    "gql's stream": ("x", [*USUAL, ("Content-Type: text/csv\r\n" + named("0"), FILE)]),
    "files first": ("x", [(named("0", CSV), FILE), *USUAL]),
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_forms_are_read_as_well_known_clients_write_them(api: Api, client: str) -> None:
    operator = await api.as_(Role.OPERATOR)
    boundary, parts = CLIENTS[client]
    headers = {"content-type": f"multipart/form-data; boundary={boundary}", **operator.headers}
    content = form_of(*parts, boundary=boundary.strip('"')).encode()

    async def in_chunks() -> AsyncIterator[bytes]:
        for at in range(0, len(content), 7):
            yield content[at : at + 7]

    whole = await operator.http.post(api.url, content=content, headers=headers)
    chunked = await operator.http.post(api.url, content=in_chunks(), headers=headers)

    for answer in (whole, chunked):
        assert answer.json()["data"]["importMetrics"]["__typename"] in ("RecordedMetrics", "InvalidInput"), answer.text
        assert "errors" not in answer.json()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (form_of(*USUAL, (named("0", CSV), FILE))[:-8], "not all of one"),
        (form_of(*USUAL, (named("1"), FILE)), "no such file"),
        (form_of(*USUAL, ("Content-Disposition: form-data", FILE)), "has a name"),
        (form_of(*[(named(f"f{number}"), "") for number in range(200)]), "at most 110 parts"),
        (form_of((named("operations"), "x" * 9_000), (named("map"), "{}")), "more than the 5000 bytes"),
    ],
    ids=["half", "no file", "no name", "parts", "fields"],
)
async def test_a_form_that_is_refused_is_told_why(server: Server, content: str, told: str) -> None:
    async with server(max_body=5_000) as api:
        operator = await api.as_(Role.OPERATOR)
        headers = {"content-type": "multipart/form-data; boundary=x", **operator.headers}

        answer = await operator.http.post(api.url, content=content.encode(), headers=headers)

    assert answer.status_code in (400, 413)
    assert told in said(answer)[2]


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("application/json; charset=utf-8", b"\xef\xbb\xbf" + padded(100)),
        ('application/json;charset="UTF-8"', padded(100)),
        ("Application/JSON; charset=US-ASCII", padded(100)),
        ("application/json", padded(100) + b"\r\n\t "),
    ],
    ids=["BOM", "quoted", "ASCII", "blanks"],
)
async def test_json_is_read_as_well_known_clients_write_it(api: Api, kind: str, content: bytes) -> None:
    answer = await post(api, content, **{"content-type": kind})

    assert answer.json() == {"data": {"viewer": None}}


# ---------------------------------------------------------------- in pieces


def some_json(chance: random.Random, depth: int = 4) -> Any:
    """Full of what looks like a place to cut."""
    leaf = chance.choice(["},{", "}]", '"[{', "\\", 1.5, None, True, PLACEHOLDER[:9], "é", [], {}])
    if depth == 0 or chance.random() < 0.2:
        return leaf
    inner = [some_json(chance, depth - 1) for _ in range(chance.randrange(9))]
    names = [f"{chance.choice('abc},{[')}{number}" for number in range(len(inner))]
    return inner if chance.random() < 0.5 else dict(zip(names, inner, strict=True))


@pytest.mark.parametrize("seed", range(20))
async def test_json_in_pieces_is_the_same_as_in_one(seed: int) -> None:
    chance = random.Random(seed)
    for _ in range(100):
        rows = [{"a": some_json(chance, 2), "b": n} for n in range(chance.randrange(12))]
        whole = {"query": chance.choice(["{ x }", "{ x(y: [{a: 1}, {a: 2}]) }"]), "variables": {"rows": rows}}
        value = chance.choice([whole, rows, some_json(chance)])
        text = json.dumps(value, indent=chance.choice([None, 1]), ensure_ascii=chance.random() < 0.5).encode()

        assert await parse_long_json(text, "The text", piece=chance.randrange(1, 90)) == value


async def test_a_long_list_of_objects_leaves_others_their_turns() -> None:
    rows = [{"link": number, "note": "},{"[: number % 2]} for number in range(10_000)]
    text = orjson.dumps({"query": "", "variables": {"rows": rows}})
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count_turns())
    value = await parse_long_json(text, "The text", piece=len(text) // 20)
    counting.cancel()

    assert len(value["variables"]["rows"]) == 10_000
    assert turns >= 15


@pytest.mark.parametrize("seed", range(5))
def test_values_are_never_more_than_counted(seed: int) -> None:
    chance = random.Random(seed)

    def values(value: Any) -> int:
        inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
        return 1 + sum(map(values, inner))

    for _ in range(200):
        value = some_json(chance)
        assert count_values(orjson.dumps(value)) + 1 >= values(value)
