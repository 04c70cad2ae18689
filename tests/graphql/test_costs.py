"""What operations are thought to cost, before they are executed."""

import pytest
import strawberry
from graphql import parse
from hypothesis import given
from hypothesis import strategies as st

from bcom_graphql.graphql.documents.costs import CostAnalyzer, CostEvaluator
from bcom_graphql.graphql.errors import RequestError
from bcom_graphql.graphql.limits import Limits
from schema.root import schema as served
from tests.helpers.support import Api, Server

SDL_TYPES = served._schema.type_map
LARGEST_PAGE = 500


def cost(document: str, **variables: object) -> int:
    tree = parse(document)
    analyzer = CostAnalyzer(served._schema, tree, LARGEST_PAGE)
    operation = next(d for d in tree.definitions if d.kind == "operation_definition")
    return CostEvaluator(variables, LARGEST_PAGE).total(analyzer.analyze(operation))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("{ __typename }", 0),
        ("{ viewer { email role } }", 1),
        ("{ links(first: 10) { nodes { id name } } }", 1 + 10),
        ("{ links { nodes { id } } }", 1 + 50),
        ("{ links(first: 10) { totalCount pageInfo { hasNextPage } } }", 1 + 1),
        ("{ links(first: 10) { edges { cursor node { id } } } }", 1 + 10 * 2),
        ("{ links(first: 10) { nodes { network { hub { name } } } } }", 1 + 10 * 3),
        ("{ networks(first: 3) { nodes { links(first: 7) { nodes { id } } } } }", 1 + 3 * (1 + 1 + 7)),
        ("{ anomalies(last: 4) { nodes { contributions { share } } } }", 1 + 4 * (1 + 12)),
        ('{ nodes(ids: ["a", "b", "c"]) { id } }', 3),
        ("{ link(number: 1) { series(direction: OB) { bucketSeconds } } }", 1 + 10),
        ("{ link(number: 1) { series(direction: OB) { times } } }", 1 + 10 + 1000 // 100),
        ("{ link(number: 1) { series(direction: OB) { columns { mean } } } }", 1 + 10 + 12 * 1000 // 100),
        ("{ site(number: 1) { series(maxPoints: 10000, metrics: [CPU_PCT]) { columns { mean min max } } } }",
         1 + 10 + 3 * 10_000 // 100),
        ("{ site(number: 1) { series(metrics: []) { columns { mean again: mean } } } }", 1 + 10 + 7 * 2 * 1000 // 100),
        ("{ site(number: 1) { series(maxPoints: 1) { ...F } } } fragment F on MetricSeries { times }", 1 + 11),
        ("{ a: viewer { id } b: viewer { id } }", 2),
        ("{ links(first: 10) { nodes { id a: name b: name } } }", 1 + 10 * (1 + 2)),
        ("{ ...F ...F } fragment F on Query { viewer { id } }", 2),
        ("{ ... on Query { viewer { ... { id } } } }", 1),
        ("{ __schema { types { name fields { name } } } }", 0),
    ],
)  # fmt: skip
def test_an_operation_costs_its_objects_times_its_pages(document: str, expected: int) -> None:
    assert cost(document) == expected


@given(st.integers(0, LARGEST_PAGE), st.integers(0, LARGEST_PAGE))
def test_variables_cost_what_the_same_numbers_cost(outer: int, inner: int) -> None:
    document = "query ($o: Int, $i: Int) { networks(first: %s) { nodes { links(first: %s) { nodes { id } } } } }"

    by_variables = cost(document % ("$o", "$i"), o=outer, i=inner)

    assert by_variables == cost(document % (outer, inner)) == 1 + outer * (1 + 1 + inner)


def test_a_list_variable_counts_its_entries() -> None:
    document = "query ($ids: [ID!]!) { nodes(ids: $ids) { id } }"

    assert cost(document, ids=["x"] * 17) == 17


def test_points_and_metrics_cost_by_variables_what_they_cost_as_literals() -> None:
    document = (
        "query ($p: Int, $m: [Metric!]) { link(number: 1) { series(direction: IB, maxPoints: $p, metrics: $m) %s } }"
    )

    total = cost(document % "{ times columns { mean max } }", p=2000, m=["GRADE", "ERRORS", "ESNO_DB"])

    assert total == 1 + 10 + 20 + 3 * 2 * 20


def test_a_dashboard_of_a_link_is_cheap_and_a_gigabyte_of_series_is_refused() -> None:
    """The latter drew 1.0 GB for 4421 points, when a series cost the same whatever it returned."""
    dashboard = "{ link(number: 1) { a: series(direction: IB) %s b: series(direction: OB) %s } }"
    aliases = " ".join(
        f"a{n}: series(direction: IB, maxPoints: 10000) {{ times columns {{ mean min max }} }}" for n in range(20)
    )

    of_dashboard = cost(dashboard.replace("%s", "{ times columns { metric mean min max } }"))
    of_gigabyte = cost(f"{{ links(first: 20) {{ nodes {{ {aliases} }} }} }}")

    assert of_dashboard < 1000
    assert of_gigabyte > 20 * Limits().cost


@pytest.mark.parametrize(
    "document",
    [
        "{ links(first: 501) { pageInfo { hasNextPage } } }",
        "query ($n: Int = 501) { links(first: $n) { nodes { id } } }",
        "{ anomalies(last: 501) { nodes { id } } }",
        "{ networks { nodes { links(first: 501) { totalCount } } } }",
    ],
)
def test_a_page_that_is_too_large_is_refused_wherever_it_stands(document: str) -> None:
    with pytest.raises(RequestError, match="asks for 501; a page has at most 500"):
        cost(document, n=501)


def test_fragments_that_double_at_every_level_are_added_up_in_no_time() -> None:
    levels = 18
    fragments = [
        f"fragment F{level} on Network {{ a{level}: links(first: $n) {{ nodes {{ network {{ ...F{level + 1} }} }} }}"
        f" b{level}: links(first: $n) {{ nodes {{ network {{ ...F{level + 1} }} }} }} }}"
        for level in range(levels)
    ]
    last = f"fragment F{levels} on Network {{ id }}"

    total = cost(f"query ($n: Int) {{ network(number: 1) {{ ...F0 }} }} {' '.join(fragments)} {last}", n=1)

    assert total > 2**levels


def test_every_list_says_how_long_it_may_get() -> None:
    """A connection without would count as one node, whatever its page."""
    lists = [
        (type_name, name)
        for type_name, type in SDL_TYPES.items()
        for name, field in getattr(type, "fields", {}).items()
        if str(getattr(field, "type", "")).removesuffix("!").endswith("Connection")
        and not _declares_size(field.extensions.get("strawberry-definition"))
    ]

    assert lists == []


def _declares_size(field: strawberry.types.field.StrawberryField) -> bool:
    return any(type(directive).__name__ == "ListSize" for directive in field.directives)


# ---------------------------------------------------------------- as clients meet it


async def test_the_cost_is_reported_on_demand(api: Api) -> None:
    body = {"query": "{ links(first: 10) { nodes { id } } }"}

    asked = await api.http.post(api.url, json=body, headers={"GraphQL-Cost": "1"})
    together = await api.http.post(api.url, json=[body, body], headers={"GraphQL-Cost": "1"})
    unasked = await api.http.post(api.url, json=body)

    assert (asked.headers["graphql-cost"], together.headers["graphql-cost"]) == ("11", "22")
    assert "graphql-cost" not in unasked.headers


async def test_an_operation_that_may_cost_too_much_is_refused_with_limit_and_amount(server: Server) -> None:
    async with server(max_cost=100) as api:
        response = await api.execute("query ($n: Int) { links(first: $n) { nodes { id } } }", n=100)

    assert response == {
        "errors": [
            {
                "message": "This operation may cost 101; at most 100 is allowed. Ask for smaller pages.",
                "extensions": {"code": "QUERY_TOO_COMPLEX"},
            }
        ]
    }
