"""Every string and every list that a client sends is bounded: by `@constraint`, else by what is usual."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from graphql import (
    GraphQLError,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLObjectType,
    GraphQLString,
    get_named_type,
    get_nullable_type,
    is_list_type,
    is_specified_scalar_type,
)
from graphql.type import GraphQLScalarType

from bcom_graphql.graphql.documents.argument_limits import Constraints
from resolvers.base.roles import Role
from schema.root import schema
from tests.helpers.support import Api, Server

TYPES = schema._schema.type_map
SOME, LONG = "x" * 201, "x" * 3_000_000
FILTER = "query ($filter: AnomalyFilter) { anomalies(filter: $filter) { nodes { id } } }"


def inputs() -> Iterator[tuple[str, Any]]:
    """All arguments and input fields, by name."""
    for name, type in TYPES.items():
        if isinstance(type, GraphQLObjectType):
            for field_name, field in type.fields.items():
                yield from ((f"{name}.{field_name}.{argument}", one) for argument, one in field.args.items())
        elif isinstance(type, GraphQLInputObjectType):
            yield from ((f"{name}.{field_name}", one) for field_name, one in type.fields.items())


OURS = [(name, one) for name, one in inputs() if not name.startswith("__")]
STRINGS = [(name, one) for name, one in OURS if get_named_type(one.type) in (GraphQLString, GraphQLID)]
LISTS = [(name, one) for name, one in OURS if is_list_type(get_nullable_type(one.type))]


def test_the_whole_schema_has_no_string_and_no_list_without_an_end() -> None:
    constraints = Constraints(2000)

    longest = {name: found.characters if (found := constraints.find(one)) else None for name, one in STRINGS}
    most = {name: found.entries if (found := constraints.find(one)) else None for name, one in LISTS}

    assert len(STRINGS) > 50
    assert {name for name, characters in longest.items() if not characters or characters > 4000} == set()
    assert {name for name, entries in most.items() if not entries or entries > 100_000} == set()
    assert longest["Query.links.search"] == longest["AnomalyFilter.satellite"] == longest["Query.node.id"] == 200


@pytest.mark.parametrize("value", [LONG, [LONG]], ids=["a string", "a list"])
@pytest.mark.parametrize(
    "name", [n for n, t in TYPES.items() if isinstance(t, GraphQLScalarType) and not is_specified_scalar_type(t)]
)
def test_scalars_of_our_own_refuse_long_text_in_short(name: str, value: Any) -> None:
    with pytest.raises(GraphQLError) as failure:
        TYPES[name].coerce_input_value(value)  # type: ignore[attr-defined]

    assert len(failure.value.message) < 200


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "by graphql-core"])
@pytest.mark.parametrize(
    ("document", "variables", "said"),
    [
        ("query ($s: String) { links(search: $s) { totalCount } }", {"s": SOME}, "`search` has 201 characters, 200"),
        (f'{{ sites(search: "{SOME}") {{ totalCount }} }}', {}, "`search` has 201 characters, 200"),
        (f'query ($s: String = "{SOME}") {{ networks(search: $s) {{ totalCount }} }}', {},
         "`search` has 201 characters, 200"),
        ("query ($s: String) { ...F } fragment F on Query { links(search: $s) { totalCount } }", {"s": LONG},
         "`search` has 3000000 characters, 200"),
        (FILTER, {"filter": {"satellite": LONG}}, "`filter.satellite` has 3000000 characters, 200"),
        ("query ($s: String) { anomalies(filter: { satellite: $s }) { totalCount } }", {"s": LONG},
         "`filter.satellite` has 3000000 characters, 200"),
        ("query ($t: [String!]) { recommendations(filter: { tags: $t }) { totalCount } }", {"t": ["rf", LONG]},
         "`filter.tags.1` has 3000000 characters, 2000"),
        (FILTER, {"filter": {"statuses": ["OPEN"] * 1001}}, "`filter.statuses` has 1001 entries, 1000"),
        ("query ($id: ID!) { node(id: $id) { id } }", {"id": LONG}, "`id` has 3000000 characters, 200"),
        (f"{{ node(id: {'9' * 5000}) {{ id }} }}", {}, "`id` has 5000 characters, 200"),
        ("query ($a: String) { links(after: $a) { totalCount } }", {"a": LONG}, "`after` has 3000000 characters, 2000"),
        ("query ($n: Int) { link(number: 1) { series(direction: IB, maxPoints: $n) { times } } }", {"n": 10_001},
         "`maxPoints` is 10001, 10000"),
        ("{ site(number: 1) { series(maxPoints: 10001) { times } } }", {}, "`maxPoints` is 10001, 10000"),
    ],
    ids=range(13),
)  # fmt: skip
async def test_what_is_too_long_is_refused_by_name_as_a_literal_and_in_variables(
    server: Server, compiled: bool, document: str, variables: dict[str, Any], said: str
) -> None:
    async with server(compiled=compiled) as api:
        answer = await (await api.as_(Role.VIEWER)).execute(document, **variables)

    [error] = answer["errors"]
    assert error["message"].replace("; at most", ",").startswith(said)
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert ".".join(error["extensions"]["inputPath"]) == said.split("`")[1]
    assert len(json.dumps(answer)) < 1000


async def test_at_its_length_it_is_taken_and_elsewhere_the_same_variable_may_be_longer(api: Api) -> None:
    document = """query Short($s: String) { links(search: $s) { nodes { id } } }
      query Long($s: String) { links(after: $s) { nodes { id } } }"""
    viewer = await api.as_(Role.VIEWER)
    headers = viewer.headers

    short, long = [
        (await api.http.post(api.url, json=body, headers=headers)).json()
        for body in (
            {"query": document, "operationName": "Short", "variables": {"s": "%" * 200}},
            {"query": document, "operationName": "Long", "variables": {"s": "x" * 2000}},
        )
    ]

    assert short == {"data": {"links": {"nodes": []}}}
    assert long["errors"][0]["message"] == "This cursor is not from this list. Start again without a cursor."


async def test_the_usual_length_is_a_setting(server: Server) -> None:
    async with server(max_string=100) as api:
        answer = await (await api.as_(Role.VIEWER)).execute(
            "query ($a: String) { links(after: $a) { totalCount } }", a="x" * 101
        )

    assert answer["errors"][0]["message"] == "`after` has 101 characters; at most 100 are allowed."


async def test_a_socket_is_told_too(api: Api) -> None:
    viewer = await api.as_(Role.VIEWER)
    document = "subscription ($a: String) { recommendationCreated(after: $a) { cursor } }"

    async with viewer.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": document, "variables": {"a": LONG}})
        message = await socket.receive()

    assert message["type"] == "error"
    assert message["payload"][0]["message"] == "`after` has 3000000 characters; at most 2000 are allowed."
