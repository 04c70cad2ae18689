"""Limits on what a client may ask: each refused by name, with the limit and the amount, before it costs anything."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from graphql import get_introspection_query
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text

from bcom_graphql.graphql.documents.store import DocumentStore
from bcom_graphql.graphql.documents.token_count import count_tokens
from bcom_graphql.graphql.limits import Limits
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.fleet import topology
from resolvers.lists import loaders
from resolvers.store.postgres.database import Database
from schema.root import schema
from tests.helpers.support import Api, Factory, Server, id_of, sql

DEPTH = "{ networks { nodes { links { nodes { network { number } } } } } }"
FRAGMENTS = """{ ...A ...A } fragment A on Query { a: viewer { ...B } } fragment B on User { b: email c: role }"""
SLOW = "SELECT pg_sleep(30)"


@pytest.mark.parametrize(
    ("setting", "limit", "document", "said"),
    [
        ("max_depth", 5, DEPTH, "has 6 levels of fields (depth); at most 5 are allowed."),
        ("max_aliases", 2, "{ a: viewer { b: email c: role } }", "has 3 aliases; at most 2 are allowed."),
        ("max_aliases", 5, FRAGMENTS, "has 6 aliases; at most 5 are allowed."),
        ("max_directives", 1, "{ viewer @skip(if: true) { email @skip(if: true) } }", "has 2 directives; at most 1"),
        ("max_root_fields", 2, "{ a: viewer { id } b: viewer { id } ...C } fragment C on Query { c: viewer { id } }",
         "has 3 root fields; at most 2 are allowed."),
        ("max_fields", 5, FRAGMENTS, "has 6 fields, fragments counted wherever they are spread; at most 5"),
        ("max_operations", 1, "query A { viewer { id } } query B { viewer { id } }",
         "This document has 2 operations; at most 1 are allowed."),
        ("max_tokens", 12, "{ a: viewer { id } b: viewer { id } }", "has 14 tokens; at most 12 are allowed."),
        ("max_tokens", 10, "{ viewer { id } }" + " " * 400, "has 417 characters; at most 400 are allowed."),
        ("max_tokens", 10, "{ viewer { id } }" + "#\n" * 50, "has 56 tokens; at most 10 are allowed."),
    ],
)  # fmt: skip
async def test_a_document_beyond_a_limit_is_refused_with_limit_and_amount(
    server: Server, setting: str, limit: int, document: str, said: str
) -> None:
    async with server(**{setting: limit}) as api:
        [error] = (await api.execute(document))["errors"]

    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    assert said in error["message"]


async def test_at_the_limit_it_is_answered(server: Server) -> None:
    document = "{ a: viewer { id email } b: viewer { id @skip(if: true) } }"

    async with server(max_depth=2, max_aliases=2, max_directives=1, max_root_fields=2, max_tokens=25) as api:
        assert await api.run(document) == {"a": None, "b": None}


async def test_the_usual_introspection_is_within_all_limits(api: Api) -> None:
    document = get_introspection_query(
        specified_by_url=True, directive_is_repeatable=True, schema_description=True, input_value_deprecation=True
    )

    assert (await api.run(document))["__schema"]["queryType"] == {"name": "Query", "kind": "OBJECT"}


async def test_introspection_has_levels_of_its_own(server: Server) -> None:
    document = get_introspection_query(input_value_deprecation=True)

    async with server(max_depth=3) as api:
        assert (await api.run(document))["__schema"]["queryType"] == {"name": "Query", "kind": "OBJECT"}
        [error] = (await api.execute(DEPTH))["errors"]

    assert "at most 3" in error["message"]


async def test_introspection_may_not_go_round_in_circles(api: Api) -> None:
    circle = "{ __schema { types { fields { type { fields { type { fields { type { fields { name } } } } } } } } } }"

    [error] = (await api.execute(circle))["errors"]

    assert "introspection depth" in error["message"].lower()


async def test_a_batch_beyond_the_limit_is_refused(server: Server) -> None:
    async with server(max_batch=2) as api:
        answer = await api.http.post(api.url, json=[{"query": "{ __typename }"}] * 3)

    assert (answer.status_code, answer.json()["errors"][0]["message"]) == (
        400,
        "A batch has 1 to 2 operations; this one has 3.",
    )


async def test_a_page_of_501_is_refused_by_name(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)

    answers = [
        await viewer.execute("{ links(first: 501) { totalCount } }"),
        await viewer.execute("query ($n: Int!) { links(first: $n) { totalCount } }", n=501),
        await viewer.execute("query ($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=["x"] * 501),
    ]

    assert [answer["errors"][0]["message"] for answer in answers] == [
        "`first` of `Query.links` asks for 501; a page has at most 500.",
        "`first` of `Query.links` asks for 501; a page has at most 500.",
        "`ids` of `Query.nodes` asks for 501; a page has at most 500.",
    ]
    assert {answer["errors"][0]["extensions"]["code"] for answer in answers} == {"BAD_USER_INPUT"}


# ---------------------------------------------------------------- what attackers send


HOSTILE = {
    "fragments in a circle": "{ ...A } fragment A on Query { ...B } fragment B on Query { ...A }",
    "a fragment of itself": "{ ...A } fragment A on Query { viewer { id } ...A }",
    "fragments that double": "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} }}" for n in range(200))
    + " fragment F200 on Query { viewer { id } }",
    "fragments that double a field of the user": "{ viewer { ...F0 } } "
    + " ".join(f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }}" for n in range(40))
    + " fragment F40 on User { id }",
    "a chain of fragments": "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(600))
    + " fragment F600 on Query { viewer { id } }",
    "numbers without blanks": "{ nodes(ids: [" + "-1" * 50_000 + "]) { id } }",
    "an open string of escapes": '"' + '\\"' * 90_000,
    # github.com/rmosolgo/graphql-ruby/issues/620: an endless loop
    "two fragments of a name, one of itself": "query { ...frag } fragment frag on Query { __typename }"
    " fragment frag on Query { ...frag }",
    # github.com/webonyx/graphql-php/issues/1906: 117 s of validation
    "inline fragments in inline fragments": "{ "
    + ("... on Query { " + "... on Query { viewer { id } } " * 20 + "} ") * 30
    + "}",
    # github.com/parse-community/parse-server/pull/10344 (GHSA-mfj6-6p54-m98c)
    "fragments that spread three": "{ ...F0 } "
    + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} ...F{n + 1} ...F{n + 1} }}" for n in range(30))
    + " fragment F30 on Query { viewer { id } }",
    # github.com/JSONbored/metagraphed/issues/1402: limits that did not look into fragments
    "a thousand aliases in a fragment": "query { ...Big } fragment Big on Query { "
    + " ".join(f"t{n}: __typename" for n in range(1000))
    + " }",
    "the same field, and again": "{ " + "viewer { id } " * 1200 + "}",
    "deep nesting": "{ viewer " * 1000 + "}" * 1000,
    "deep lists": "{ nodes(ids: " + "[" * 2000 + "]" * 2000 + ") { id } }",
    "many operations": " ".join(f"query Q{n} {{ viewer {{ id }} }}" for n in range(600)),
    "a huge number": "{ links(first: " + "9" * 5000 + ") { totalCount } }",
    "an open string": '{ node(id: "' + "x" * 5000,
    "nothing": " ",
    "only a fragment": "fragment A on Query { viewer { id } }",
    "a definition": "type Query { x: Int }",
    "nothing selected": "{ viewer {} }",
}


@pytest.mark.parametrize("document", HOSTILE.values(), ids=[*HOSTILE])
async def test_a_hostile_document_gets_an_answer_and_the_next_one_too(api: Api, document: str) -> None:
    answer = await api.execute(document)

    codes = {error["extensions"]["code"] for error in answer.get("errors", [])}
    assert "INTERNAL_SERVER_ERROR" not in codes
    assert await api.run("{ __typename }") == {"__typename": "Query"}


@given(st.text(alphabet="{}()[]:!$@=\"\\ \n#.,aZ_09-é'&|", max_size=60))
def test_any_text_is_a_document_or_has_errors(source: str) -> None:
    document = DocumentStore(schema._schema, Limits()).read(source)

    assert bool(document.errors) != bool(document.operations)


@given(st.lists(st.sampled_from(["{", "}", "viewer", "...", '"x"', '"""y"""', "-1.5e3", "$", "@", "#c\n", ",", " "])))
def test_tokens_are_counted_as_they_are_lexed(parts: list[str]) -> None:
    counted = count_tokens(" ".join(parts))

    assert counted == sum(part not in (",", " ") for part in parts)


CHAIN = "{ ...F0 } " + " ".join(f"fragment F{n} on Query {{ ...F{n + 1} }}" for n in range(600))


async def test_fragments_that_are_nested_too_deeply_are_told_so(api: Api) -> None:
    [error] = (await api.execute(f"{CHAIN} fragment F600 on Query {{ viewer {{ id }} }}"))["errors"]

    assert error["extensions"]["code"] == "QUERY_TOO_COMPLEX"
    assert error["message"].startswith("This document is nested too deeply: 603 levels")


def test_fragments_that_double_are_priced_as_often_as_they_are_spread() -> None:
    doubling = "".join(f"fragment F{n} on User {{ ...F{n + 1} ...F{n + 1} }}" for n in range(13))
    source = f"{{ viewer {{ ...F0 }} }} {doubling} fragment F13 on User {{ id }}"

    document = DocumentStore(schema._schema, Limits()).read(source)

    assert not document.errors
    assert document.plan(None).costs.total({}) == 1


UNKNOWN = " ".join(f"x{n}" for n in range(1600))
AMPLIFYING = {
    "an object with unknown fields around a long string": '{ anomalies(filter: { s: "'
    + "x" * 190_000 + '" ' + " ".join(f"a{n}: 1" for n in range(104)) + " }) { nodes { id } } }",
    "an object with unknown fields": "{ anomalies(filter: { "
    + " ".join(f"a{n}: 1" for n in range(1600)) + " }) { nodes { id } } }",
    "unknown fields": f"{{ viewer {{ {UNKNOWN} }} }}",
    "a long name": "{ " + "x" * 190_000 + " }",
    "a long name of an argument": "{ viewer(" + "x" * 190_000 + ": 1) { id } }",
    "a name that is no name": "{ viewer } " + "x" * 190_000,
    "unused variables": "query (" + " ".join(f"$v{n}: Int" for n in range(1200)) + ") { viewer { id } }",
    "many fields of a subscription": "subscription { " + "anomalyDetected { at } " * 300 + "x }",
}  # fmt: skip


@pytest.mark.parametrize("document", AMPLIFYING.values(), ids=[*AMPLIFYING])
async def test_what_is_wrong_with_a_document_is_told_in_a_few_lines(api: Api, document: str) -> None:
    response = await api.http.post(api.url, json={"query": document})
    errors = response.json()["errors"]

    assert len(response.content) < 20_000
    assert 1 <= len(errors) <= 20
    assert max(len(error["message"]) for error in errors) <= 300
    assert "INTERNAL_SERVER_ERROR" not in {error["extensions"]["code"] for error in errors}


async def test_the_last_of_many_errors_says_that_there_are_more(api: Api) -> None:
    errors = (await api.execute(f"{{ viewer {{ {UNKNOWN} }} }}"))["errors"]

    assert errors[0]["message"].startswith("Cannot query field 'x0' on type 'User'.")
    assert errors[-1]["message"] == "Too many validation errors, error limit reached. Validation aborted."
    assert len(errors) == 20


async def test_what_is_wrong_with_variables_is_told_in_a_few_lines(api: Api) -> None:
    document = "query ($filter: AnomalyFilter) { anomalies(filter: $filter) { nodes { id } } }"
    filter = {"x" * 100_000: "y" * 100_000} | {f"a{number}": 1 for number in range(1_000)}

    response = await api.http.post(api.url, json={"query": document, "variables": {"filter": filter}})

    assert len(response.content) < 20_000
    assert {error["extensions"]["code"] for error in response.json()["errors"]} == {"BAD_USER_INPUT"}


async def test_many_failures_of_fields_are_told_of_up_to_a_hundred(api: Api) -> None:
    fields = " ".join(f"a{number}: apiKeys {{ id name }}" for number in range(50))

    errors = (await api.execute(f"{{ {fields} }}"))["errors"]

    assert errors
    assert {error["extensions"]["code"] for error in errors} == {"UNAUTHENTICATED"}


# ---------------------------------------------------------------- time


@pytest.fixture
def slow_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """The database takes its time over an operation's work, directly and in a loader."""

    async def slow(database: Database, *_: Any) -> Any:
        async with database.driver() as connection:
            await connection.execute(SLOW)

    monkeypatch.setattr(topology, "fetch_page", slow)
    monkeypatch.setattr(loaders, "fetch_pages", slow)


