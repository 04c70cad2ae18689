"""Random trees of objects and values, right and wrong, are answered as graphql-core answers them."""

import asyncio
import gc
import itertools
from collections.abc import Iterator
from enum import Enum
from typing import Any

import pytest
import strawberry
from graphql import (
    ExecutionResult,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bcom_graphql.graphql.json import encode
from tests.graphql.test_compiled import SDL, execution, shown
from tests.helpers.fakes import Later

LEVELS = """
    { list { ...A } }
    fragment A on Query { ...Z node { ...B } mustNode { ...B } list { ...B } listMust { ...B } mustList { ...B }
      mustListMust { ...B } named { __typename name ...B } nameds { ...B } }
    fragment B on Query { ...Z node { ...Z } mustNode { ...Z } list { ...Z } mustListMust { ...Z } nameds { name } }
    fragment Z on Query { name must color numbers deep }
"""


class Raises:
    """Called by graphql-core's default resolver."""

    def __call__(self, info: Any) -> Any:
        raise ValueError(f"raised at {info.field_name}")


WRONG: list[Any] = [None, 2**40, "wrong", [[]], ValueError("returned"), Raises(), {"__typename": "Color"}]


def mostly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Now and then something else."""
    return st.integers(0, 30).flatmap(lambda kind: st.sampled_from(WRONG) if kind == 1 else right)


def many(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return mostly(st.lists(mostly(inner), max_size=2))


def objects(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    leaves = {"must": mostly(st.just("m")), "deep": many(many(st.just(1)))}
    below = {"mustNode": mostly(inner), "mustList": many(inner), "mustListMust": many(inner)}
    nullable = {"name": st.just(2), "color": mostly(st.just("RED")), "numbers": many(many(st.just(1)))}
    also = {"node": inner, "named": inner, "list": many(inner), "listMust": many(inner), "nameds": many(inner)}
    return st.fixed_dictionaries({"__typename": st.just("Query")} | leaves | below, optional=nullable | also)


LEAF = st.fixed_dictionaries({"__typename": st.just("Query"), "must": mostly(st.just("m")), "deep": st.just([])})
TREES = st.fixed_dictionaries({"list": many(objects(objects(LEAF)))})


@strawberry.enum
class Color(Enum):
    RED = "red"


@strawberry.interface
class Named:
    name: str | None


@strawberry.type(name="Query")
class Tree(Named):
    """The same type, of objects whose attributes generated code reads."""

    must: str
    color: Color | None
    numbers: list[list[int] | None] | None
    deep: list[list[int | None]]
    node: "Tree | None"
    must_node: "Tree"
    rows: "list[Tree | None] | None" = strawberry.field(name="list")
    list_must: "list[Tree] | None"
    must_list: "list[Tree | None]"
    must_list_must: "list[Tree]"
    named: Named | None
    nameds: "list[Named] | None"


class Grown(Tree):
    def __init__(self, branches: dict[str, Any]) -> None:
        given = {snake(key): value for key, value in branches.items() if key != "__typename"}
        given = dict.fromkeys(Tree.__annotations__ | {"name": None}) | given
        self.__dict__.update({key: value for key, value in given.items() if not isinstance(value, Raises)})

    def __getattr__(self, name: str) -> Any:
        raise (AttributeError if name.startswith("__") else ValueError)(f"no {name}")


def snake(name: str) -> str:
    return "rows" if name == "list" else "".join(f"_{one.lower()}" if one.isupper() else one for one in name)


def changed(tree: Any, numbers: Iterator[int], rarity: int, *, grown: bool) -> Any:
    """With some of its parts to be awaited, and made of objects instead of dictionaries."""
    if isinstance(tree, dict) and "must" not in tree and "list" not in tree:
        return tree
    if isinstance(tree, dict):
        made: Any = {key: changed(value, numbers, rarity, grown=grown) for key, value in tree.items()}
        return Grown(made) if grown else made | {"__typename": "Query"}
    made = [changed(one, numbers, rarity, grown=grown) for one in tree] if isinstance(tree, list) else tree
    if grown and made == "RED":
        made = Color.RED
    return made if next(numbers) % rarity or isinstance(made, Raises) else Later(made)


FAST = settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=[*HealthCheck])
KINDS = {False: execution(SDL, LEVELS), True: execution(strawberry.Schema(Tree)._schema, LEVELS)}


def executed(tree: Any, rarity: int, *, grown: bool) -> tuple[ExecutionResult, ExecutionResult]:
    """Executes a query on this tree, compiled and by graphql-core."""
    tree = changed(tree, itertools.count(1), rarity, grown=grown)
    one = KINDS[grown]
    return asyncio.run(one.run(tree, None)), asyncio.run(one._replace(plan=None).run(tree, None))


@FAST
@given(TREES, st.booleans())
def test_random_trees_are_answered_as_graphql_core_does(tree: Any, grown: bool) -> None:
    mine, stock = executed(tree, 10**6, grown=grown)

    assert shown(mine) == shown(stock)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    yield
    gc.collect()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <coroutine")  # graphql-core's, of which it leaves some
@FAST
@given(TREES, st.booleans(), st.integers(2, 5))
def test_random_trees_that_have_to_be_awaited_leave_the_same_nulls(tree: Any, grown: bool, rarity: int) -> None:
    """Which of several failures is told of depends on which is the first."""
    mine, stock = executed(tree, rarity, grown=grown)

    assert encode(mine.data) == encode(stock.data)
    assert bool(mine.errors) == bool(stock.errors)
