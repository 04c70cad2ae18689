"""GraphQL over HTTP: media types, status codes, and what is no request."""

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from resolvers.base.roles import Role
from tests.helpers.support import Api, Factory, Server

GRAPHQL_RESPONSE = "application/graphql-response+json"
VIEWER = {"query": "{ viewer { role } }"}


async def post(api: Api, body: Any, accept: str = GRAPHQL_RESPONSE, **headers: str) -> tuple[int, Any, str]:
    """Status, parsed body and media type of the answer."""
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    sent = {"accept": accept, "content-type": "application/json", **api.headers, **headers}
    answer = await api.http.post(api.url, content=content, headers=sent)
    return answer.status_code, answer.json(), answer.headers["content-type"].partition(";")[0]


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        (GRAPHQL_RESPONSE, GRAPHQL_RESPONSE),
        ("application/json", "application/json"),
        (f"{GRAPHQL_RESPONSE}, application/json", GRAPHQL_RESPONSE),
        (f"{GRAPHQL_RESPONSE};q=0.5, application/json", "application/json"),
        ("text/plain, */*", "application/json"),
        ("", "application/json"),
    ],
)
async def test_the_answer_has_the_media_type_that_the_client_likes_best(api: Api, accept: str, media: str) -> None:
    assert await post(api, VIEWER, accept) == (200, {"data": {"viewer": None}}, media)


@pytest.mark.parametrize("accept", ["text/plain", "application/json;q=0", "application/json; charset=latin-1"])
async def test_another_media_type_is_not_acceptable(api: Api, accept: str) -> None:
    status, body, _ = await post(api, VIEWER, accept)

    assert (status, body["errors"][0]["extensions"]["code"]) == (406, "BAD_USER_INPUT")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is not JSON"),
        (b"{", "The body is not JSON"),
        (b'"x"', "A request is a JSON object"),
        (b"3", "A request is a JSON object"),
        (b"null", "A request is a JSON object"),
        (b"[]", "A batch has 1 to 10 operations; this one has 0."),
        (b"[1]", "A request is a JSON object"),
        (b"{}", "A request needs a `query`, a `documentId` or `extensions.persistedQuery`."),
        (b'{"query": 1}', "`query` must be a string."),
        (b'{"query": "{ x }", "variables": []}', "`variables` must be an object."),
        (b'{"query": "{ x }", "operationName": {}}', "`operationName` must be a string."),
        (b'{"query": "{ x }", "extensions": "x"}', "`extensions` must be an object."),
        (b'{"query": "query A { __typename } query B { __typename }"}', "The document has several operations"),
        (b'{"query": "query A { __typename }", "operationName": "B"}', "has no operation named 'B'"),
        (b'{"query": "subscription { anomalyDetected { cursor } }"}', "Subscriptions need a WebSocket"),
    ],
)
async def test_what_is_no_request_is_said_to_be_none(api: Api, body: bytes, said: str) -> None:
    status, answer, _ = await post(api, body)

    assert status == 400
    assert said in answer["errors"][0]["message"]
    assert answer["errors"][0]["extensions"]["code"] == "BAD_USER_INPUT"


async def test_a_body_that_is_too_large_is_refused_while_it_arrives(server: Server) -> None:
    body = orjson.dumps({"query": "{ viewer { role } }", "variables": {"x": "y" * 1000}})

    async def in_chunks() -> AsyncIterator[bytes]:
        yield body[:900]
        yield body[900:]

    async with server(max_body=1000) as api:
        announced = await post(api, body)
        streamed = await api.http.post(api.url, content=in_chunks(), headers={"content-type": "application/json"})

    assert (announced[0], streamed.status_code) == (413, 413)
    for answer in (announced[1], streamed.json()):
        told = "The body has more than the 1000 bytes that are allowed without signing in."
        assert answer["errors"][0]["message"] == told


@pytest.mark.parametrize("kind", ["text/plain", "application/json; charset=latin-1", "application/graphql", ""])
async def test_another_content_type_is_unsupported(api: Api, kind: str) -> None:
    status, _, _ = await post(api, VIEWER, **{"content-type": kind})

    assert status == 415


@pytest.mark.parametrize(
    ("query", "variables", "code"),
    [
        ("{ oops", {}, "GRAPHQL_PARSE_FAILED"),
        ("{ oops }", {}, "GRAPHQL_VALIDATION_FAILED"),
        ("query ($number: Int!) { site(number: $number) { id } }", {"number": "x"}, "BAD_USER_INPUT"),
    ],
)
async def test_a_document_that_did_not_run_is_400_in_the_newer_type_and_200_in_plain_json(
    api: Api, query: str, variables: dict[str, Any], code: str
) -> None:
    body = {"query": query, "variables": variables}

    newer, plain = await post(api, body), await post(api, body, "application/json")

    assert (newer[0], plain[0]) == (400, 200)
    assert "data" not in newer[1]
    assert newer[1] == plain[1]
    assert newer[1]["errors"][0]["extensions"]["code"] == code


async def test_a_batch_answers_each_operation_and_has_an_end(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)
    bad = {"query": "query A { __typename }", "operationName": "B"}

    answered = await post(viewer, [VIEWER, {"query": "{ oops }"}, bad, VIEWER])
    refused = await post(viewer, [VIEWER] * 11)

    assert answered[0] == 200
    assert [list(body) for body in answered[1]] == [["data"], ["errors"], ["errors"], ["data"]]
    assert refused[0] == 400
    assert "this one has 11" in refused[1]["errors"][0]["message"]


async def test_get_is_for_queries_only(api: Api) -> None:
    headers = {"accept": GRAPHQL_RESPONSE}
    document = 'mutation { logout(refreshToken: "x") { at } }'

    query = await api.http.get(api.url, params={"query": "{ __typename }", "variables": "{}"}, headers=headers)
    mutation = await api.http.get(api.url, params={"query": document}, headers=headers)
    other = await api.http.put(api.url, headers=headers)

    assert (query.status_code, query.json()) == (200, {"data": {"__typename": "Query"}})
    assert (mutation.status_code, mutation.headers["allow"]) == (405, "POST")
    assert (other.status_code, other.headers["allow"]) == (405, "GET, POST")


async def test_a_browser_gets_the_page_with_its_policy(api: Api) -> None:
    page = await api.http.get(api.url, headers={"accept": "text/html,*/*;q=0.8"})

    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_the_request_id_comes_back_and_an_internal_error_tells_nothing_but_it(
    api: Api, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("SELECT secret FROM somewhere")

    monkeypatch.setattr("resolvers.fleet.topology.satellites", fail)
    viewer = await api.as_(Role.VIEWER)

    answer = await viewer.http.post(
        api.url,
        json={"query": "{ satellites { totalCount } }"},
        headers={**viewer.headers, "x-request-id": "my-own-id"},
    )

    assert answer.headers["x-request-id"] == "my-own-id"
    [error] = answer.json()["errors"]
    assert error["extensions"] == {"code": "INTERNAL_SERVER_ERROR", "requestId": "my-own-id"}
    assert "secret" not in answer.text
