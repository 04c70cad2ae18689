"""What nobody should send: bodies, headers, forms, frames, and documents too large or broken."""

import io
from collections.abc import Callable

import polars as pl
from hypothesis import strategies as st

from ml.catalogue.metrics import TargetKind
from tests.fuzz.values import ANYTHING, KNOWN, MINUTES, TEXTS, as_json, known, mostly
from tests.fuzz.world import TRANSPORT, Talk
from tests.helpers.support import ago, ms

SIZES = st.sampled_from([1, 2, 10, 30, 100, 1000, 5000, 20_000])
SHAPES: list[Callable[[int], str]] = [
    lambda n: "{ viewer " * n + "}" * n,
    lambda n: "{" * n,
    lambda n: "{" + "".join(f"a{i}: __typename " for i in range(n)) + "}",
    lambda n: "{ viewer {" + " id" * n + "} }",
    lambda n: "{ viewer {" + "".join(f" id @skip(if: ${i})" for i in range(n)) + "} }",
    lambda n: "{ __typename " + "@include(if: true) " * n + "}",
    lambda n: "{ nodes(ids: " + "[" * n + "]" * n + ") { id } }",
    lambda n: "{ nodes(ids: [" + '"VXNlcjox" ' * n + "]) { id } }",
    lambda n: "{ network(number: " + "9" * n + ") { id } }",
    lambda n: '{ satellite(name: "' + "\\u0000" * n + '") { id } }',
    lambda n: "query (" + "".join(f"$a{i}: Int = {i} " for i in range(n)) + ") { __typename }",
    lambda n: "{ ...f0 }" + "".join(f" fragment f{i} on Query {{ ...f{i + 1} ...f{i + 1} }}" for i in range(n)),
    lambda n: "{ ...f } fragment f on Query { ...f }" * n,
    lambda n: " ".join(f"query q{i} {{ __typename }}" for i in range(n)),
    lambda n: "{ __schema { types { fields { type " + "{ ofType " * n + "{ name }" + "}" * n + " } } } }",
    lambda n: "{ networks { nodes { links { nodes { network { links { nodes { id } } } } } } } }" * n,
    lambda n: "#" * n + "\n{ __typename }",
    lambda n: '{ satellite(name: """' + '\n "' * n + '""") { id } }',
]
TOKENS = ["{", "}", "(", ")", "[", "]", "$", "!", ":", "=", "@", "|", "&", "...", "on", "query", "mutation", "fragment",
          "subscription", "null", "true", "0", "-1.5e9", '"', '"""', "#", "\\u", "id", "node", "viewer", "__typename",
          "__schema", "\ufeff", "\0", ",", "\n", "-", "extend", "type", "schema", "é"]  # fmt: skip


def _spoiled(document: str, at: int, length: int, instead: str) -> str:
    start = at % (len(document) + 1)
    return document[:start] + instead + document[start + length :]


DOCUMENTS = (
    st.builds(lambda shape, size: shape(size), st.sampled_from(SHAPES), SIZES)
    | st.lists(st.sampled_from(TOKENS), max_size=30).map(" ".join)
    | st.builds(_spoiled, known(KNOWN.documents), st.integers(0, 3000), st.integers(0, 9), st.sampled_from(TOKENS))
    | known(KNOWN.documents)
    | TEXTS
)
ASKED = st.fixed_dictionaries(
    {"query": mostly(DOCUMENTS, ANYTHING)},
    optional={
        "variables": st.none()
        | st.dictionaries(st.sampled_from(["a", "id", "v0", ""]), ANYTHING, max_size=3)
        | ANYTHING,
        "operationName": st.none() | st.sampled_from(["q0", "", "\0"]) | ANYTHING,
        "extensions": st.just({"persistedQuery": {"version": 1, "sha256Hash": "0" * 64}}) | ANYTHING,
        "documentId": ANYTHING,
    },
)
JSON_BODIES = (
    (ASKED | st.lists(ASKED | ANYTHING, max_size=12) | ANYTHING | st.floats()).map(as_json)
    | st.builds(lambda opened, size: opened * size, st.sampled_from(["[", '{"query":', '{"variables":{"a":']), SIZES)
    | SIZES.map(lambda size: '{"query": "{ __typename }", "variables": {"a": ' + "[" * size + "]" * size + "}}")
    | SIZES.map(lambda size: '{"query": "{ __typename }", "variables": {"a": ' + "9" * size + "}}")
)
BODIES = mostly(JSON_BODIES.map(str.encode), st.binary(max_size=200), 3)
HEADER_TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=30).map(
    lambda t: t.encode("latin-1")
)
MEDIA = ["application/json", "application/graphql-response+json", "text/event-stream", "*/*", "text/html", "text/plain",
         "application/json; charset=utf-16", "application/json;q=nan", "application/json;q=-1, */*;q=1e999", "", ";;,,",
         "multipart/form-data", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]  # fmt: skip
