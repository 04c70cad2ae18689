"""Compiled execution comes to the answers of graphql-core: to documents that people wrote, and to generated ones."""

import ast
import asyncio
import gc
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import orjson
import pytest
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    OperationDefinitionNode,
    OperationType,
    get_nullable_type,
    is_enum_type,
    is_input_object_type,
    is_list_type,
    is_required_input_field,
    parse,
    type_from_ast,
    validate,
)
from graphql.execution.values import get_variable_values
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema, nodes

from bcom_graphql.graphql.compiled import CompiledOperation, Execution
from bcom_graphql.graphql.json import encode
from schema.root import schema
from tests.helpers.fakes import Context, Fakes
from tests.helpers.places import ROOT

SCHEMA = schema._schema
KEYWORDS = ("query", "mutation", "subscription", "{", "fragment")
INPUTS: dict[str, Any] = {
    "Int": 3,
    "Float": 0.5,
    "String": "text",
    "ID": "id",
    "Boolean": True,
    "DateTime": "2026-01-31T12:00:00Z",
    "FloatArray": [1.5, None],
    "IntArray": [1],
    "TimeArray": [1_769_860_800_000],
    "DirectionArray": ["IB"],
}


def value_for(of: Any) -> Any:
    """Something that a variable of this type takes."""
    inner = get_nullable_type(of)
    if is_list_type(inner):
        return [value_for(inner.of_type)]
    if is_enum_type(inner):
        return next(iter(inner.values))
    if is_input_object_type(inner):
        fields = {name: field for name, field in inner.fields.items() if is_required_input_field(field)}
        fields = fields or dict([*inner.fields.items()][:1])
        return {name: value_for(field.type) for name, field in fields.items()}
    return INPUTS.get(inner.name)


def operations(document: DocumentNode) -> list[OperationDefinitionNode]:
    return [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]


async def compare(document: DocumentNode, seed: int, mischief: int) -> None:
    """Each operation compiled, and as graphql-core does it."""
    for mine, stock, root, fakes in executions(document, seed, mischief):
        with fakes.resolving():
            assert_same(await mine.run(root, Context()), await stock.run(root, Context()))


def executions(document: DocumentNode, seed: int, mischief: int) -> Iterator[tuple[Execution, Execution, Any, Fakes]]:
    """Of each of its operations, with all its conditions true and false: compiled and not, and an event."""
    for operation in operations(document):
        definitions = operation.variable_definitions or ()
        for decided in (True, False):
            given = {one.variable.name.value: value_for(type_from_ast(SCHEMA, one.type)) for one in definitions}
            given = {name: decided if value is True else value for name, value in given.items()}
            variables = get_variable_values(SCHEMA, definitions, given)
            if isinstance(variables, list):  # an Upload, which no JSON can give
                continue
            compiled, fakes = CompiledOperation(SCHEMA, document, operation), Fakes(SCHEMA, seed, mischief)
            with fakes.resolving():
                plan = compiled.plan(variables)
            assert plan is not None
            is_event = operation.operation is OperationType.SUBSCRIPTION
            event = fakes.outcome(plan.root.fields[0].type, "event") if is_event else None
            yield Execution(compiled, plan, variables), Execution(compiled, None, variables), event, fakes


def shown(result: ExecutionResult) -> tuple[bytes, set[bytes], dict[tuple[Any, ...], set[bytes]]]:
    """Data, errors where they happened, and by where they have led to null those that happened further down.

    Of the latter the specification asks for one, whichever comes first; and in whatever order.
    """
    own, below = set[bytes](), defaultdict[tuple[Any, ...], set[bytes]](set)
    for error in result.errors or ():
        path, told = tuple(error.path or ()), orjson.dumps(error.formatted)
        null = nulled(result.data, path)
        if null == path:
            own.add(told)
        else:
            below[null].add(told)
    return encode(result.data), own, below


def nulled(data: Any, path: tuple[Any, ...]) -> tuple[Any, ...]:
    """The part of a path that leads to null."""
    for length, key in enumerate(path):
        if data is None:
            return path[:length]
        data = data[key]
    return path


def assert_same(mine: ExecutionResult, stock: ExecutionResult) -> None:
    (data, own, below), (stock_data, stock_own, stock_below) = shown(mine), shown(stock)
    assert (data, own) == (stock_data, stock_own)
    assert below.keys() == stock_below.keys()
    assert all(below[null] & stock_below[null] for null in below)


# ---------------------------------------------------------------- documents that people wrote


@cache
def written() -> list[DocumentNode]:
    """Every string in the tests and the examples that is a valid document."""
    found = {text for path in files() for text in strings(path) if text.lstrip().startswith(KEYWORDS)}
    documents = []
    for text in sorted(found):
        try:
            document = parse(text)
        except GraphQLError:
            continue
        if operations(document) and not validate(SCHEMA, document):
            documents.append(document)
    return documents


def files() -> Iterator[Path]:
    for folder in ("tests", "examples", "web/src/examples", "docs", "benchmarks"):
        for suffix in ("*.py", "*.graphql", "*.md", "*.ts"):
            yield from (ROOT / folder).rglob(suffix)
    yield ROOT / "README.md"


def strings(path: Path) -> Iterator[str]:
    text = path.read_text()
    if path.suffix == ".py":
        tree = ast.walk(ast.parse(text))
        yield from (node.value for node in tree if isinstance(node, ast.Constant) and isinstance(node.value, str))
    elif path.suffix == ".graphql":
        yield text
    else:
        yield from text.split("```")[1::2]
        yield from text.split("`")[1::2]


def test_there_are_documents_to_compare() -> None:
    assert len(written()) > 150


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_nothing_is_left_unawaited() -> None:
    async def execute_all() -> None:
        for document in written():
            for mine, _, root, fakes in executions(document, 5, 20):
                with fakes.resolving():
                    await mine.run(root, Context())

    asyncio.run(execute_all())
    gc.collect()


@pytest.mark.parametrize(("seed", "mischief"), [(1, 0), (2, 2), (3, 10), (4, 40)])
def test_what_people_wrote_is_answered_as_graphql_core_does(seed: int, mischief: int) -> None:
    async def compare_all() -> None:
        for document in written():
            await compare(document, seed, mischief)

    asyncio.run(compare_all())


# ---------------------------------------------------------------- documents that nobody would write

TIME = st.just(nodes.String("2026-01-31T12:00:00Z"))
NUMBERS = st.just(nodes.List([nodes.Int(1), nodes.Int(2)]))
SCALARS = {
    "DateTime": TIME,
    "Upload": TIME,
    "FloatArray": NUMBERS,
    "IntArray": NUMBERS,
    "TimeArray": NUMBERS,
    "DirectionArray": st.just(nodes.List([nodes.String("IB")])),
}
DOCUMENTS = from_schema(SCHEMA, custom_scalars=SCALARS)


def compare_generated(examples: int) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],  # documents shrink for minutes
        suppress_health_check=[*HealthCheck],
    )
    @given(DOCUMENTS, st.integers(0, 10**6), st.sampled_from([0, 2, 10, 40]))
    def compare_one(text: str, seed: int, mischief: int) -> None:
        asyncio.run(compare(parse(text), seed, mischief))

    compare_one()


def test_generated_documents_are_answered_as_graphql_core_does() -> None:
    compare_generated(50)


@pytest.mark.slow
def test_thousands_of_generated_documents_are_answered_as_graphql_core_does() -> None:
    compare_generated(2_000)
