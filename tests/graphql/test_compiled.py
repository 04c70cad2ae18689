"""Compiled execution, construct by construct: what the specification says, as graphql-core answers, leaving nothing."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from graphql import (
    ExecutionResult,
    GraphQLSchema,
    OperationDefinitionNode,
    build_schema,
    get_introspection_query,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from bcom_graphql.graphql.compiled import CompiledOperation, Execution
from bcom_graphql.graphql.compiled.plan import ExecutionPlan
from bcom_graphql.graphql.json import encode
from tests.helpers.fakes import Later
from tests.helpers.zoo import ZOO, Context

# ---------------------------------------------------------------- both ways


def compiled(schema: GraphQLSchema, text: str) -> CompiledOperation:
    document = parse(text)
    assert not validate(schema, document)
    [operation] = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    return CompiledOperation(schema, document, operation)


def execution(schema: GraphQLSchema, text: str, variables: dict[str, Any] | None = None) -> Execution:
    """Compiled, if it can be."""
    operation = compiled(schema, text)
    values = get_variable_values(schema, operation.node.variable_definitions or (), variables or {})
    assert not isinstance(values, list)
    return Execution(operation, operation.plan(values), values)


async def both(schema: GraphQLSchema, text: str, variables: dict[str, Any] | None = None, root: Any = None) -> Any:
    """The answer that an operation has compiled, and executed by graphql-core."""
    mine = execution(schema, text, variables)
    assert mine.plan is not None
    answer = await mine.run(root, Context())
    assert shown(answer) == shown(await mine._replace(plan=None).run(root, Context()))
    return answer


def shown(result: ExecutionResult) -> tuple[bytes, list[bytes]]:
    """Errors in any order: it is that in which things happened to fail."""
    return encode(result.data), sorted(orjson.dumps(error.formatted) for error in result.errors or ())


def paths(result: ExecutionResult) -> list[Any]:
    return sorted(error.path or [] for error in result.errors or ())


# ---------------------------------------------------------------- Strawberry's constructs

ANIMAL = '{ __typename name size keeper { name } friends(names: ["Jo"]) { name ... on Cat { sound } } ...D ...C }'
FRAGMENTS = """
    fragment D on Dog { ages described loud: described(loudly: true) secret bark(times: 2) }
    fragment C on Cat { sound temperature told owner { name pets { name keeper { name } } } }
