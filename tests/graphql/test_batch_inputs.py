"""Lists of input objects are coerced column by column, to exactly what graphql-core makes of them, or not at all."""

from types import SimpleNamespace
from typing import Any

import pytest
from graphql import (
    GraphQLInputObjectType,
    GraphQLList,
    GraphQLNonNull,
    OperationDefinitionNode,
    Undefined,
    build_schema,
    parse,
)
from graphql.execution.values import get_variable_values
from graphql.utilities import coerce_input_value
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from strawberry.schema.schema_converter import GraphQLCoreConverter

from bcom_graphql.graphql.documents.batch_inputs import BatchInputs, InputTable
from ml.catalogue.metrics import CATALOGUE, TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import to_camel_case
from resolvers.base.roles import Role
from resolvers.context import Context
from resolvers.store.tables.core import Link
from schema.root import schema
from schema.telemetry.samples import Samples, samples_to_frame
from tests.helpers.support import NOW, Api, Factory, GraphQLFailed, ago, iso, record_samples

BACKREF = GraphQLCoreConverter.DEFINITION_BACKREF
CORE = schema._schema
LINK = TargetKind.LINK
OTHERS = build_schema("""
  enum Colour { RED GREEN }
  input Plain { id: ID!, text: String = "none", colour: Colour, sure: Boolean! = true, many: Float }
  input Deep { inner: Plain }
  input Listed { items: [Int] }
  input One @oneOf { a: Int, b: Int }
  type Query { plain(rows: [Plain!]!): Int }
""")


class Wanting:
    """Stands for a class of which one is made of the columns of many."""

    of_columns = dict


def sample_type(kind: TargetKind) -> GraphQLInputObjectType:
    found = CORE.get_type(f"{kind.capitalize()}SampleInput")
    assert isinstance(found, GraphQLInputObjectType)
    return found


def input_type(name: str) -> GraphQLInputObjectType:
    found = OTHERS.get_type(name)
    assert isinstance(found, GraphQLInputObjectType)
    return found


def extend(monkeypatch: pytest.MonkeyPatch, name: str, origin: type) -> None:
    """As if Strawberry had made the input type of this class."""
    monkeypatch.setattr(input_type(name), "extensions", {BACKREF: SimpleNamespace(origin=origin)})


def stock(of: GraphQLInputObjectType, rows: Any) -> Any:
    """Columns of what graphql-core makes of it; None where it says that something is wrong."""
    coerced = coerce_input_value(rows, GraphQLNonNull(GraphQLList(GraphQLNonNull(of))))
    return None if coerced is Undefined else {name: [row.get(name) for row in coerced] for name in of.fields}


def ours(of: GraphQLInputObjectType, rows: Any) -> Any:
    table = InputTable.of(of)
    assert table is not None
    try:
        return table.columns(rows)
    except Exception:  # noqa: BLE001
        return None


def types(columns: dict[str, list[Any]]) -> list[list[type]]:
    return [[type(value) for value in column] for column in columns.values()]


NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True), st.integers(-(2**40), 2**70), st.booleans(), st.just("12"))
TIMES = st.sampled_from([iso(NOW), "2026-01-01T00:00:00+05:30", "2026-01-01T00:00:00", "yesterday", 5, None, ["x"]])
LINKS = st.fixed_dictionaries(
    {
        "link": st.one_of(st.integers(-5, 2**31), st.just(3.0), st.just("3"), st.none()),
        "direction": st.sampled_from(["IB", "OB", "ib", None, 1]),
        "at": TIMES,
    },
    optional={**{to_camel_case(column): NUMBERS for column in CATALOGUE[LINK].recorded_columns}, "unknown": st.just(1)},
)
GOOD = st.fixed_dictionaries(
    {"link": st.integers(0, 2**31 - 1), "direction": st.sampled_from(["IB", "OB"]), "at": st.just(iso(NOW))},
    optional={
        to_camel_case(c): st.one_of(st.none(), st.floats(-1e3, 1e3), st.integers(0, 100))
        for c in CATALOGUE[LINK].recorded_columns
    },
)
PLAIN = st.fixed_dictionaries(
    {"id": st.one_of(st.text(), st.integers(), st.just(1.5))},
    optional={
        "text": st.one_of(st.text(), st.none(), st.just(1)),
        "colour": st.sampled_from(["RED", "BLUE", None, 0]),
        "sure": st.sampled_from([True, False, None, 1]),
        "many": NUMBERS,
    },
)


