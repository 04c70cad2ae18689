"""The event log: every committed event once and in order, whoever writes, reads, crashes, leaves or comes back."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from random import Random
from typing import Any, TypeVar

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from bcom_graphql.services import USUAL_PACE, Pace, build_services
from resolvers.base.errors import Expired, Lagged, TimedOut, Unavailable
from resolvers.base.roles import Role
from resolvers.context import Services
from resolvers.operations.maintenance import maintain
from resolvers.store.events.database import EventDatabase
from resolvers.store.events.feed import EventFeed
from resolvers.store.events.log import Event, append, forget, publish
from resolvers.store.tables.core import Event as Row
from tests.conftest import settings_of
from tests.graphql.test_event_streams import following
from tests.helpers.support import Api, Factory, id_of, sql, until

TOPIC, QUIET, LAST = "storm", "quiet", "the last one"
WATCH = 'subscription ($after: String = "0") { anomalyDetected(changes: [ACKNOWLEDGED], after: $after) { cursor } }'
ACKNOWLEDGE = "mutation ($id: ID!) { acknowledgeAnomaly(id: $id) { ... on Anomaly { status } } }"
HERE = "FROM pg_stat_activity WHERE datname = current_database()"
AGE = "UPDATE events SET at = now() - interval '7 days 1 minute' WHERE id <= {}"

Failure = TypeVar("Failure", bound=Exception)


def told(subject: str, topic: str = TOPIC) -> Event:
    return Event(topic, "HAPPENED", subject, {})


async def tell(services: Services, *subjects: str, topic: str = TOPIC) -> None:
    """Each in a transaction of its own."""
    for subject in subjects:
        async with services.database.write() as session:
            publish(session, told(subject, topic))


async def committed(services: Services, topic: str = TOPIC) -> list[str]:
    async with services.database.read() as session:
        return list(await session.scalars(select(Row.subject).filter_by(topic=topic).order_by(Row.id)))


async def ids(services: Services) -> list[int]:
    async with services.database.read() as session:
        return list(await session.scalars(select(Row.id).order_by(Row.id)))


async def age(services: Services, until: int) -> None:
    await sql(services, AGE.format(until))


@asynccontextmanager
async def process(url: str, pace: Pace = USUAL_PACE, **given: Any) -> AsyncIterator[Services]:
    """Another one on the same database, with a feed of its own."""
    services = build_services(settings_of(url, **given), pace=pace)
    await services.feed.start()
    try:
        yield services
    finally:
        await services.feed.stop()
        await services.database.close()


@pytest.fixture(autouse=True)
async def _an_empty_log(services: Services) -> None:
    """The template's models were trained, which was told of."""
    await sql(services, "TRUNCATE events RESTART IDENTITY")


@pytest.fixture
async def here(database_url: str) -> AsyncIterator[Services]:
    async with process(database_url) as made:
        yield made


@pytest.fixture
async def there(database_url: str) -> AsyncIterator[Services]:
    async with process(database_url) as made:
        yield made


async def heard(feed: EventFeed, after: str | None = "0", last: str = LAST) -> list[str]:
    """The subjects that a follower hears of, up to the last one."""
    subjects = []
    async with asyncio.timeout(60), aclosing(feed.follow(TOPIC, after)) as events:  # type: ignore[type-var]
        async for event in events:
            subjects.append(event.subject)
            if event.subject == last:
                break
    return subjects


async def rest(events: AsyncIterator[Event], failure: type[Failure]) -> tuple[list[str], Failure]:
    """The subjects that are still heard of, and how it ends."""
    subjects: list[str] = []
    try:
        async with asyncio.timeout(10):
            async for event in events:
                subjects.append(event.subject)  # noqa: PERF401  those before the failure count
    except failure as error:
        return subjects, error
    pytest.fail("there is no end")


async def taken(feed: EventFeed, count: int, after: str = "0", topic: str = TOPIC) -> list[Event]:
    """As many events as that; then the follower leaves."""
    async with asyncio.timeout(10), aclosing(feed.follow(topic, after)) as events:  # type: ignore[type-var]
        return [await anext(events) for _ in range(count)]


# ---------------------------------------------------------------- a storm


WRITERS, ROUNDS, LONGEST_MS = 8, 20, 8  # writers in each process
Fate = Callable[[AsyncSession, Random], Awaitable[None]]