async def sleeping(services: Services) -> int:
    """How many of this database's queries still sleep."""
    query = (
        f"SELECT 1 FROM pg_stat_activity WHERE query = '{SLOW}' AND state = 'active' AND datname = current_database()"
    )
    async with services.database.read() as session:
        return len((await session.execute(text(query))).all())


async def until_sleeping(services: Services, queries: int) -> bool:
    """Within two seconds."""
    for _ in range(40):
        if await sleeping(services) == queries:
            return True
        await asyncio.sleep(0.05)
    return False


@pytest.mark.usefixtures("slow_links")
@pytest.mark.parametrize(
    "document",
    ["{ links { totalCount } }", "{ satellite(name: \"Astra\") { networks { nodes { id } } } }"],
    ids=["a resolver", "a loader"],
)  # fmt: skip
async def test_an_operation_that_takes_too_long_is_stopped_with_its_query(
    server: Server, services: Services, make: Factory, document: str
) -> None:
    await make.satellite("Astra")
    async with server(max_seconds=0.3) as api:
        viewer = await api.as_(Role.VIEWER)

        answer = await viewer.http.post(api.url, json={"query": document}, headers=viewer.headers)

        assert answer.status_code == 504
        assert answer.json()["errors"] == [
            {
                "message": "This operation took longer than 0.3 seconds and was stopped.",
                "extensions": {"code": "TIMEOUT"},
            }
        ]
        assert await until_sleeping(services, 0)


