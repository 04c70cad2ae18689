"""Documents: read once, found by their hash, and only registered ones where that is wanted."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from graphql import build_schema

from bcom_graphql.graphql import documents
from bcom_graphql.graphql.documents import DocumentStore, read_trusted
from bcom_graphql.graphql.errors import Refused
from bcom_graphql.graphql.limits import Limits
from tests.support import Api, Server

SCHEMA = build_schema("type Query { name: String friend: Query }")
QUERY = "{ name }"
VIEWER = "{ viewer { role } }"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def persisted(text: str) -> dict[str, Any]:
    return {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha256(text)}}}


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were parsed and validated from now on."""
    seen: list[str] = []
    parse, validate = documents.parse, documents.validate
    monkeypatch.setattr(documents, "parse", lambda text: seen.append(text) or parse(text))
    monkeypatch.setattr(documents, "validate", lambda *all: seen.append("validated") or validate(*all))
    return seen


@pytest.mark.parametrize("text", [QUERY, "{ nonsense }", "{ oops"], ids=["valid", "invalid", "not even parsed"])
def test_a_document_is_read_once_whatever_is_wrong_with_it(readings: list[str], text: str) -> None:
    store = DocumentStore(SCHEMA, Limits())

    first, second = store.sent(text), store.sent(text)

    assert first is second
    assert readings.count(text) == 1
    assert readings.count("validated") <= 1


async def test_a_server_reads_an_operation_once_for_all_its_requests(api: Api, readings: list[str]) -> None:
    for id in "abcde":
        await api.execute("query ($id: ID!) { node(id: $id) { id } }", id=id)

    assert readings.count("validated") == 1


def test_the_store_forgets_what_was_not_asked_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    store = DocumentStore(SCHEMA, Limits())
    monkeypatch.setattr(documents, "CACHED_BYTES", 3 * store.sent(QUERY).bytes)
    others = [f"{{ a{number}: name }}" for number in range(10)]

    for other in others:
        store.sent(other)
        store.sent(QUERY)

    assert store.knows(QUERY)
    assert not store.knows(others[0])
    assert sum(store.knows(other) for other in others) <= 2


def test_a_long_document_takes_the_place_of_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "CACHED_BYTES", 100_000)
    store = DocumentStore(SCHEMA, Limits())

    for number in range(20):
        store.sent(f"{{ name }} # {number}" + " " * 30_000)

    assert len(store._documents) == 2


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

    with pytest.raises(Refused):
        store.sent("{ friend { name } }")
    with pytest.raises(Refused):
        store.named(sha256("{ friend { name } }"))
