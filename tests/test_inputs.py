"""Lists of input objects are coerced by generated code, to exactly what graphql-core makes of them, or not at all."""

from typing import Any

import pytest
from graphql import GraphQLInputObjectType, GraphQLList, GraphQLNonNull, OperationDefinitionNode, build_schema, parse
from graphql.utilities import coerce_input_value
from hypothesis import given
from hypothesis import strategies as st

from bcom_graphql.graphql.inputs import Inputs, compiled
from ml.metrics import CATALOGUE, TargetKind
from resolvers.detection import camel
from resolvers.store.tables import Link, Role
from schema.root import schema
from tests.support import NOW, Api, Factory, GraphQLFailed, ago, iso, record_samples

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


def sample_type(kind: TargetKind) -> GraphQLInputObjectType:
    found = CORE.get_type(f"{kind.capitalize()}SampleInput")
    assert isinstance(found, GraphQLInputObjectType)
    return found


def stock(of: GraphQLInputObjectType, rows: Any) -> Any:
    return coerce_input_value(rows, GraphQLNonNull(GraphQLList(GraphQLNonNull(of))))


def ours(of: GraphQLInputObjectType, rows: Any) -> Any:
    coerce = compiled(of)
    assert coerce is not None
    try:
        return coerce(rows)
    except Exception:  # noqa: BLE001
        return None


NUMBERS = st.one_of(st.none(), st.floats(allow_nan=True), st.integers(-(2**40), 2**70), st.booleans(), st.just("12"))
TIMES = st.sampled_from([iso(NOW), "2026-01-01T00:00:00+05:30", "2026-01-01T00:00:00", "yesterday", 5, None, ["x"]])
LINKS = st.fixed_dictionaries(
    {
        "link": st.one_of(st.integers(-5, 2**31), st.just(3.0), st.just("3"), st.none()),
        "direction": st.sampled_from(["IB", "OB", "ib", None, 1]),
        "at": TIMES,
    },
    optional={**{camel(column): NUMBERS for column in CATALOGUE[LINK].columns}, "unknown": st.just(1)},
)
GOOD = st.fixed_dictionaries(
    {"link": st.integers(0, 2**31 - 1), "direction": st.sampled_from(["IB", "OB"]), "at": st.just(iso(NOW))},
    optional={
        camel(c): st.one_of(st.none(), st.floats(-1e3, 1e3), st.integers(0, 100)) for c in CATALOGUE[LINK].columns
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
    assert found is None or [list(map(type, row.values())) for row in found] == [
        list(map(type, row.values())) for row in expected
    ]


@given(rows=st.lists(GOOD, min_size=1, max_size=4))
def test_every_good_sample_fits(rows: list[Any]) -> None:
    whole = {camel(spec.column) for spec in CATALOGUE[LINK].specs if spec.whole}
    rows = [{name: round(v) if name in whole and v is not None else v for name, v in row.items()} for row in rows]

    assert ours(sample_type(LINK), rows) == stock(sample_type(LINK), rows)


@given(rows=st.lists(PLAIN, max_size=3))
def test_so_it_is_with_other_leaves_and_defaults(rows: list[Any]) -> None:
    of = OTHERS.get_type("Plain")
    assert isinstance(of, GraphQLInputObjectType)

    found = ours(of, rows)

    assert found is None or found == stock(of, rows)


@pytest.mark.parametrize("name", ["Deep", "Listed", "One"])
def test_what_is_not_flat_is_left_to_graphql_core(name: str) -> None:
    of = OTHERS.get_type(name)
    assert isinstance(of, GraphQLInputObjectType)

    assert compiled(of) is None


@pytest.mark.parametrize(
    ("type", "rows", "done"),
    [
        ("[Plain!]!", [{"id": "1"}], True),
        ("[Plain!]", [{"id": "1"}], True),
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
def test_only_lists_of_input_objects_are_taken(type: str, rows: Any, done: bool) -> None:
    [operation] = parse(f"query ($rows: {type}) {{ plain(rows: $rows) }}").definitions
    assert isinstance(operation, OperationDefinitionNode)

    coerced = Inputs(OTHERS).coerced(operation, {"rows": rows})

    assert ("rows" in coerced) is done


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


@pytest.mark.parametrize("wrong", ["12", True, [12], {"value": 12}])
async def test_errors_are_graphql_core_s_own(operator: Api, make: Factory, wrong: Any) -> None:
    with pytest.raises(GraphQLFailed, match=r"at \[1\].esnoDb") as failed:
        await record_samples(operator, LINK, samples(await make.link(), 12.0, wrong))

    assert failed.value.codes == ["BAD_USER_INPUT"]


async def test_samples_may_be_written_into_the_document(operator: Api, make: Factory) -> None:
    link = await make.link()
    document = f"""mutation {{ recordLinkMetrics(samples: [{{ link: {link.number}, direction: IB, at: "{iso(NOW)}",
      esnoDb: 12 }}]) {{ ... on RecordedMetrics {{ accepted }} }} }}"""

    assert await operator.run(document) == {"recordLinkMetrics": {"accepted": 1}}


async def test_a_single_sample_stands_for_a_list_of_one(operator: Api, make: Factory) -> None:
    [sample] = samples(await make.link(), 12.0)

    answer = await record_samples(operator, LINK, sample)  # type: ignore[arg-type]

    assert answer["accepted"] == 1