"""
OPERATIONS: list[tuple[str, dict[str, Any]]] = [
    (f"{{ dogs {{ total nodes {ANIMAL} first {{ name }} }} }}".replace("...C", "") + FRAGMENTS.splitlines()[1], {}),
    (f"{{ cats {{ nodes {ANIMAL} }} }}".replace("...D", "") + FRAGMENTS.splitlines()[2], {}),
    (f"{{ animals {ANIMAL} castRows {ANIMAL.replace('keeper { name }', '')} }}" + FRAGMENTS, {}),
    *(
        ("query ($which: String!) { pet(which: $which) { __typename ... on Animal { name } ... on Stray { id: name }"
         " ... on Missing { message } } }", {"which": which})
        for which in ("dog", "cat", "stray", "wrong", "nobody", "returned")
    ),
    ("{ places { __typename name ... on Cage { number } } }", {}),
    *(
        ("query ($kind: String!) { numbers(kind: $kind) }", {"kind": kind})
        for kind in ("tuple", "awaitables", "null", "number", "stream", "broken stream")
    ),
    *(
        ("query ($size: Size = SMALL, $filter: Filter, $among: [Filter] = [{}], $id: ID, $t: Celsius, $name: String) {"
         " echo a: echo(size: $size, filter: $filter, among: $among, id: $id, temperature: $t)"
         " b: echo(filter: {name: $name, inner: {sizes: [GIANT, $size]}}, among: {name: $name}, temperature: 3) }",
         given)
        for given in (
            {"size": "GIANT", "filter": {"inner": {"name": None}}, "among": None, "id": 3, "t": "2", "name": "n"},
            {"size": None, "filter": None, "among": [None, {"sizes": "SMALL"}], "id": None, "name": None},
            {},
        )
    ),
    ("query ($x: Boolean = true) { selected { name @include(if: $x) ... on Dog { n: bark(times: 3) } ...D } }"
     "fragment D on Dog { size }", {}),
    (get_introspection_query(), {}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "variables"), OPERATIONS)
async def test_each_construct_is_answered_as_graphql_core_does(text: str, variables: dict[str, Any]) -> None:
    assert (await both(ZOO, text, variables)).data is not None


async def test_a_resolver_is_told_where_it_is_and_what_was_asked() -> None:
    text = "query ($id: ID = 5) { cats { nodes { told told } } echo(id: $id) }"

    data = (await both(ZOO, text)).data

    assert data["cats"]["nodes"][1]["told"][:2] == ["['cats', 'nodes', 1, 'told']", "{'id': '5'}"]
    assert data["cats"]["nodes"][1]["told"][3:] == ["told", "told", "told"]


async def test_what_is_wrong_for_one_of_many_is_told_of_that_one() -> None:
    answer = await both(ZOO, "{ dogs { nodes { name keeper { name } secret } } }")

    assert answer.data["dogs"]["nodes"][1] == {"name": "Ida", "keeper": None, "secret": None}
    assert paths(answer) == [["dogs", "nodes", 1, key] for key in ("keeper", "secret")] + [
        ["dogs", "nodes", 2, "secret"]
    ]


async def test_mutations_go_one_after_the_other_until_one_leaves_nothing() -> None:
    mine, context = (
        execution(ZOO, 'mutation { a: step(name: "a") b: step(name: "b") must c: step(name: "c") }'),
        Context(),
    )

    answer = await mine.run(None, context)

    assert (answer.data, paths(answer)) == (None, [["must"]])
    assert context.calls == ["a begins", "a ends", "b begins", "b ends"]
    assert shown(answer) == shown(await mine._replace(plan=None).run(None, Context()))


# ---------------------------------------------------------------- side by side and together


async def test_siblings_are_resolved_at_the_same_time() -> None:
    async with asyncio.timeout(10):
        assert (await both(ZOO, "{ a b }")).data == {"a": "a", "b": "b"}


async def test_a_field_is_resolved_once_for_the_objects_of_all_lists() -> None:
    context = Context()

    answer = await execution(ZOO, "{ dogs { nodes { keeper { pets { keeper { name } } } } } }").run(None, context)

    assert paths(answer) == [["dogs", "nodes", 1, "keeper"]]
    assert sorted(context.calls) == [
        ("keepers", ["Ann's dog", "keeper of Max's dog"]),
        ("keepers", ["Rex", "Ida", "Max"]),
        ("keepers", ["Tom", "Tom"]),
        ("pets", ["Ann", "keeper of Max"]),
    ]


async def test_executions_of_one_plan_do_not_disturb_each_other() -> None:
    text = "query ($name: String!) { dogs { nodes { keeper { pets { friends(names: [$name]) { name } } } } } }"
    first = execution(ZOO, text, {"name": ""})

    async def answer(name: str) -> Any:
        variables: Any = get_variable_values(ZOO, first.operation.node.variable_definitions or (), {"name": name})
        return (await first._replace(variables=variables).run(None, Context())).data

    answers = await asyncio.gather(*(answer(str(number)) for number in range(100)))

    friends = [one["dogs"]["nodes"][2]["keeper"]["pets"][1]["friends"] for one in answers]
    assert friends == [[{"name": str(number)}] for number in range(100)]


@asynccontextmanager
async def leaving_nothing() -> AsyncIterator[None]:
    """No task; nor anything that was to be awaited, of which there would be a warning."""
    before = asyncio.all_tasks()
    async with asyncio.timeout(10):
        yield
    assert asyncio.all_tasks() == before
    gc.collect()


async def test_siblings_of_what_leaves_nothing_are_cancelled() -> None:
    mine, context = execution(ZOO, "{ never dogs { nodes { friends { name } } } fails }"), Context()

    async with leaving_nothing():
        answer = await mine.run(None, context)

    assert (answer.data, paths(answer), context.ended) == (None, [["fails"]], ["never"])


@pytest.mark.parametrize("seconds", [0, 0.01])
async def test_an_execution_that_takes_too_long_is_cancelled_with_all_that_it_began(seconds: float) -> None:
    mine, context = execution(ZOO, "{ never again: never dogs { nodes { friends { name } } } }"), Context()

    async with leaving_nothing():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds):
                await mine.run(None, context)

    assert context.ended == ["never", "never"][: 2 * (seconds > 0)]


async def test_what_has_not_begun_when_all_is_in_vain_is_not_left_unawaited() -> None:
    root = {"later": unstarted, "must": None, "node": {"later": unstarted, "must": None}}

    async with leaving_nothing():
        partly = await execution(SDL, "{ node { first: later must after: later } }").run(root, Context())
        wholly = await execution(SDL, "{ first: later must after: later }").run(root, Context())

    assert (partly.data, wholly.data) == ({"node": None}, None)


# ---------------------------------------------------------------- the specification, with sources of dictionaries

SDL = build_schema("""
    directive @custom(list: [Int]) on FIELD
    enum Color { RED GREEN }
    scalar Any
    interface Named { name: String }
    type Query implements Named {
      name: String must: String! later: String color: Color any: Any
      node: Query mustNode: Query! list: [Query] listMust: [Query!] mustList: [Query]! mustListMust: [Query!]!
      numbers: [[Int!]!] deep: [[Int]!]! named: Named nameds: [Named!] args(a: Int = 1, b: [String!]): String!
    }
