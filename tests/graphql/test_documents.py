"""Documents: read once, found by their hash, and only registered ones where that is wanted."""

import asyncio
import gc
import hashlib
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema, get_introspection_query

from bcom_graphql.graphql.compiled.arguments import NO_VARIABLES
from bcom_graphql.graphql.documents.reader import Document
from bcom_graphql.graphql.documents.store import DocumentStore, read_trusted
from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.limits import Limits
from resolvers.base.roles import Role
from schema.root import schema
from tests.helpers.support import Api, Server, codes

SCHEMA = build_schema("type Query { name: String friend: Query }")
QUERY = "{ name }"
VIEWER = "{ viewer { role } }"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(text: str) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha256(text)}}}


def test_a_valid_document_is_read_once() -> None:
    store = DocumentStore(SCHEMA, Limits())

    first, second = store.read(QUERY), store.read(QUERY)

    assert first is second
    assert store.contains(QUERY)


@pytest.mark.parametrize("text", ["{ nonsense }", "{ oops", "{ name " * 300, "{ name }" + " " * 200_000])
def test_a_document_that_cannot_be_executed_takes_no_memory_and_is_paid_for_again(text: str) -> None:
    store = DocumentStore(SCHEMA, Limits())

    assert store.read(text).errors
    assert not store.contains(text)


async def test_a_new_document_is_paid_for_and_a_refused_one_each_time(server: Server) -> None:
    valid, refused = "{ viewer { email } }" + " " * 400, "{ viewer { nothing } }" + " " * 400

    async with server(rate_operations="1000/minute") as api:
        known = [await codes(api, valid) for _ in range(10)]
        unknown = [await codes(api, refused) for _ in range(10)]

    assert known == [[]] * 10
    assert unknown[0] == ["GRAPHQL_VALIDATION_FAILED"]
    assert unknown[-1] == ["RATE_LIMITED"]


async def test_who_asks_for_the_same_long_document_at_once_waits_for_one_reading(api: Api) -> None:
    document = "{ viewer { email } }" + "# a long comment" * 1_000

    answers = await asyncio.gather(*(api.execute(document) for _ in range(10)))

    assert answers == [{"data": {"viewer": None}}] * 10


def test_the_store_forgets_what_was_not_asked_for_longest() -> None:
    store = DocumentStore(SCHEMA, Limits(), cached_bytes=12 * DocumentStore(SCHEMA, Limits()).read(QUERY).bytes)
    others = [f"{{ a{number}: name }}" for number in range(30)]

    for other in others:
        store.read(other)
        store.read(QUERY)

    assert store.contains(QUERY)
    assert not store.contains(others[0])
    assert 2 < sum(store.contains(other) for other in others) <= 12


def test_a_long_document_takes_the_place_of_many() -> None:
    store = DocumentStore(SCHEMA, Limits(), cached_bytes=500_000)
    texts = [f"{{ name }} # {number}" + " " * 20_000 for number in range(30)]

    for text in texts:
        store.read(text)

    assert sum(map(store.contains, texts)) <= 25


def test_no_document_pushes_out_all_others() -> None:
    store = DocumentStore(SCHEMA, Limits(root_fields=1_000), cached_bytes=1_000_000)
    store.read(QUERY)
    large = "{ " + "name " * 1_000 + "}"

    assert store.read(large).plan(None)
    assert not store.contains(large)
    assert store.contains(QUERY)


def test_a_document_that_grows_with_its_plans_is_weighed_again() -> None:
    store = DocumentStore(SCHEMA, Limits(root_fields=100), cached_bytes=3_000_000)
    store.read(QUERY)
    text = "{ " + " ".join(f"a{number}: name" for number in range(100)) + " }"
    growing = store.read(text)
    before = growing.bytes

    growing.plan(None).compiled.prepare(NO_VARIABLES)
    was_known = store.contains(text)
    store.weigh(growing)

    assert was_known
    assert growing.bytes > before + 100 * 1_000
    assert not store.contains(text)
    assert store.contains(QUERY)


MANY = "".join(f"a{number}: node(id: 1) {{ id ... on Link {{ number name }} }} " for number in range(40))
WEIGHED = {
    "a small one": "{ viewer { id email } }",
    "many fields": "{ viewer { " + "id " * 3_000 + "} }",
    "many aliases": "{ viewer { " + "".join(f"a{number}: id " for number in range(100)) + "} }",
    "many types": "{ " + MANY + "}",
    "a long string": '{ node(id: "' + "x" * 100_000 + '") { id } }',
    "a long list": "{ nodes(ids: [" + '"a" ' * 490 + "]) { id } }",
    "many operations": "".join(f"query Q{number} {{ ...F }} " for number in range(50))
    + "fragment F on Query { " + MANY + "}",
}  # fmt: skip


@pytest.mark.parametrize("text", WEIGHED.values(), ids=[*WEIGHED])
def test_a_document_is_counted_at_no_less_than_half_of_what_it_weighs(text: str) -> None:
    def read() -> Document:
        document = DocumentStore(schema._schema, Limits()).read(text)
        document.plan("Q1" if "Q1" in text else None).compiled.prepare(NO_VARIABLES)
        return document

    read()  # what is made once for the schema
    gc.collect()
    tracemalloc.start()
    document = read()
    gc.collect()
    weight, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert document.bytes > weight / 2