async def pause(random: Random) -> None:
    await asyncio.sleep(random.uniform(0, LONGEST_MS) / 1000)


async def commits(_: AsyncSession, random: Random) -> None:
    """After a while in which others come and go."""
    await pause(random)


async def commits_late(session: AsyncSession, random: Random) -> None:
    """With its ids drawn long before."""
    await append(session)
    await pause(random)


async def fails(_: AsyncSession, random: Random) -> None:
    await pause(random)
    raise RuntimeError


async def fails_late(session: AsyncSession, random: Random) -> None:
    """Its ids are drawn, and nobody's."""
    await append(session)
    await fails(session, random)


FATES: list[Fate] = [commits, commits, commits, commits, commits_late, fails, fails_late]


async def write(services: Services, name: str) -> list[str]:
    """Transactions one after another, some of which fail; what was committed."""
    random, stored = Random(name), []
    for round in range(ROUNDS):
        subjects = [f"{name}.{round}.{number}" for number in range(random.randint(1, 3))]
        with suppress(RuntimeError):
            async with services.database.write() as session:
                await session.execute(text("SELECT pg_current_xact_id()"))  # it has begun, in PostgreSQL's eyes too
                for subject in subjects:
                    publish(session, told(subject))
                    publish(session, told(subject, QUIET if random.random() < 0.1 else "other"))
                await random.choice(FATES)(session, random)
            stored += subjects
    return stored


async def storm(*processes: Services) -> list[str]:
    """Many writers in each process at once; what was committed, in no order."""
    writers = [write(each, f"{place}.{number}") for place, each in enumerate(processes) for number in range(WRITERS)]
    stored = await asyncio.gather(*writers)
    await tell(processes[0], LAST)
    return [subject for subjects in stored for subject in subjects] + [LAST]


async def joined_amid(services: Services, after: str | None) -> list[str]:
    async def begun() -> bool:
        return len(await committed(services)) > 50

    await until(begun)
    return await heard(services.feed, after)


async def resumed_again_and_again(*processes: Services) -> list[str]:
    """By somebody who leaves after a few events each time, and goes on from the last one in the other process."""
    random, subjects, after = Random(7), list[str](), "0"
    while LAST not in subjects:
        async with aclosing(processes[len(subjects) % 2].feed.follow(TOPIC, after)) as events:  # type: ignore[type-var]
            for _ in range(random.randint(1, 9)):
                event = await anext(events)
                subjects.append(event.subject)
                after = event.cursor
                if event.subject == LAST:
                    break
    return subjects


async def looked_on(services: Services) -> list[list[int]]:
    """The ids that came into sight at each of many looks, until the storm is over."""
    looks, known = list[list[int]](), set[int]()
    while True:
        async with services.database.read() as session:
            rows = (await session.execute(select(Row.id, Row.subject).order_by(Row.id))).all()
        looks.append([row.id for row in rows if row.id not in known])
        known.update(looks[-1])
        if any(row.subject == LAST for row in rows):
            return looks


async def test_every_follower_hears_of_every_committed_event_once_and_in_order(here: Services, there: Services) -> None:
    async with asyncio.timeout(75), asyncio.TaskGroup() as tasks:
        whole = [tasks.create_task(heard(each.feed)) for each in (here, there, here)]
        whole.append(tasks.create_task(joined_amid(there, "0")))
        whole.append(tasks.create_task(resumed_again_and_again(here, there)))
        late = [tasks.create_task(joined_amid(each, None)) for each in (here, there)]
        looks = tasks.create_task(looked_on(there))
        stored = await storm(here, there)

    in_order = await committed(here)
    in_sight = [id for look in looks.result() for id in look]
    assert sorted(in_order) == sorted(stored)
    assert len(set(stored)) == len(stored) > 300
    assert in_sight == sorted(in_sight), "nothing came into sight behind what was seen already"
    for follower in whole:
        assert follower.result() == in_order
    for follower in late:
        assert follower.result() == in_order[-len(follower.result()) :]