""")


async def unstarted(info: Any) -> str:
    await asyncio.sleep(0)
    return "started"


BUBBLING: list[tuple[str, Any, Any, list[Any]]] = [
    ("{ numbers }", {"numbers": [[1], [2, None]]}, {"numbers": None}, [["numbers", 1, 1]]),
    ("{ deep }", {"deep": [[1], [None, "x"]]}, {"deep": [[1], [None, None]]}, [["deep", 1, 1]]),
    ("{ deep }", {"deep": [[1], None]}, None, [["deep", 1]]),
    ("{ list { must name } }", {"list": [{"must": "a"}, {}, None]}, {"list": [{"must": "a", "name": None}, None, None]},
     [["list", 1, "must"]]),
    ("{ listMust { must } name }", {"listMust": [{}, {"must": "a"}], "name": 1}, {"listMust": None, "name": "1"},
     [["listMust", 0, "must"]]),
    ("{ node { mustNode { mustListMust { must name } } name } }",
     {"node": {"name": Later("n"), "mustNode": Later({"mustListMust": [{"must": "a"}, Later({"must": Later(None)})]})}},
     {"node": None}, [["node", "mustNode", "mustListMust", 1, "must"]]),
    ("{ mustNode { mustList { must } } }", {"mustNode": {"mustList": None}}, None, [["mustNode", "mustList"]]),
    ("{ node { a: must b: must c: must } name }", {"node": {"must": Later(ValueError("no"))}},
     {"node": None, "name": None}, [["node", "a"]]),
    ("{ list { name } node { color } }", {"list": [{"name": ValueError()}, {"name": Later([])}], "node": {"color": 3}},
     {"list": [{"name": None}, {"name": None}], "node": {"color": None}},
     [["list", 0, "name"], ["list", 1, "name"], ["node", "color"]]),
    ("{ list { any } }", {"list": 3}, {"list": None}, [["list"]]),
    ("{ nameds { name } named { name } }", {"nameds": [{"__typename": "Query"}, {}], "named": {"__typename": "Color"}},
     {"nameds": None, "named": None}, [["named"], ["nameds", 1]]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "root", "data", "failed"), BUBBLING)
async def test_null_goes_up_to_where_it_is_allowed_with_one_error(text: str, root: Any, data: Any, failed: Any) -> None:
    answer = await both(SDL, text, root=root)

    assert (answer.data, paths(answer)) == (data, failed)


async def test_merged_fields_and_fragments_keep_the_order_of_keys() -> None:
    text = """{ ...F name node { must } b: name ... on Named { node2: name } node { name ...G } }
              fragment F on Query { any ...G } fragment G on Query { color }"""
    root = {"name": "n", "any": {"z": [1]}, "color": "RED", "node": {"must": "m", "name": "k", "color": "GREEN"}}

    answer = await both(SDL, text, root=root)

    keys = (
        b'{"any":{"z":[1]},"color":"RED","name":"n","node":{"must":"m","name":"k","color":"GREEN"},"b":"n","node2":"n"}'
    )
    assert encode(answer.data) == keys


async def test_arguments_are_as_given_as_null_or_missing() -> None:
    text = 'query ($a: Int, $s: String! = "z") { args x: args(a: $a) y: args(a: null, b: [$s]) z: args(b: "z") }'
    root = {"args": lambda info, **given: str(given)}

    answer = await both(SDL, text, root=root)

    assert [*answer.data.values()] == ["{'a': 1}", "{'a': 1}", "{'a': None, 'b': ['z']}", "{'a': 1, 'b': ['z']}"]


# ---------------------------------------------------------------- conditions and plans

TWO = "query ($a: Boolean!, $b: Boolean = true) { name @include(if: $a) node { must @skip(if: $b) any } }"


async def test_what_conditions_say_makes_different_plans_of_one_operation() -> None:
    root = {"name": "n", "node": {"must": "m", "any": 1}}

    without = await both(SDL, TWO, {"a": False}, root)
    everything = await both(SDL, TWO, {"a": True, "b": False}, root)

    assert without.data == {"node": {"any": 1}}
    assert everything.data == {"name": "n", "node": {"must": "m", "any": 1}}


def plan(operation: CompiledOperation, **given: Any) -> ExecutionPlan | None:
    values = get_variable_values(SDL, operation.node.variable_definitions or (), given)
    assert not isinstance(values, list)
    return operation.plan(values)


def test_the_same_conditions_have_the_same_plan() -> None:
    operation = compiled(SDL, TWO)

    assert plan(operation, a=True) is plan(operation, a=True, b=True) is not plan(operation, a=False)


def test_what_cannot_be_compiled_has_no_plan() -> None:
    assert plan(compiled(SDL, TWO), a=True, b=None) is None
    assert plan(compiled(SDL, "{ name @custom }")) is None


async def test_an_operation_of_too_many_combinations_is_executed_all_the_same() -> None:
    names = [f"v{number}" for number in range(5)]
    fields = " ".join(f"{name}: name @include(if: ${name})" for name in names)
    operation = compiled(SDL, f"query ({' '.join(f'${name}: Boolean!' for name in names)}) {{ {fields} }}")
    combinations = [{name: bool(number >> bit & 1) for bit, name in enumerate(names)} for number in range(32)]

    plans = [plan(operation, **combination) for combination in combinations]

    assert [one is not None for one in plans] == [True] * 16 + [False] * 16
    values: Any = get_variable_values(SDL, operation.node.variable_definitions or (), combinations[16])
    assert (await Execution(operation, None, values).run({"name": "n"}, None)).data == {"v4": "n"}


# ---------------------------------------------------------------- the unusual


async def test_a_cast_object_is_of_the_type_that_it_is_cast_to() -> None:
    names = [one["__typename"] for one in (await both(ZOO, "{ castDogs { __typename name } }")).data["castDogs"]]

    assert names == ["Dog", "Cat"]


async def test_an_argument_has_any_name() -> None:
    assert (await both(ZOO, "{ source(source: 1) }")).data == {"source": 1}


def test_a_directive_with_a_list_has_no_plan() -> None:
    assert plan(compiled(SDL, "query ($list: [Int]) { name @custom(list: $list) }"), list=[1]) is None


def test_what_another_operation_spreads_decides_nothing() -> None:
    document = parse("query A { name } query B($b: Boolean!) { ...F } fragment F on Query { name @include(if: $b) }")
    operation: Any = document.definitions[0]

    assert plan(CompiledOperation(SDL, document, operation)) is not None


async def test_a_value_that_fails_when_it_is_looked_at_is_null() -> None:
    assert (await both(SDL, "{ any }", root={"any": Hostile()})).data == {"any": None}


async def test_a_coroutine_after_a_failure_is_not_left_unawaited() -> None:
    async with leaving_nothing():
        answer = await execution(SDL, "{ mustListMust { name } }").run({"mustListMust": [None, unstarted(None)]}, None)

    assert answer.data is None


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise ValueError(f"no {name}")