async def test_only_the_operation_that_is_asked_for_is_planned(api: Api) -> None:
    text = " ".join(f"query Q{number} {{ viewer {{ ...F }} }}" for number in range(50)) + " fragment F on User { id }"
    store = DocumentStore(schema._schema, Limits())
    document = store.read(text)
    before = document.bytes

    document.plan("Q7").compiled.prepare(NO_VARIABLES)
    one = document.bytes - before
    document.plan("Q8").compiled.prepare(NO_VARIABLES)

    assert 0 < one == (document.bytes - before) / 2
    assert (await api.http.post(api.url, json={"query": text, "operationName": "Q7"})).json()["data"] == {
        "viewer": None
    }


# ---------------------------------------------------------------- automatic persisted queries


async def test_a_document_is_found_again_by_its_hash(api: Api) -> None:
    unknown = (await api.http.post(api.url, json=persisted(VIEWER))).json()
    sent = (await api.http.post(api.url, json={"query": VIEWER, **persisted(VIEWER)})).json()
    found = (await api.http.post(api.url, json=persisted(VIEWER))).json()
    by_get = await api.http.get(api.url, params={"extensions": json.dumps(persisted(VIEWER)["extensions"])})
    by_id = (await api.http.post(api.url, json={"documentId": f"sha256:{sha256(VIEWER)}"})).json()

    assert unknown["errors"] == [
        {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
    ]
    assert sent == found == by_get.json() == by_id == {"data": {"viewer": None}}


async def test_a_hash_that_is_not_the_document_s_is_refused(api: Api) -> None:
    answer = (await api.http.post(api.url, json={"query": VIEWER, **persisted(QUERY)})).json()
    still_unknown = (await api.http.post(api.url, json=persisted(QUERY))).json()

    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"
    assert still_unknown["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


@pytest.mark.parametrize("given", [{"version": 2, "sha256Hash": "x"}, {"version": 1}, {"sha256Hash": 1}, "x", []])
async def test_what_is_no_persisted_query_is_said_to_be_none(api: Api, given: Any) -> None:
    answer = await api.http.post(api.url, json={"extensions": {"persistedQuery": given}})

    assert answer.status_code == 400
    assert "sha256Hash" in answer.json()["errors"][0]["message"]


async def test_several_operations_of_a_persisted_document_are_told_apart_by_name(api: Api) -> None:
    text = "query A { a: viewer { role } } query B { b: viewer { role } }"
    await api.http.post(api.url, json={"query": text, "operationName": "A"})

    answer = (await api.http.post(api.url, json={"operationName": "B", **persisted(text)})).json()

    assert answer == {"data": {"b": None}}


# ---------------------------------------------------------------- trusted documents


@pytest.fixture
def trusted(tmp_path: Path) -> Path:
    """As the client preset writes it, with ids of its own making."""
    path = tmp_path / "persisted-documents.json"
    path.write_text(json.dumps({"b5c1": VIEWER}))
    return path


async def test_only_registered_documents_are_executed(server: Server, trusted: Path) -> None:
    async with server(trusted_documents=trusted) as api:
        by_id = await api.http.post(api.url, json={"documentId": "b5c1"})
        by_extension = await api.http.post(api.url, json={"extensions": {"persistedQuery": {"sha256Hash": "b5c1"}}})
        by_hash = await api.http.post(api.url, json=persisted(VIEWER))
        by_text = await api.http.post(api.url, json={"query": VIEWER})
        other = await api.http.post(api.url, json={"query": "{ viewer { email } }"})
        unknown = await api.http.post(api.url, json={"documentId": "d00f"})

    assert [answer.json() for answer in (by_id, by_extension, by_hash, by_text)] == [{"data": {"viewer": None}}] * 4
    assert other.status_code == 403
    assert other.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert unknown.json()["errors"][0]["extensions"]["code"] == "PERSISTED_QUERY_NOT_FOUND"


async def test_a_socket_admits_only_registered_documents_too(server: Server, trusted: Path) -> None:
    async with server(trusted_documents=trusted) as api, api.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"documentId": "b5c1"})
        await socket.send(type="subscribe", id="2", payload={"query": "{ viewer { email } }"})
        messages = [await socket.receive() for _ in range(3)]

    by_id = {message["id"]: message for message in messages if message["type"] != "complete"}
    assert by_id["1"]["payload"] == {"data": {"viewer": None}}
    assert by_id["2"]["payload"][0]["extensions"]["code"] == "FORBIDDEN"


@pytest.mark.parametrize("content", ["{", "[]", '{"a": 1}', None], ids=["no JSON", "a list", "no texts", "no file"])
def test_a_file_that_holds_no_documents_is_said_to_hold_none(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "persisted-documents.json"
    if content is not None:
        path.write_text(content)

    with pytest.raises(ValueError, match=r"persisted-documents\.json"):
        read_trusted(path)


def test_an_unregistered_document_that_others_would_know_is_not_found() -> None:
    store = DocumentStore(SCHEMA, Limits(), {"a": QUERY})

    with pytest.raises(RequestError):
        store.read("{ friend { name } }")
    with pytest.raises(RequestError):
        store.get_registered(sha256("{ friend { name } }"))


async def test_looking_at_the_schema_and_sending_what_does_not_fit_are_paid_for(server: Server) -> None:
    document = "query ($filter: AnomalyFilter) { anomalies(filter: $filter) { nodes { id } } }"
    filter = {f"a{number}": 1 for number in range(3_000)}

    async with server(rate_operations="10000/minute") as api:
        viewer, other = await api.as_(Role.VIEWER), await api.as_(Role.VIEWER)
        looks = [await codes(viewer, get_introspection_query()) for _ in range(4)]
        wrong = [await codes(other, document, filter=filter) for _ in range(5)]

    assert looks[0] == []
    assert looks[-1] == ["RATE_LIMITED"]
    assert set(wrong[0]) == {"BAD_USER_INPUT"}
    assert wrong[-1] == ["RATE_LIMITED"]