async def test_with_ids_alone_a_reader_misses_what_commits_late(services: Services) -> None:
    async def naive(after: int) -> list[int]:
        async with services.database.read() as session:
            return list(await session.scalars(select(Row.id).where(Row.id > after).order_by(Row.id)))

    def row(subject: str) -> dict[str, Any]:
        return {"topic": TOPIC, "change": "HAPPENED", "subject": subject, "facts": {}}

    async with services.database.write() as slow:
        await slow.execute(insert(Row), row("first"))
        async with services.database.write() as quick:
            await quick.execute(insert(Row), row("second"))
        seen = await naive(0)
    seen += await naive(seen[-1])

    assert (await ids(services), seen) == ([1, 2], [2])


async def test_a_storm_of_writers_without_the_lock_makes_a_reader_miss_events(
    here: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def append_at_once(session: AsyncSession) -> None:
        """As `append`, but for the lock; and the pause that `commits_late` makes is everybody's."""
        pending: list[Event] = session.info.pop("events", [])
        rows = [{"topic": e.topic, "change": e.change, "subject": e.subject, "facts": e.facts} for e in pending]
        if rows:
            await session.execute(insert(Row), rows)
            await asyncio.sleep(0.002 * (len(rows) % 5))

    monkeypatch.setattr("resolvers.store.events.database.append", append_at_once)
    monkeypatch.setattr("tests.resolvers.store.test_event_log.append", append_at_once)

    async with asyncio.timeout(75), asyncio.TaskGroup() as tasks:
        looks = tasks.create_task(looked_on(here))
        await storm(here)

    in_sight = [id for look in looks.result() for id in look]
    assert in_sight != sorted(in_sight), "what a reader of ids above its last one would not have seen"


# ---------------------------------------------------------------- the lock


async def test_who_comes_second_to_the_lock_waits_and_is_told_second(here: Services, there: Services) -> None:
    async with here.database.write() as slow:
        publish(slow, told("first"))
        await append(slow)
        quick = asyncio.create_task(tell(there, LAST))
        await until(lambda: waits_for_the_lock(here))
        unseen = await committed(here)
    await quick

    assert unseen == []
    assert await heard(here.feed) == await heard(there.feed) == ["first", LAST]


async def waits_for_the_lock(services: Services) -> bool:
    async with services.database.read() as session:
        return bool(await session.scalar(text(f"SELECT count(*) {HERE} AND wait_event = 'advisory'")))


async def test_the_holders_death_lets_the_others_go_on(here: Services, there: Services) -> None:
    async def killed_while_it_holds() -> None:
        async with here.database.write() as holder:
            publish(holder, told("nobody's"))
            await append(holder)
            pid = await holder.scalar(text("SELECT pg_backend_pid()"))
            waiting = asyncio.create_task(tell(there, LAST))
            await until(lambda: waits_for_the_lock(there))
            await sql(there, f"SELECT pg_terminate_backend({pid})")
            await waiting

    with pytest.raises(Unavailable):
        await killed_while_it_holds()

    assert await heard(here.feed) == [LAST]


async def test_who_waits_too_long_for_the_lock_stores_nothing_and_is_told_so(here: Services, database_url: str) -> None:
    impatient = EventDatabase(database_url, statement_seconds=0.1)
    async with here.database.write() as holder:
        publish(holder, told(LAST))
        await append(holder)
        with pytest.raises(TimedOut):
            async with impatient.write() as session:
                publish(session, told("too late"))
    await impatient.close()

    assert await heard(here.feed) == await committed(here) == [LAST]


# ---------------------------------------------------------------- outages


async def test_what_happens_while_feeds_are_disconnected_is_told_once_and_in_order(
    here: Services, there: Services
) -> None:
    subjects = [f"{number}" for number in range(20)]
    followers = [asyncio.create_task(heard(each.feed)) for each in (here, there)]
    await until(lambda: both_listen(here))

    with capture_logs():
        await tell(here, "before")
        async with here.database.write() as session:
            for subject in subjects:
                publish(session, told(subject))
            await session.execute(text(f"SELECT pg_terminate_backend(pid) {HERE} AND query LIKE 'LISTEN%'"))
        await tell(here, "still away")
        await until(lambda: both_listen(here))
        await tell(here, LAST)
        everything = await asyncio.gather(*followers)

    assert everything == [["before", *subjects, "still away", LAST]] * 2


async def both_listen(services: Services) -> bool:
    async with services.database.read() as session:
        return bool(await session.scalar(text(f"SELECT count(*) = 2 {HERE} AND query LIKE 'LISTEN%'")))


# ---------------------------------------------------------------- topics, and followers that are slow


async def test_other_topics_events_neither_reach_a_follower_nor_fill_its_queue(here: Services) -> None:
    here.feed.queue_length = 3
    async with aclosing(here.feed.follow(QUIET, "0")) as quiet:  # type: ignore[type-var]
        waiting = asyncio.ensure_future(anext(quiet))
        await until(lambda: here.feed.followers == 1)
        await tell(here, *"abcdefgh")
        await until(lambda: here.feed.cursor == "8")
        depth = here.feed.depth
        await tell(here, "at last", topic=QUIET)

        assert (depth, (await waiting).subject) == (0, "at last")


async def test_a_slow_follower_hears_what_it_was_handed_and_then_where_to_go_on(here: Services) -> None:
    here.feed.queue_length = 3
    async with aclosing(here.feed.follow(TOPIC, "0")) as slow:  # type: ignore[type-var]
        first = asyncio.ensure_future(anext(slow))
        await until(lambda: here.feed.followers == 1)
        await tell(here, "a")
        subjects = [(await first).subject]
        await tell(here, *"bc")
        await tell(here, "no matter", topic=QUIET)
        await tell(here, *"def")
        await until(lambda: here.feed.cursor == "7")
        others, lagged = await rest(slow, Lagged)

    assert [*subjects, *others] == ["a", "b", "c"]
    assert lagged.resume_after == "4"
    assert [event.subject for event in await taken(here.feed, 3, after="4")] == ["d", "e", "f"]


async def test_who_reads_at_once_hears_all_of_a_transaction_whatever_its_size(here: Services) -> None:
    """As when every link of a network degrades in one batch; a second follower that does not read holds nobody up."""
    storm = [str(number) for number in range(3000)]
    async with aclosing(here.feed.follow(TOPIC, "0")) as idle:  # type: ignore[type-var]
        begun = asyncio.ensure_future(anext(idle))
        hearing = asyncio.create_task(heard(here.feed, last=storm[-1]))
        await until(lambda: here.feed.followers == 2)
        async with here.database.write() as session:
            for subject in storm:
                publish(session, told(subject))
        async with asyncio.timeout(30):
            found = await hearing
        await begun
        _, lagged = await rest(idle, Lagged)

    assert found == storm
    assert 0 < int(lagged.resume_after or 0) < len(storm)


async def test_the_feed_is_settled_when_followers_are_done_with_what_they_were_handed(here: Services) -> None:
    await here.feed.wait_until_idle()
    async with aclosing(here.feed.follow(TOPIC, "0")) as follower:  # type: ignore[type-var]
        waiting = asyncio.ensure_future(anext(follower))
        await until(lambda: here.feed.followers == 1)
        await tell(here, "a")
        await waiting
        await tell(here, "b")
        await until(lambda: here.feed.depth == 2)
        settled = asyncio.create_task(here.feed.wait_until_idle())
        await anext(follower)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(settled), 0.05)
        waiting = asyncio.ensure_future(anext(follower))
        async with asyncio.timeout(5):
            await settled
        waiting.cancel()
        await asyncio.wait([waiting])

    assert (here.feed.depth, here.feed.followers) == (0, 0)