@given(rows=st.lists(st.one_of(LINKS, GOOD, st.just(7), st.none()), max_size=4))
def test_what_fits_is_coerced_like_graphql_core_does_and_nothing_else_is(rows: list[Any]) -> None:
    expected = stock(sample_type(LINK), rows)

    found = ours(sample_type(LINK), rows)

    assert found is None or found == expected
    assert found is None or types(found) == types(expected)


@given(rows=st.lists(GOOD, min_size=1, max_size=4))
def test_every_good_sample_fits(rows: list[Any]) -> None:
    whole = {to_camel_case(spec.column) for spec in CATALOGUE[LINK].recorded_specs if spec.whole}
    rows = [{name: round(v) if name in whole and v is not None else v for name, v in row.items()} for row in rows]

    assert ours(sample_type(LINK), rows) == stock(sample_type(LINK), rows)


@given(rows=st.lists(PLAIN, max_size=3))
def test_so_it_is_with_other_leaves_and_defaults(rows: list[Any]) -> None:
    of = input_type("Plain")

    found = ours(of, rows)

    assert found is None or found == stock(of, rows)


@pytest.mark.parametrize("name", ["Deep", "Listed", "One"])
def test_what_is_not_flat_is_left_to_graphql_core(name: str) -> None:
    assert InputTable.of(input_type(name)) is None


@pytest.mark.parametrize(
    ("type", "rows", "done"),
    [
        ("[Plain!]!", [{"id": "1"}], True),
        ("[Plain!]", [{"id": "1"}], True),
        ("[Plain!]", [{"id": "1", "many": 2}, {"sure": False, "id": 2, "colour": "RED"}], True),
        ("[Plain!]", [], True),
        ("[Plain]!", [{"id": "1"}], False),
        ("[Plain!]!", {"id": "1"}, False),  # a single object stands for a list of one
        ("[Plain!]!", None, False),
        ("[Plain!]!", [None], False),
        ("[Plain!]!", [{}], False),
        ("[Nothing!]!", [{"id": "1"}], False),
        ("[Int!]!", [1], False),
        ("Plain!", {"id": "1"}, False),
    ],
)
def test_only_lists_of_input_objects_are_taken(
    monkeypatch: pytest.MonkeyPatch, type: str, rows: Any, done: bool
) -> None:
    [operation] = parse(f"query ($rows: {type}) {{ plain(rows: $rows) }}").definitions
    assert isinstance(operation, OperationDefinitionNode)

    extend(monkeypatch, "Plain", Wanting)

    coerced = BatchInputs(OTHERS).coerce(operation, {"rows": rows})

    assert ("rows" in coerced) is done
    assert not done or coerced["rows"] == [ours(input_type("Plain"), rows)]


