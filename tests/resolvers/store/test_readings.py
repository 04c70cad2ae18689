"""Searches, series and statistics have half of the pool: whoever asks for many of them keeps nobody from recording."""

import asyncio

from resolvers.base.roles import Role
from tests.helpers.support import Api, Factory, Server, ago, record_levels, until

SEARCH = '{ links(search: "Link") { nodes { number } } }'
SERIES = "query ($n: Int!) { link(number: $n) { series(direction: OB) { times } } }"


async def test_while_readings_have_all_of_their_places_others_are_served_and_then_they_are(
    api: Api, make: Factory
) -> None:
    services, link = api.services, await make.link()
    viewer, operator = await api.as_(Role.VIEWER), await api.as_(Role.OPERATOR)
    places = services.database.pool.size // 2
    for _ in range(places):
        await services.read_turns.acquire("others", preferred=False)

    waiting = [asyncio.create_task(viewer.run(SEARCH)) for _ in range(3 * services.database.pool.size)]
    waiting.append(asyncio.create_task(viewer.run(SERIES, n=link.number)))
    recorded = await record_levels(operator, link, {ago(minutes=1): -45.0})
    listed = await viewer.run("{ links { nodes { number } } }")
    still_waiting = [task for task in waiting if not task.done()]
    for _ in range(places):
        services.read_turns.release()
    answers = await asyncio.gather(*waiting)

    assert recorded["accepted"] == 1
    assert listed == {"links": {"nodes": [{"number": link.number}]}}
    assert len(still_waiting) == len(waiting)
    assert all("links" in answer or "link" in answer for answer in answers)


async def test_who_gives_up_waiting_leaves_the_place_to_others(server: Server) -> None:
    async with server(max_seconds=0.3) as api:
        services, viewer = api.services, await api.as_(Role.VIEWER)
        places = services.database.pool.size // 2
        for _ in range(places):
            await services.read_turns.acquire("others", preferred=False)

        [error] = (await viewer.execute(SEARCH))["errors"]
        for _ in range(places):
            services.read_turns.release()

        assert error["extensions"]["code"] == "TIMEOUT"
        assert await viewer.run(SEARCH) == {"links": {"nodes": []}}


async def test_who_finds_too_many_waiting_is_told_to_come_again(api: Api) -> None:
    turns, viewer = api.services.read_turns, await api.as_(Role.VIEWER)
    at_once = api.services.database.pool.size // 2
    others = [asyncio.create_task(turns.acquire("others", preferred=False)) for _ in range(at_once + 1000)]
    await asyncio.sleep(0)
    mine = asyncio.create_task(turns.acquire(f"user {viewer.token}", preferred=False))
    turned_away = lambda: [task for task in others if task.done() and task.exception() is not None]  # noqa: E731
    await until(lambda: bool(turned_away()))

    assert len(turned_away()) == 1  # the crowd's last, and not who came alone
    assert turned_away()[0].exception().extensions == {"code": "SERVICE_UNAVAILABLE", "retryAfter": 10}
    assert not mine.done()
    for task in (*others, mine):
        task.cancel()
    await asyncio.gather(*others, mine, return_exceptions=True)
