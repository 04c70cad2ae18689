"""The exported schema is current, and keeps the contract."""

import pytest
from graphql import build_schema
from graphql.utilities import find_breaking_changes

from schema.root import schema
from tests.helpers.places import ROOT

CONTRACT = ROOT.parent / "shared" / "contract.graphql"


def test_the_exported_schema_is_current() -> None:
    exported = (ROOT / "schema" / "schema.graphql").read_text()

    assert exported == schema.as_str() + "\n", "run `bcom-graphql export-schema`"


@pytest.mark.skipif(not CONTRACT.exists(), reason="the contract is not here")
def test_nothing_breaks_the_contract() -> None:
    changes = find_breaking_changes(build_schema(CONTRACT.read_text()), build_schema(schema.as_str()))

    assert [change.description for change in changes] == []
