"""What an event gives is worked out once for all who ask the same, and each of them gets the same bytes."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import pytest
from graphql import OperationDefinitionNode, parse

from bcom_graphql.graphql.compiled.plan import ExecutionPlan
from bcom_graphql.graphql.documents.payload_variables import encode_variables, find_payload_variables
from bcom_graphql.graphql.single_flight import SingleFlightCache
from resolvers.base.errors import Unavailable
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.lists.loaders import Loaders
from tests.helpers.support import Api, Factory, Socket, id_of

WATCH = """subscription ($filter: AnomalyFilter, $after: String, $wordy: Boolean = true) {
  anomalyDetected(filter: $filter, changes: [ACKNOWLEDGED], after: $after) { cursor
    anomaly { id status target { ... on Link { name network { name } } }
      history @include(if: $wordy) { action } } } }"""
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { __typename } }"


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


@asynccontextmanager
async def sockets(*apis: Api) -> AsyncIterator[list[Socket]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(api.socket()) for api in apis]


async def watched(sockets: list[Socket], *variables: dict[str, Any], document: str = WATCH) -> None:
    """Each with its own variables, and an id of its own."""
    for number, socket in enumerate(sockets):
        own = variables[number] if variables else {}
        await socket.subscribe(document, id=f'"{number}"', **own)


async def told(sockets: list[Socket]) -> list[dict[str, Any]]:
    return [await socket.receive() for socket in sockets]


async def acknowledged(operator: Api, make: Factory) -> str:
    id = id_of(await make.anomaly())
    await operator.run(ACKNOWLEDGE, id=id)
    return id


async def cost(operator: Api, make: Factory, statements: list[str], sockets: list[Socket]) -> int:
    """Statements that an event takes, from the commit to the last subscriber."""
    id = id_of(await make.anomaly())
    statements.clear()
    await operator.run(ACKNOWLEDGE, id=id)
    messages = await told(sockets)
    assert {message["payload"]["data"]["anomalyDetected"]["anomaly"]["id"] for message in messages} == {id}
    return len(statements)


async def test_many_cost_the_database_as_much_as_one(operator: Api, make: Factory, statements: list[str]) -> None:
    async with sockets(*[operator] * 12) as all_of_them:
        await watched(all_of_them[:1])
        alone = await cost(operator, make, statements, all_of_them[:1])
        await watched(all_of_them[1:])

        together = await cost(operator, make, statements, all_of_them)

    assert together == alone


async def test_an_event_is_one_execution(operator: Api, make: Factory, monkeypatch: pytest.MonkeyPatch) -> None:
    executed: list[object] = []
    execute = ExecutionPlan.execute

    async def noted(plan: ExecutionPlan, root: Any, *arguments: Any, **options: Any) -> Any:
        if root is not None:
            executed.append(root)
        return await execute(plan, root, *arguments, **options)

    async with sockets(*[operator] * 12) as all_of_them:
        await watched(all_of_them)
        anomaly = id_of(await make.anomaly())
        monkeypatch.setattr(ExecutionPlan, "execute", noted)
        await operator.run(ACKNOWLEDGE, id=anomaly)
        messages = await told(all_of_them)

    assert len(messages) == 12
    assert len(executed) == 1


async def test_filters_and_cursors_of_their_own_do_not_part_them(
    operator: Api, make: Factory, statements: list[str]
) -> None:
    async with sockets(*[operator] * 8) as all_of_them:
        await watched(all_of_them[:1])
        alone = await cost(operator, make, statements, all_of_them[:1])
        filters = [{"filter": {"minConfidence": number / 20}} for number in range(1, 8)]
        await watched(all_of_them[1:], *filters)

        together = await cost(operator, make, statements, all_of_them)

    assert together == alone


async def test_who_asks_for_something_else_gets_that(operator: Api, make: Factory) -> None:
    async with sockets(operator, operator, operator) as three:
        await watched(three, {}, {"wordy": False}, {"wordy": True})
        await acknowledged(operator, make)

        seen = [message["payload"]["data"]["anomalyDetected"]["anomaly"] for message in await told(three)]

    assert ["history" in anomaly for anomaly in seen] == [True, False, True]


async def test_each_gets_the_same_bytes_behind_its_own_id(operator: Api, make: Factory) -> None:
    async with sockets(operator, operator) as both:
        await watched(both)
        await acknowledged(operator, make)
        texts = [await asyncio.wait_for(socket.connection.recv(), 20) for socket in both]

    assert [json.loads(text)["id"] for text in texts] == ['"0"', '"1"']
    heads, payloads = zip(*(str(text).split('"payload":') for text in texts), strict=True)
    assert len(set(heads)) == 2
    assert len(set(payloads)) == 1


async def test_what_may_do_more_shares_with_its_like_only(
    api: Api, operator: Api, make: Factory, statements: list[str]
) -> None:
    viewer = await api.as_(Role.VIEWER)
    async with sockets(operator, viewer) as both:
        await watched(both[:1])
        alone = await cost(operator, make, statements, both[:1])
        await watched(both[1:])

        assert await cost(operator, make, statements, both) > alone


async def test_who_leaves_amid_it_takes_nobody_along(
    operator: Api, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    history = Loaders._history

    async def slow(self: Loaders, subjects: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await history(self, subjects)

    monkeypatch.setattr(Loaders, "_history", slow)
    async with sockets(operator, operator) as (first, second):
        await watched([first, second])
        acting = asyncio.create_task(acknowledged(operator, make))
        await asyncio.wait_for(begun.wait(), 20)
        await first.connection.close()
        await asyncio.sleep(0.05)
        go_on.set()

        assert "errors" not in (await second.receive())["payload"]
        await acting


async def test_what_failed_is_tried_again_for_who_comes_back(
    operator: Api, make: Factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, away = Loaders._history, True

    async def broken(self: Loaders, subjects: Any) -> Any:
        if away:
            raise Unavailable
        return await history(self, subjects)

    monkeypatch.setattr(Loaders, "_history", broken)
    async with sockets(operator, operator) as (first, second):
        await watched([first])
        await acknowledged(operator, make)
        failed = await first.receive()
        away = False
        await second.send(type="subscribe", id="1", payload={"query": WATCH, "variables": {"after": "0"}})
        again = (await second.receive())["payload"]

    assert failed["type"] == "error", "who goes on behind the event that could not be told would miss it"
    assert failed["payload"][0]["extensions"]["code"] == "SERVICE_UNAVAILABLE"
    assert again["data"]["anomalyDetected"]["anomaly"]["history"] == [{"action": "ACKNOWLEDGED"}]


async def test_who_comes_back_shares_with_who_stayed(
    operator: Api, make: Factory, statements: list[str], services: Services
) -> None:
    async with sockets(operator, operator) as (first, second):
        await watched([first])
        await acknowledged(operator, make)
        seen = await first.receive()
        statements.clear()
        await second.send(type="subscribe", id="1", payload={"query": WATCH, "variables": {"after": "0"}})

        assert (await second.receive())["payload"] == seen["payload"]
        assert not any("audit_entries" in statement for statement in statements)


# ---------------------------------------------------------------- by itself


async def test_work_is_done_once_and_forgotten_when_there_is_too_much() -> None:
    done: list[int] = []

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        done.append(number)
        return number

    shared = SingleFlightCache[int](lambda _: 1, max_entries=2)
    together = await asyncio.gather(*(shared.get_or_run("a", lambda: work(1)) for _ in range(3)))
    for key in "bcb":
        await shared.get_or_run(key, lambda: work(2))
    await shared.get_or_run("a", lambda: work(3))

    assert together == [1, 1, 1]
    assert done == [1, 2, 2, 3]


async def test_large_results_are_forgotten_sooner_and_failures_at_once() -> None:
    done: list[str] = []

    async def work(text: str) -> str:
        done.append(text)
        if text == "fails":
            raise ValueError(text)
        return text

    shared = SingleFlightCache[str](len, max_bytes=10)
    for text in ("small", "small", "x" * 8, "small", "y" * 20, "y" * 20):
        await shared.get_or_run(text, partial(work, text))
    for _ in range(2):
        with pytest.raises(ValueError, match="fails"):
            await shared.get_or_run("fails", partial(work, "fails"))

    assert done == ["small", "x" * 8, "small", "y" * 20, "y" * 20, "fails", "fails"]


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("subscription ($a: Int) { x(a: $a) { y } }", set()),
        ("subscription ($a: Int, $b: Int) { x(a: $a) { y(b: $b) } }", {"b"}),
        ("subscription ($a: Int) { x(a: $a) { y(a: $a) } }", {"a"}),
        ("subscription ($a: Boolean!) { x @include(if: $a) { y } }", {"a"}),
        ("subscription ($a: Int) { ...F } fragment F on S { x(a: $a) { y } }", {"a"}),
        ("subscription ($a: Int, $b: Int) { x(a: $a) { ...F } } fragment F on T { y(b: [{ c: $b }]) }", {"b"}),
        ("subscription ($a: Int) { ... on S { x(a: $a) { y } } }", {"a"}),
        ("query ($a: Int) { x(a: $a) y(a: $a) }", {"a"}),
        ("subscription ($a: Int) { x(a: $a) }", set()),
    ],
)
def test_only_what_reaches_the_selection_tells_subscribers_apart(document: str, expected: set[str]) -> None:
    tree = parse(document)
    operation = tree.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)

    assert find_payload_variables(operation, tree) == expected


def test_the_order_of_variables_tells_nobody_apart() -> None:
    names = frozenset({"a", "b"})

    assert encode_variables(names, {"a": 1, "b": [2], "c": 3}) == encode_variables(names, {"c": 4, "b": [2], "a": 1})
    assert encode_variables(names, {"a": 1}) != encode_variables(names, {"a": 1, "b": None})