HEADERS = st.fixed_dictionaries(
    {"content-type": mostly(st.just(b"application/json"), st.sampled_from(MEDIA).map(str.encode) | HEADER_TEXTS, 3)},
    optional={
        "accept": st.sampled_from(MEDIA).map(str.encode) | HEADER_TEXTS,
        "authorization": HEADER_TEXTS | st.sampled_from([b"Bearer", b"Bearer bcom_x", b"Bearer \xff", b"Basic eDp5"]),
        **dict.fromkeys(
            ("last-event-id", "x-request-id", "origin", "x-forwarded-for", "content-encoding", "graphql-cost", "range"),
            HEADER_TEXTS,
        ),
    },
)
METHODS = ["POST"] * 12 + ["GET"] * 3 + ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE", "QUERY"]
PATHS = ["/graphql"] * 20 + [
    "/",
    "/health",
    "/static/",
    "/static/%00",
    "/static/..%2f..%2fapp.py",
    "/graphql/",
    "/nowhere",
]
QUERY_STRINGS = mostly(
    st.just({}), st.dictionaries(st.sampled_from(["query", "variables", "extensions", "x"]), DOCUMENTS | TEXTS), 2
)
REQUESTS = st.fixed_dictionaries(
    {
        "method": st.sampled_from(METHODS),
        "path": st.sampled_from(PATHS),
        "params": QUERY_STRINGS.map(lambda params: {key: value[:8000] for key, value in params.items()}),
        "headers": HEADERS,
        "content": BODIES,
    }
)
IMPORT = "mutation ($kind: TargetKind!, $file: Upload!) { importMetrics(kind: $kind, file: $file) { __typename } }"
CSV = "link,direction,at,rxLevelDbm,errors\n"
CELLS = st.sampled_from(
    ["1", "2", "OB", "IB", "", "NaN", "-inf", "1e400", "9" * 30, '"', "2026-01-01T00:00:00Z", "\0", "é", "0x1"]
)
LINES = st.lists(st.lists(CELLS, max_size=6).map(",".join), max_size=6).map("\n".join)


def parquet() -> bytes:
    """Samples that could be recorded."""
    at = [ms(ago(minutes=minute)) for minute in range(200, 0, -1)]
    file = io.BytesIO()
    pl.DataFrame({"at": at}).with_columns(link=2, direction=pl.lit("OB"), rx_level_dbm=-45.5).write_parquet(file)
    return file.getvalue()


def damaged(content: bytes, changes: list[tuple[int, int]]) -> bytes:
    """With other bytes at places that are counted from its end, where a Parquet file says what is in it."""
    spoiled = bytearray(content)
    for place, byte in changes:
        spoiled[-1 - place % len(spoiled)] = byte
    return bytes(spoiled)


DAMAGED = st.builds(
    damaged, st.builds(parquet), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8)
)
FILES = (
    LINES.map(lambda lines: (CSV + lines).encode())
    | st.binary(max_size=100)
    | DAMAGED
    | st.binary(max_size=50).map(lambda inside: b"PAR1" + inside + b"PAR1")
    | st.builds(lambda at: f"{CSV}2,OB,{ms(ago(minutes=at))},-45.5,0\n".encode(), MINUTES)
)
PROPER_FORMS = st.builds(
    lambda kind, file, name: {
        "data": {
            "operations": as_json({"query": IMPORT, "variables": {"kind": kind, "file": None}}),
            "map": '{"0": ["variables.file"]}',
        },
        "files": {"0": (name, file)},
    },
    st.sampled_from([*TargetKind, "X"]),
    FILES,
    st.sampled_from(["a.csv", "a.parquet", "A.CSV", "", "../a.csv", "é\0", "x" * 300, "a.zip"]),
)
FORMS = st.fixed_dictionaries(
    {
        "data": st.dictionaries(st.sampled_from(["operations", "map", "0", "x"]), ANYTHING.map(as_json) | JSON_BODIES),
        "files": st.dictionaries(
            st.sampled_from(["0", "1", "map", "operations"]), st.tuples(st.text("ab./", min_size=1), FILES), min_size=1
        ),
    }
)
MESSAGES = st.fixed_dictionaries(
    {
        "type": st.sampled_from(
            ["subscribe"] * 6 + ["complete", "ping", "pong", "connection_init", "next", "start", "x"]
        )
    },
    optional={"id": st.sampled_from(["1", "2", "", "\0", "x" * 5000]) | ANYTHING, "payload": ASKED | ANYTHING},
)
SUBSCRIBED = st.builds(
    lambda key, document: {"type": "subscribe", "id": key, "payload": {"query": document}},
    st.sampled_from(["1", "2", "3"]),
    DOCUMENTS,
)
FRAMES = mostly(
    (SUBSCRIBED | MESSAGES | ANYTHING).map(as_json),
    JSON_BODIES | st.text() | st.binary(max_size=50) | st.just("x" * (16 * 1024 * 1024 + 1)),
)
TALKS = st.builds(
    Talk,
    st.sampled_from([TRANSPORT] * 9 + ["graphql-ws", "x", None]),
    st.sampled_from([{}] * 9 + [None, None, None]).flatmap(
        lambda usual: st.just(usual) | ANYTHING if usual is None else st.just(usual)
    ),
    st.lists(FRAMES, max_size=5),
)
