"""An operation reads the columns that its fields need, and no others."""

import re
from typing import Any

import pytest

from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.nodes import NODE_TABLES
from resolvers.store.tables.core import Anomaly, Link, Network, Site, User
from schema.column_selection import find_columns, select_columns
from tests.helpers.support import Api, Factory, ago, id_of

PAGE = """{ anomalies(first: 5) { nodes { id severity
  target { ... on Link { number } ... on Network { name } } } } }"""


def read(statements: list[str], table: str) -> list[set[str]]:
    """The columns that each statement reads of the table."""
    of = [one for one in statements if re.search(rf"FROM {table}\b", one) and "count(*)" not in one]
    return [set(re.findall(rf"\b{table}\.(\w+)", one.split("\nFROM")[0])) for one in of]


def test_plain_fields_need_their_own_columns_and_relations_the_keys_they_go_by() -> None:
    selected = {
        "Anomaly": frozenset({"id", "startedAt", "target", "history", "contributions"}),
        "Network": frozenset({"hub"}),
        "Link": frozenset(),
        "Query": frozenset({"anomalies"}),
        "Sensitivity": frozenset({"value"}),  # an entity, but no node
    }

    assert select_columns(selected) == {
        Anomaly: {"id", "started_at", "kind", "target_id", "contributions"},
        Network: {"hub_id"},
        Link: frozenset(),
    }


@pytest.mark.parametrize("name", NODE_TABLES)
def test_every_field_of_an_entity_says_what_it_needs(name: str) -> None:
    known = {column.name for column in NODE_TABLES[name].__table__.c}

    for field, needs in find_columns(name).items():
        assert needs is not None, f"{name}.{field} would read whole rows"
        assert needs <= known


async def test_what_several_operations_of_one_context_read_is_read_for_all(services: Services) -> None:
    context = Context(services, SYSTEM)

    context.look_ahead({Site: frozenset({"name"}), User: frozenset({"email"})})
    context.look_ahead({Site: frozenset({"number"}), Link: frozenset({"name"})})

    assert context.columns_of(Site) == {"name", "number"}
    assert (context.columns_of(User), context.columns_of(Link)) == (None, None)


async def test_a_page_and_its_targets_are_read_as_far_as_they_are_asked_for(
    api: Api, make: Factory, statements: list[str]
) -> None:
    link, network = await make.link(7), await make.network()
    for minutes, target in ((3, network), (2, link)):
        await make.anomaly(target, started_at=ago(minutes=minutes))
    viewer = await api.as_(Role.VIEWER)
    statements.clear()

    found = (await viewer.run(PAGE))["anomalies"]["nodes"]

    assert [one["target"] for one in found] == [{"number": 7}, {"name": network.name}]
    assert read(statements, "anomalies") == [{"id", "severity", "started_at", "kind", "target_id"}]
    assert read(statements, "links") == [{"id", "number"}]
    assert read(statements, "networks") == [{"id", "name"}]


async def test_what_one_operation_asks_of_a_type_in_two_places_is_read_in_both(
    api: Api, make: Factory, statements: list[str]
) -> None:
    link = await make.link(7)
    viewer = await api.as_(Role.VIEWER)
    statements.clear()

    found = await viewer.run("{ link(number: 7) { id network { links { nodes { name site { name } } } } } }")

    assert found["link"]["network"]["links"]["nodes"] == [{"name": link.name, "site": {"name": "Somewhere"}}]
    assert read(statements, "links")[0] == {"id", "name", "network_id", "site_id"}


async def test_a_resolver_that_looks_at_rows_itself_gets_whole_ones(api: Api, make: Factory) -> None:
    user = await make.user(Role.VIEWER)
    viewer = await api.of(user)
    create = 'mutation { createApiKey(name: "x", role: VIEWER) { ... on CreatedApiKey { apiKey { id } } } }'
    id = (await viewer.run(create))["createApiKey"]["apiKey"]["id"]

    answer = await viewer.run("query ($id: ID!) { node(id: $id) { ... on ApiKey { name } } }", id=id)

    assert answer == {"node": {"name": "x"}}


async def test_a_mutation_s_own_rows_lead_on_to_what_is_asked_for(
    api: Api, make: Factory, statements: list[str]
) -> None:
    operator, anomaly = await api.as_(Role.OPERATOR), await make.anomaly(await make.link(7))
    document = """mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { ... on Anomaly {
      status acknowledgedBy { email } target { ... on Link { number } } } } }"""
    statements.clear()

    found: dict[str, Any] = (await operator.run(document, id=id_of(anomaly)))["acknowledgeAnomaly"]

    assert (found["status"], found["target"]) == ("ACKNOWLEDGED", {"number": 7})
    assert found["acknowledgedBy"]["email"].endswith("@example.com")
    assert read(statements, "users")[-1] == {"id", "email"}
