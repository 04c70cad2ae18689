"""`make fuzz`: a minute of generated operations and of garbage; any error that is the server's own fails the run."""

import argparse
import asyncio
import itertools
import random
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, contextmanager
from typing import Any, cast

import httpx

from bcom_graphql import app
from bcom_graphql.services import build_services
from resolvers.accounts import users
from resolvers.base.access import SYSTEM
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from schema.root import schema as contract
from tests import conftest
from tests.fuzz.fleet import build_fleet
from tests.fuzz.garbage import FORMS, PROPER_FORMS, REQUESTS, TALKS
from tests.fuzz.operations import documents, generators_of
from tests.fuzz.report import Report, collect_logs
from tests.fuzz.values import KNOWN, PASSWORD, examples
from tests.fuzz.world import World, send_operation, talk_over
from tests.helpers.support import Api, serving

NEEDS_A_FORM = "Mutation.importMetrics"
LONGEST_STALL = 10.0
GARBAGE_PAUSE = 1.0
AT_ONCE = 8


def main() -> None:
    """Exit code 1 when there are findings."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = parser.parse_args()
    sys.stdout.write(f"fuzzing for {given.seconds:g} s; begun with --seed {given.seed}\n")
    conftest.pytest_configure(cast("Any", None))
    with contextmanager(conftest.postgres.__wrapped__)() as template:  # type: ignore[attr-defined]
        report = asyncio.run(_fuzz(template, given.seconds, given.seed))
    sys.stdout.write(report.shown())
    sys.exit(1 if report.findings else 0)


Lane = Callable[[World, random.Random], Awaitable[None]]
GENERATING = asyncio.Lock()  # hypothesis draws in one thread at a time


async def _drawn(chance: random.Random, make: Callable[..., list[Any]], *arguments: Any) -> list[Any]:
    """In a thread: the server shares our event loop."""
    async with GENERATING:
        return await asyncio.to_thread(make, *arguments, chance.randrange(2**32))


async def _all(sending: list[Awaitable[None]]) -> None:
    at_once = asyncio.Semaphore(AT_ONCE)

    async def one(each: Awaitable[None]) -> None:
        async with at_once:
            await each

    await asyncio.gather(*map(one, sending))


def _operator() -> Lane:
    """A lane of operations. However many of it run, they share one turn, so that no root field is left out."""
    generators = generators_of()
    turn = itertools.cycle(sorted(generators.keys() - {NEEDS_A_FORM}))

    async def operate(world: World, chance: random.Random) -> None:
        while world.is_time_left:
            name = next(turn)
            await world.sign_in()
            generated = await _drawn(chance, documents, name, generators[name], 12)
            await _all([send_operation(world, name, document, chance) for document in generated])

    return operate


async def _litter(world: World, chance: random.Random) -> None:
    """HTTP requests that nobody should send."""
    base = world.api.url.removesuffix("/graphql")
    while await _turn_has_come(world):
        requests = await _drawn(chance, examples, REQUESTS, 40)
        urls = [base + request.pop("path") for request in requests]
        await _all([world.request("HTTP", url=url, **each) for url, each in zip(urls, requests, strict=True)])
        for where, strategy in ((NEEDS_A_FORM, PROPER_FORMS), ("form", FORMS)):
            forms = await _drawn(chance, examples, strategy, 10)
            headers = {**world.callers[0].headers, "graphql-require-preflight": "1"}
            await _all([world.request(where, "POST", world.api.url, headers=headers, **form) for form in forms])


async def _babble(world: World, chance: random.Random) -> None:
    """WebSockets that nobody should open."""
    while await _turn_has_come(world):
        talks = await _drawn(chance, examples, TALKS, 24)
        for talk in talks:
            talk.greeting = chance.choice(world.callers).headers if talk.greeting == {} else talk.greeting
        await _all([talk_over(world, "WebSocket", talk) for talk in talks])


async def _turn_has_come(world: World) -> bool:
    """Garbage is cheap to make and to refuse: it must not crowd operations out."""
    await asyncio.sleep(GARBAGE_PAUSE)
    return world.is_time_left


async def _watch(report: Report) -> None:
    """How long the event loop does nothing else."""
    while True:
        before = time.monotonic()
        await asyncio.sleep(0.05)
        report.stall = max(report.stall, time.monotonic() - before - 0.05)


@asynccontextmanager
async def _world(template: str, report: Report, seconds: float) -> AsyncIterator[World]:
    with conftest.cloned(template) as url:
        settings = conftest.settings_of(url, rate_limits=False, profile="development")
        services = build_services(settings)
        async with serving(app.application(services, settings)) as address, Api.to(address, services) as api:
            collect_logs(report)
            people = {role: await _person(services, role) for role in Role}
            await build_fleet(api, services)
            until = time.monotonic() + seconds
            world = World(api, services, report, until, contract._schema, people)
            await world.sign_in()
            yield world


async def _person(services: Services, role: Role) -> int:
    """With a password, and so a hash that is one."""
    email = f"{role.lower()}@example.com"
    KNOWN.learn([email])
    made = await users.add_user(Context(services, SYSTEM), email, PASSWORD, None, role)
    return cast("int", made.id)


async def _fuzz(template: str, seconds: float, number: int) -> Report:
    report = Report()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: report.logged(told["message"], repr(told)))
    async with _world(template, report, seconds) as world:
        watching = asyncio.create_task(_watch(report))
        report.started = time.monotonic()
        operate = _operator()
        lanes: list[Lane] = [operate, operate, operate, _litter, _babble]
        chances = [random.Random(f"{number} {lane}") for lane in range(len(lanes))]
        await asyncio.gather(*(lane(world, chance) for lane, chance in zip(lanes, chances, strict=True)))
        watching.cancel()
        _tell_of_untried(report)
        await _see_it_alive(world)
    return report


def _tell_of_untried(report: Report) -> None:
    if untried := generators_of().keys() - report.sent.keys():
        sys.stdout.write(f"never sent, give it more --seconds: {', '.join(sorted(untried))}\n")


async def _see_it_alive(world: World) -> None:
    report, document = world.report, {"query": "{ __typename }"}
    try:
        async with asyncio.timeout(LONGEST_STALL):
            response = await world.api.http.post(world.api.url, json=document)
            if response.json() != {"data": {"__typename": "Query"}}:
                report.find("the end", "another answer than ever", document, response.text)
    except (TimeoutError, httpx.TransportError) as error:
        report.find("the end", f"no answer: {error!r}", document, "")
    if report.stall > LONGEST_STALL:
        report.find("the event loop", "stalled", "", f"for {report.stall:.1f} s")


if __name__ == "__main__":
    main()