@pytest.mark.usefixtures("slow_links")
async def test_time_runs_out_over_a_socket_too_and_the_socket_lives_on(server: Server) -> None:
    async with server(max_seconds=0.3) as api:
        viewer = await api.as_(Role.VIEWER)
        async with viewer.socket() as socket:
            await socket.send(type="subscribe", id="1", payload={"query": "{ links { totalCount } }"})
            failed = await socket.receive()
            await socket.send(type="subscribe", id="2", payload={"query": "{ viewer { role } }"})
            answered = await socket.receive()

    assert (failed["type"], failed["payload"][0]["extensions"]["code"]) == ("error", "TIMEOUT")
    assert answered["payload"] == {"data": {"viewer": {"role": "VIEWER"}}}


@pytest.mark.usefixtures("slow_links")
async def test_a_socket_that_goes_takes_its_work_along(server: Server, services: Services) -> None:
    async with server() as api:
        viewer = await api.as_(Role.VIEWER)
        async with viewer.socket() as socket:
            await socket.send(type="subscribe", id="1", payload={"query": "{ links { nodes { id } } }"})
            assert await until_sleeping(services, 1)

        assert await until_sleeping(services, 0)


async def test_a_mutation_that_is_stopped_has_changed_nothing(
    server: Server, services: Services, make: Factory
) -> None:
    anomaly = await make.anomaly()
    await sql(
        services,
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$",
        "CREATE TRIGGER slow BEFORE INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    async with server(max_seconds=0.5) as api:
        operator = await api.as_(Role.OPERATOR)

        answer = await operator.execute(
            "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }", id=id_of(anomaly)
        )
        await sql(services, "DROP TRIGGER slow ON audit_entries")
        again = await operator.run(
            "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }", id=id_of(anomaly)
        )

    assert answer["errors"][0]["extensions"]["code"] == "TIMEOUT"
    assert again == {"acknowledgeAnomaly": {"__typename": "Anomaly"}}


@pytest.mark.usefixtures("slow_links")
async def test_work_that_nobody_waits_for_any_more_is_stopped(server: Server, services: Services) -> None:
    async with server(max_seconds=5) as api:
        viewer = await api.as_(Role.VIEWER)

        answer = await viewer.execute("{ users { totalCount } links { nodes { id } } }")

        assert answer["data"] is None
        assert await until_sleeping(services, 0)


async def test_a_request_that_trickles_in_is_cut_off(server: Server) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        yield b'{"query": '
        await asyncio.sleep(1)
        yield b'"{ viewer { role } }"}'

    async with server(max_seconds=0.2) as api:
        answer = await api.http.post(api.url, content=trickle(), headers={"content-type": "application/json"})

    assert answer.status_code == 408
    assert answer.json()["errors"][0]["message"] == "The request took longer than 0.2 seconds to arrive."