# ---------------------------------------------------------------- retention


async def test_old_events_go_but_for_the_newest_of_them(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resolvers.store.events.log.FORGOTTEN_AT_ONCE", 3)
    await tell(services, *"abcdefghij")
    await age(services, 8)

    await maintain(services)
    once = await ids(services)
    await maintain(services)

    assert once == await ids(services) == [8, 9, 10]


async def test_of_a_log_of_old_events_the_newest_stays_and_ids_go_on(here: Services) -> None:
    await tell(here, *"abc")
    await age(here, 3)
    await maintain(here)
    left = await ids(here)

    await tell(here, LAST)

    assert left == [3]
    assert [event.id for event in await taken(here.feed, 1, after="3")] == [4]


async def test_a_young_event_stays_even_among_old_ones(services: Services) -> None:
    await tell(services, *"abcd")
    await age(services, 4)
    await sql(services, "UPDATE events SET at = now() WHERE id = 3")

    await maintain(services)

    assert await ids(services) == [2, 3, 4]


async def test_events_are_kept_for_as_long_as_the_setting_says(database_url: str) -> None:
    async with process(database_url, event_retention_days=8) as patient:
        await tell(patient, *"abc")
        await age(patient, 3)

        await maintain(patient)

        assert await ids(patient) == [1, 2, 3]


async def test_a_cursor_older_than_what_is_kept_is_refused_and_the_oldest_is_good(here: Services) -> None:
    await tell(here, *"abcd")
    await age(here, 3)
    await maintain(here)

    for cursor in ("1", "2"):
        with pytest.raises(Expired) as expired:
            await taken(here.feed, 1, after=cursor)
    oldest = expired.value.oldest_cursor

    assert oldest == "3"
    assert [event.subject for event in await taken(here.feed, 1, after=oldest)] == ["d"]
    assert [event.subject for event in await taken(here.feed, 2, after="0")] == ["c", "d"]


async def test_a_reader_of_history_notices_that_the_rest_of_it_was_deleted(
    here: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resolvers.store.events.log.BATCH", 2)
    await tell(here, *"abcdefgh")
    await until(lambda: here.feed.cursor == "8")
    async with aclosing(here.feed.follow(TOPIC, "1")) as reader:  # type: ignore[type-var]
        subjects = [(await anext(reader)).subject]
        await age(here, 6)
        await maintain(here)
        others, expired = await rest(reader, Expired)

    assert [*subjects, *others] == ["b", "c"]
    assert expired.oldest_cursor == "6"


async def test_a_process_that_was_away_for_longer_than_events_are_kept_tells_its_followers(here: Services) -> None:
    hooked: list[str] = []
    here.feed.add_hook("other", lambda: hooked.append("called"))
    await tell(here, "a")
    async with aclosing(here.feed.follow(TOPIC, "0")) as follower:  # type: ignore[type-var]
        seen = [(await anext(follower)).subject]
        await until(lambda: here.feed.cursor == "1")
        hooked.clear()
        with capture_logs():
            async with here.database.write() as week:
                for subject in "bcd":
                    publish(week, told(subject))
                await append(week)
                await week.execute(text(AGE.format(4)))
                await forget(week, 7)
            others, lagged = await rest(follower, Lagged)
    with pytest.raises(Expired) as expired:
        await taken(here.feed, 1, after=lagged.resume_after or "")
    await tell(here, LAST)

    assert (seen, others, hooked) == (["a"], [], ["called"])
    assert await heard(here.feed, expired.value.oldest_cursor) == [LAST]


@pytest.fixture
async def forgotten(api: Api, make: Factory) -> tuple[Api, str]:
    """Somebody who saw the first of three events, which retention has since taken with the second."""
    operator = await api.as_(Role.OPERATOR)
    for _ in range(3):
        await operator.run(ACKNOWLEDGE, id=id_of(await make.anomaly()))
    first, _, third = await ids(api.services)
    await age(api.services, third)
    await maintain(api.services)
    return operator, f"{first}"


async def test_over_a_websocket_an_expired_cursor_ends_its_own_operation_only(
    forgotten: tuple[Api, str], make: Factory
) -> None:
    operator, cursor = forgotten
    async with operator.socket() as socket:
        await socket.subscribe(WATCH, id="good", after="3")
        await socket.send(type="subscribe", id="late", payload={"query": WATCH, "variables": {"after": cursor}})
        refusal = await socket.receive()
        await operator.run(ACKNOWLEDGE, id=id_of(await make.anomaly()))
        heard = await socket.receive()

    [error] = refusal["payload"]
    assert (refusal["type"], refusal["id"]) == ("error", "late")
    assert error["extensions"] == {"code": "CURSOR_EXPIRED", "oldestCursor": "3"}
    assert error["message"] == (
        "The events after this cursor are no longer kept. What happened since is in `anomalies` and `recommendations`."
        " Subscribe again with `after: oldestCursor`, or without `after`."
    )
    assert (heard["type"], heard["id"]) == ("next", "good")


async def test_over_an_event_stream_an_expired_cursor_is_an_error_and_the_end(forgotten: tuple[Api, str]) -> None:
    operator, cursor = forgotten
    async with following(operator, last=cursor) as stream:
        failed, end = await stream.rest()

    assert failed.data["errors"][0]["extensions"] == {"code": "CURSOR_EXPIRED", "oldestCursor": "3"}
    assert end.name == "complete"