@pytest.mark.parametrize("name", ["Deep", "Plain"])
def test_only_where_a_class_wants_columns_and_all_fields_are_leaves(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    [operation] = parse(f"query ($rows: [{name}!]!) {{ plain(rows: $rows) }}").definitions
    assert isinstance(operation, OperationDefinitionNode)
    extend(monkeypatch, "Deep", Wanting)
    extend(monkeypatch, "Plain", object)

    assert BatchInputs(OTHERS).coerce(operation, {"rows": []}) == {}


@pytest.mark.parametrize("kind", TargetKind)
def test_samples_give_the_same_frame_by_either_way(kind: TargetKind) -> None:
    key, of = kind.lower(), sample_type(kind)
    readings = {to_camel_case(spec.column): number for number, spec in enumerate(CATALOGUE[kind].recorded_specs)}
    direction = {"direction": "IB"} if kind is LINK else {}
    rows: list[Any] = [
        {key: 1, **direction, "at": iso(NOW), **readings},
        {key: 2, **direction, "at": "2026-01-01T00:00:00.25+05:30", **dict.fromkeys(readings)},
        {"at": iso(NOW), **direction, key: 3},
    ]
    each = coerce_input_value(rows, GraphQLNonNull(GraphQLList(GraphQLNonNull(of))))

    together = samples_to_frame(kind, [Samples(ours(of, rows))])

    assert len(together) == 3
    assert_frame_equal(together, samples_to_frame(kind, each))
    assert_frame_equal(samples_to_frame(kind, [Samples(ours(of, []))]), samples_to_frame(kind, []))


# ---------------------------------------------------------------- through the door


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


def samples(link: Link, *values: Any) -> list[dict[str, Any]]:
    return [
        {"link": link.number, "direction": "OB", "at": iso(ago(minutes=index)), "esnoDb": value}
        for index, value in enumerate(values)
    ]


async def test_whole_numbers_are_fine_for_fractions(operator: Api, make: Factory) -> None:
    answer = await record_samples(operator, LINK, samples(await make.link(), 12, 12.5, None))

    assert answer["accepted"] == 2
    assert answer["rejected"] == [{"row": 2, "reason": "No metric was measured."}]


@pytest.mark.parametrize(
    "wrong",
    [
        *({"esnoDb": value} for value in ("12", True, [12], {"value": 12})),
        *({"errors": value} for value in (1.5, 2**31, -(2**31) - 1, "1")),
        *({"link": value} for value in (None, "1", 2**40)),
        *({"direction": value} for value in (None, "UP", 1)),
        *({"at": value} for value in (None, "yesterday", "2026-01-01T00:00:00", 5)),
        {"unknown": 1},
        {"esnoDb": None, "link": Undefined},
    ],
)
async def test_errors_are_graphql_core_s_own(operator: Api, make: Factory, wrong: dict[str, Any]) -> None:
    good, bad = samples(await make.link(), 12.0, 13.0)
    bad = {name: value for name, value in (bad | wrong).items() if value is not Undefined}
    [asked] = parse("mutation ($samples: [LinkSampleInput!]!) { __typename }").definitions
    assert isinstance(asked, OperationDefinitionNode)
    expected = get_variable_values(CORE, asked.variable_definitions or (), {"samples": [good, bad]})
    assert isinstance(expected, list)

    with pytest.raises(GraphQLFailed) as failed:
        await record_samples(operator, LINK, [good, bad])

    assert [error["message"] for error in failed.value.errors] == [error.message for error in expected]
    assert {*failed.value.codes} == {"BAD_USER_INPUT"}


async def test_strawberry_records_the_same_without_us(operator: Api, make: Factory) -> None:
    [sample] = samples(await make.link(), 12.0)
    document = "mutation ($samples: [LinkSampleInput!]!) { recordLinkMetrics(samples: $samples) { __typename ... on"
    document += " RecordedMetrics { accepted duplicates } } }"

    stock = await schema.execute(document, {"samples": [sample]}, Context(operator.services, SYSTEM))
    again = await operator.run(document, samples=[sample])

    recorded = {"__typename": "RecordedMetrics"}
    assert stock.data == {"recordLinkMetrics": {**recorded, "accepted": 1, "duplicates": 0}}
    assert again == {"recordLinkMetrics": {**recorded, "accepted": 0, "duplicates": 1}}


async def test_samples_may_be_written_into_the_document(operator: Api, make: Factory) -> None:
    link = await make.link()
    document = f"""mutation {{ recordLinkMetrics(samples: [{{ link: {link.number}, direction: IB, at: "{iso(NOW)}",
      esnoDb: 12 }}]) {{ ... on RecordedMetrics {{ accepted }} }} }}"""

    assert await operator.run(document) == {"recordLinkMetrics": {"accepted": 1}}


async def test_a_single_sample_stands_for_a_list_of_one(operator: Api, make: Factory) -> None:
    [sample] = samples(await make.link(), 12.0)

    answer = await record_samples(operator, LINK, sample)  # type: ignore[arg-type]

    assert answer["accepted"] == 1
