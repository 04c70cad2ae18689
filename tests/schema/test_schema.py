"""The exported schema is current, and keeps the contract."""

import pytest
from graphql import GraphQLSchema, build_schema, extend_schema, parse
from graphql.utilities import find_breaking_changes

from schema.root import schema
from tests.helpers.places import ROOT

CONTRACT = ROOT.parent / "shared" / "contract.graphql"
INCIDENTS = CONTRACT.with_name("contract_incidents.graphql")


def test_the_exported_schema_is_current() -> None:
    exported = (ROOT / "schema" / "schema.graphql").read_text()

    assert exported == schema.as_str() + "\n", "run `bcom-graphql export-schema`"


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract is not here")
def test_nothing_breaks_the_contract() -> None:
    assert broken_promises(build_schema(CONTRACT.read_text())) == []


@pytest.mark.skipif(not INCIDENTS.exists(), reason="the contract of incidents is not here")
def test_nothing_breaks_the_contract_of_incidents() -> None:
    assert broken_promises(extend_schema(build_schema(CONTRACT.read_text()), parse(INCIDENTS.read_text()))) == []


def broken_promises(contract: GraphQLSchema) -> list[str]:
    changes = find_breaking_changes(contract, build_schema(schema.as_str()))
    return [change.description for change in changes]
