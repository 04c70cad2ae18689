"""A server that compiles and one that does not answer alike, from a real database; errors included."""

import json
from typing import Any

import pytest

from bcom_graphql import app
from bcom_graphql.graphql.compiled import CompiledOperation
from bcom_graphql.graphql.execution.operation_metrics import NOT_COMPILED
from resolvers.base.roles import Role
from resolvers.context import Services
from tests.conftest import settings_of
from tests.helpers.support import Api, Factory, id_of, serving

LINK = """fragment Link on Link {
  id number name network { id name band hub { id name role } satellite { name longitude } } site { id mobile latitude }
}"""
QUERIES = [
    """{ anomalies(first: 3) { totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor
      node { __typename id kind direction status severity score confidence modelVersion startedAt lastSeenAt endedAt
      detectedAt feedback target { __typename ... on Link { ...Link } ... on Site { number } }
      contributions { metric observed share } analysis { id } acknowledgedBy { email } history { at action by { id } }
      recommendations { totalCount } } } } } """
    + LINK,
    "{ links { nodes { ...Link anomalies(first: 2) { totalCount nodes { id } } grade(direction: OB) } } } " + LINK,
    """query ($id: ID!) {
      node(id: $id) { id ... on Anomaly { severity target { ... on Link { number } } } } nodes(ids: [$id, "x"]) { id }
    }""",
    "query ($id: String!) { a: anomalies(after: $id) { totalCount } viewer { email role } users { totalCount } }",
    "{ models { name champion { version } versions { totalCount } } sensitivity(kind: LINK) { value setBy { id } } }",
]


@pytest.mark.parametrize("document", QUERIES)
async def test_both_answer_the_same(api: Api, make: Factory, document: str, monkeypatch: pytest.MonkeyPatch) -> None:
    anomalies = [await make.anomaly() for _ in range(5)]
    viewer = await api.as_(Role.VIEWER)
    variables = {"id": id_of(anomalies[0])} if "$id" in document else {}

    compiled = await viewer.execute(document, **variables)
    monkeypatch.setattr(CompiledOperation, "plan", lambda *_: None)
    other = await viewer.execute(document, **variables)

    assert without_request_ids(compiled) == without_request_ids(other)
    assert "data" in compiled


def without_request_ids(answer: dict[str, Any]) -> str:
    """As JSON: the order of keys counts."""
    for error in answer.get("errors", []):
        error["extensions"].pop("requestId", None)
    return json.dumps(answer)


async def test_compiling_can_be_switched_off(services: Services, database_url: str) -> None:
    before = NOT_COMPILED._value.get()

    async with (
        serving(app.application(services, settings_of(database_url, compiled=False))) as url,
        Api.to(url, services) as api,
    ):
        assert await api.run("{ viewer { id } }") == {"viewer": None}

    assert NOT_COMPILED._value.get() == before + 1
