"""Following links live: each stored sample arrives once, whoever stored it, in whatever order transactions commit."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from ml.catalogue.metrics import CATALOGUE, Metric, TargetKind
from resolvers.base.access import SYSTEM
from resolvers.base.errors import Lagged
from resolvers.base.roles import Role
from resolvers.context import Context, Services
from resolvers.operations.maintenance import maintain
from resolvers.store.tables.core import Link
from resolvers.store.telemetry.live_samples import KEPT, POLL_SECONDS, QUEUE_LENGTH, NewSamples
from resolvers.telemetry import file_import as importing
from resolvers.telemetry.recording import MOST_FOLLOWED
from schema.relay import global_id
from tests.helpers.support import (
    QUIET,
    Api,
    Factory,
    GraphQLFailed,
    Server,
    Socket,
    ago,
    id_of,
    iso,
    ms,
    record,
    record_levels,
    record_samples,
    several,
    sql,
    until,
)

LINK = TargetKind.LINK
WATCH = """subscription ($links: [ID!]!) { linkMetricsRecorded(links: $links) {
  link { id name } direction series { bucketSeconds times columns { metric unit mean min max } } } }"""
IMPORT = """mutation ($file: Upload!) { importMetrics(kind: LINK, file: $file) {
  ... on RecordedMetrics { accepted } } }"""
START = ago(hours=1)
SOON = POLL_SECONDS - 1.5  # told of, and not found by looking


@dataclass(frozen=True)
class Heard:
    """One event: which link and direction, and its receive levels by time (epoch ms)."""

    link: str
    direction: str
    levels: dict[int, float | None]


def heard(event: Any) -> Heard:
    series = event["linkMetricsRecorded"]["series"]
    [levels] = [column["mean"] for column in series["columns"] if column["metric"] == Metric.RX_LEVEL_DBM]
    where = event["linkMetricsRecorded"]
    return Heard(where["link"]["id"], where["direction"], dict(zip(series["times"], levels, strict=True)))


def new(link: Link, levels: dict[datetime, float], direction: str = "OB") -> Heard:
    """What should be heard of these."""
    return Heard(id_of(link), direction, {ms(at): level for at, level in levels.items()})


def levels(*values: float, first: int = 0) -> dict[datetime, float]:
    """One a second."""
    return {START + timedelta(seconds=first + number): value for number, value in enumerate(values)}


@asynccontextmanager
async def following(api: Api, *links: Link) -> AsyncIterator[Socket]:
    """A socket whose server follows these links by now."""
    followers = api.services.live._followers
    before = len(followers)
    async with api.socket() as socket:
        await socket.send(
            type="subscribe", id="1", payload={"query": WATCH, "variables": {"links": [id_of(link) for link in links]}}
        )
        await until(lambda: len(followers) > before)
        yield socket


async def next_of(socket: Socket, seconds: float = SOON) -> Heard:
    return heard(await socket.next(seconds))


async def nothing_but(socket: Socket, operator: Api, fence: Link) -> bool:
    """Whether nothing is heard before what is recorded now of a link that was made last: links are told of in order."""
    last = {datetime.now(UTC): QUIET}
    await record_levels(operator, fence, last)
    return await next_of(socket) == new(fence, last)


@pytest.fixture
async def operator(api: Api) -> Api:
    return await api.as_(Role.OPERATOR)


@pytest.fixture
async def link(make: Factory) -> Link:
    return await make.link()


# ---------------------------------------------------------------- what arrives


async def test_new_samples_arrive_raw_with_their_link_and_direction(operator: Api, link: Link) -> None:
    times = [ms(START), ms(START) + 1, ms(START) + 1001]
    metrics = {"esnoDb": [12.3, None, 0.1], "jitterMs": [None, 7, 8.5], "grade": [9.5, None, 1.25]}

    async with following(operator, link) as socket:
        await record(operator, LINK, link=[link.number] * 3, direction=["IB"] * 3, at=times, **metrics)
        event = (await socket.next())["linkMetricsRecorded"]

    measured = {Metric.ESNO_DB: [12.3, None, 0.1], Metric.JITTER_MS: [None, 7.0, 8.5], Metric.GRADE: [9.5, None, 1.25]}
    values = {metric: measured.get(metric, [None] * 3) for metric in CATALOGUE[LINK].metrics}
    assert event["link"] == {"id": id_of(link), "name": link.name}
    assert event["direction"] == "IB"
    assert event["series"]["bucketSeconds"] is None
    assert event["series"]["times"] == times
    assert event["series"]["columns"] == [
        {"metric": spec.metric, "unit": spec.unit, "mean": values[spec.metric], "min": values[spec.metric]}
        | {"max": values[spec.metric]}
        for spec in CATALOGUE[LINK].specs
    ]


async def test_only_the_links_that_are_followed_are_told_of(operator: Api, make: Factory) -> None:
    first, other, second = [await make.link() for _ in range(3)]

    async with following(operator, first, second) as both, following(operator, second) as one:
        columns = {"direction": ["OB"] * 3, "at": [ms(START)] * 3, "rxLevelDbm": [-41.0, -42.0, -43.0]}
        await record(operator, LINK, link=[first.number, other.number, second.number], **columns)

        assert await next_of(both) == new(first, levels(-41.0))
        assert await next_of(both) == await next_of(one) == new(second, levels(-43.0))
        await record_levels(operator, second, levels(-44.0, first=1))
        assert await next_of(both) == await next_of(one) == new(second, levels(-44.0, first=1))


async def test_each_direction_is_told_of_by_itself(operator: Api, link: Link) -> None:
    columns = {"link": [link.number] * 3, "direction": ["OB", "IB", "OB"], "rxLevelDbm": [-41.0, -42.0, -43.0]}

    async with following(operator, link) as socket:
        await record(operator, LINK, at=[ms(START), ms(START), ms(START) + 1000], **columns)
        events = [await next_of(socket), await next_of(socket)]

    assert events == [new(link, levels(-42.0), "IB"), new(link, levels(-41.0, -43.0))]


async def test_every_subscription_of_a_socket_is_told(operator: Api, link: Link) -> None:
    async with following(operator, link) as socket:
        await socket.subscribe(WATCH, id="2", links=[id_of(link), id_of(link)])
        await record_levels(operator, link, levels(-41.0))
        messages = [await socket.receive(), await socket.receive()]

    assert {message["id"] for message in messages} == {"1", "2"}
    assert [heard(message["payload"]["data"]) for message in messages] == [new(link, levels(-41.0))] * 2


async def test_each_event_shows_the_link_as_it_is_now(operator: Api, link: Link, services: Services) -> None:
    async with following(operator, link) as socket:
        await record_levels(operator, link, levels(-41.0))
        before = await socket.next()
        await sql(services, f"UPDATE links SET name = 'Renamed' WHERE id = {link.id}")
        await record_levels(operator, link, levels(-42.0, first=1))
        after = await socket.next()

    names = [event["linkMetricsRecorded"]["link"]["name"] for event in (before, after)]
    assert names == [link.name, "Renamed"]


async def test_they_arrive_as_server_sent_events_too(operator: Api, link: Link) -> None:
    followers = operator.services.live._followers
    body = {"query": WATCH, "variables": {"links": [id_of(link)]}}
    headers = {"accept": "text/event-stream", **operator.headers}

    async with operator.http.stream("POST", operator.url, json=body, headers=headers) as response:
        await until(lambda: len(followers) == 1)
        await record_levels(operator, link, levels(-41.0, -42.0))
        event = [line async for line in until_data(response.aiter_lines())]

    assert event[:-1] == ["event: next"]
    assert heard(json.loads(event[-1].removeprefix("data: "))["data"]) == new(link, levels(-41.0, -42.0))


async def until_data(lines: AsyncIterator[str]) -> AsyncIterator[str]:
    """Lines of an event stream, up to its first data; comments and empty lines keep it alive."""
    async for line in lines:
        if line.strip(": "):
            yield line
        if line.startswith("data: "):
            return


# ---------------------------------------------------------------- new, and only once


async def test_a_batch_that_is_sent_again_is_not_told_of_again(operator: Api, link: Link) -> None:
    async with following(operator, link) as socket:
        await record_levels(operator, link, levels(-41.0, -42.0))
        first = await next_of(socket)
        again = await record_levels(operator, link, levels(-41.0, -42.0))

        assert first == new(link, levels(-41.0, -42.0))
        assert again["duplicates"] == 2
        assert await nothing_but(socket, operator, link)


async def test_of_a_batch_what_is_stored_of_it_is_told_of(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(-40.0, first=1))
    seconds, values = [0, 1, 2, 2, 3, 4], [-41.0, -42.0, -43.0, -44.0, 9999.0, -45.0]

    async with following(operator, link) as socket:
        answer = await record(
            operator,
            LINK,
            link=[link.number] * 6,
            direction=["OB"] * 6,
            at=[ms(START) + 1000 * second for second in seconds],
            rxLevelDbm=values,
        )
        event = await next_of(socket)

    assert (answer["accepted"], answer["duplicates"], answer["rejectedCount"]) == (3, 2, 1)
    assert event == new(link, levels(-41.0) | levels(-43.0, first=2) | levels(-45.0, first=4))


async def test_late_samples_arrive_too(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(-41.0, first=100))

    async with following(operator, link) as socket:
        await record_levels(operator, link, {**levels(-42.0, -43.0), **levels(-44.0, first=200)})
        among = await next_of(socket)
        await record_levels(operator, link, levels(-45.0, first=50))
        alone = await next_of(socket)

    assert among == new(link, {**levels(-42.0, -43.0), **levels(-44.0, first=200)})
    assert alone == new(link, levels(-45.0, first=50))


async def test_the_samples_of_a_storm_of_batches_arrive_each_once(operator: Api, make: Factory) -> None:
    links = [await make.link() for _ in range(3)]
    for link in links:
        await record_levels(operator, link, levels(-40.0, first=-1))
    batches = [(link, levels(-41.0, -42.0, first=2 * number)) for number in range(8) for link in links]

    async with following(operator, *links) as socket:
        await asyncio.gather(*(record_levels(operator, link, batch) for link, batch in batches))
        samples: list[tuple[str, int]] = []
        while len(samples) < 2 * len(batches):
            event = await next_of(socket)
            samples += [(event.link, at) for at in event.levels]

        assert sorted(samples) == sorted((id_of(link), ms(at)) for link, batch in batches for at in batch)
        assert await nothing_but(socket, operator, links[-1])


# ---------------------------------------------------------------- every way in


async def test_samples_arrive_that_another_process_recorded(server: Server, link: Link) -> None:
    async with several(server, 2) as (here, there):
        viewer, operator = await here.as_(Role.VIEWER), await there.as_(Role.OPERATOR)
        async with following(viewer, link) as socket:
            await record_levels(operator, link, levels(-41.0))
            first = await next_of(socket)
            await record_levels(operator, link, levels(-42.0, first=1))
            second = await next_of(socket)

    assert (first, second) == (new(link, levels(-41.0)), new(link, levels(-42.0, first=1)))


def csv(link: Link, levels: dict[datetime, float]) -> str:
    rows = (f"{link.number},OB,{ms(at)},{level}\n" for at, level in levels.items())
    return "link,direction,at,rxLevelDbm\n" + "".join(rows)


async def test_rows_and_files_arrive_like_columns(operator: Api, link: Link) -> None:
    sample = {"link": link.number, "direction": "OB", "at": iso(START), "rxLevelDbm": -41.0}

    async with following(operator, link) as socket:
        await record_samples(operator, LINK, [sample])
        row = await next_of(socket)
        await upload(operator, csv(link, levels(-42.0, -43.0, first=1)))
        file = await next_of(socket)

    assert (row, file) == (new(link, levels(-41.0)), new(link, levels(-42.0, -43.0, first=1)))


async def upload(operator: Api, content: str) -> None:
    operations = {"query": IMPORT, "variables": {"file": None}}
    answer = await operator.http.post(
        operator.url,
        data={"operations": json.dumps(operations), "map": json.dumps({"0": ["variables.file"]})},
        files={"0": ("metrics.csv", content.encode())},
        headers={**operator.headers, "graphql-require-preflight": "1"},
    )
    assert "errors" not in answer.json()


async def imported(services: Services, path: Path) -> list[int]:
    """How many rows each batch of the file's had that were accepted, when they are imported by another process."""
    with path.open("rb") as file:
        steps = importing.import_file(lambda: Context(services, SYSTEM), LINK, file, path.name)
        return [step.recorded.accepted async for step in steps]


async def test_what_a_command_imports_beside_the_server_is_told_of(
    server: Server, services: Services, link: Link, tmp_path: Path
) -> None:
    (tmp_path / "metrics.csv").write_text(csv(link, levels(-41.0, -42.0)))

    async with server() as api, following(await api.as_(Role.VIEWER), link) as socket:
        accepted = await imported(services, tmp_path / "metrics.csv")

        assert accepted == [2]
        assert await next_of(socket) == new(link, levels(-41.0, -42.0))


async def test_what_nobody_tells_of_is_found_by_looking(
    server: Server, services: Services, link: Link, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(services.live, "notify", lambda: None)
    (tmp_path / "metrics.csv").write_text(csv(link, levels(-41.0, -42.0)))

    async with server() as api, following(await api.as_(Role.VIEWER), link) as socket:
        accepted = await imported(services, tmp_path / "metrics.csv")

        assert accepted == [2]
        assert await next_of(socket, 2 * POLL_SECONDS) == new(link, levels(-41.0, -42.0))


# ---------------------------------------------------------------- transactions


async def on_storing(services: Services, link: Link, does: str) -> None:
    """Have it happen last in each transaction that stores samples of this link, until the trigger is dropped."""
    await sql(
        services,
        f"CREATE FUNCTION storing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {does}; RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER storing AFTER INSERT ON stored_batches DEFERRABLE INITIALLY DEFERRED"
        f" FOR EACH ROW WHEN ({link.id} = ANY (NEW.links)) EXECUTE FUNCTION storing()",
    )


@asynccontextmanager
async def holding(services: Services, lock: str) -> AsyncIterator[AsyncSession]:
    """A transaction that takes this lock, and has it until its end."""
    async with services.database.write() as session:
        await session.execute(text(lock))
        yield session


async def until_one_waits_for(services: Services, locktype: str) -> None:
    """A transaction of this database, for a lock of this type."""
    query = text(
        "SELECT EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid)"
        " WHERE datname = current_database() AND locktype = :locktype AND NOT granted)"
    )
    async with services.database.read() as session:

        async def waits() -> bool:
            return bool(await session.scalar(query, {"locktype": locktype}))

        await until(waits)


async def test_what_is_rolled_back_is_not_told_of(operator: Api, link: Link, services: Services) -> None:
    await on_storing(services, link, "RAISE 'no'")

    async with following(operator, link) as socket:
        with capture_logs(), pytest.raises(GraphQLFailed):
            await record_levels(operator, link, levels(-41.0, -42.0))
        await sql(services, "DROP TRIGGER storing ON stored_batches")
        await record_levels(operator, link, levels(-43.0, first=1))

        assert await next_of(socket) == new(link, levels(-43.0, first=1))


async def test_batches_that_commit_in_the_opposite_order_of_their_start_arrive_both(
    server: Server, services: Services, make: Factory
) -> None:
    slow, quick = await make.link(), await make.link()
    await on_storing(services, slow, "PERFORM pg_advisory_xact_lock(4711)")

    async with several(server, 2) as (here, there):
        viewer, operator = await here.as_(Role.VIEWER), await there.as_(Role.OPERATOR)
        async with following(viewer, slow, quick) as socket:
            async with holding(services, "SELECT pg_advisory_xact_lock(4711)"):
                recording = asyncio.create_task(record_levels(operator, slow, levels(-41.0)))
                await until_one_waits_for(services, "advisory")
                await record_levels(operator, quick, levels(-42.0))
                first = await next_of(socket)
                still_running = not recording.done()
            await recording
            second = await next_of(socket)

            assert still_running
            assert (first, second) == (new(quick, levels(-42.0)), new(slow, levels(-41.0)))
            assert await nothing_but(socket, operator, quick)

    async with services.database.connection() as connection:
        query = "SELECT links FROM stored_batches ORDER BY transaction_id"
        begun = [links for (links,) in await connection.exec_driver_sql(query)]
    # So a reader of whatever lies beyond the highest number that it has seen would have missed the first.
    assert begun[:2] == [[slow.id], [quick.id]]


# ---------------------------------------------------------------- what is refused


async def refusal(api: Api, links: Iterable[object]) -> str:
    """The code of the error that ends the subscription."""
    async with api.socket() as socket:
        await socket.send(type="subscribe", id="1", payload={"query": WATCH, "variables": {"links": [*links]}})
        answer = await socket.receive()
        assert answer["type"] == "error"
        [error] = answer["payload"]
        code: str = error["extensions"]["code"]
        return code


async def test_who_is_not_signed_in_learns_nothing(api: Api, link: Link) -> None:
    assert await refusal(api, [id_of(link)]) == "UNAUTHENTICATED"
    assert await refusal(api, [global_id("Link", 999_999_999)]) == "UNAUTHENTICATED"
    assert await refusal(api, []) == "UNAUTHENTICATED"


async def test_what_is_no_link_is_not_found(operator: Api, make: Factory, link: Link) -> None:
    site = await make.site()

    assert await refusal(operator, [global_id("Link", 999_999_999)]) == "NOT_FOUND"
    assert await refusal(operator, [id_of(link), global_id("Link", 999_999_999)]) == "NOT_FOUND"
    assert await refusal(operator, [id_of(site)]) == "NOT_FOUND"
    assert await refusal(operator, [global_id("Site", link.id)]) == "NOT_FOUND"
    assert await refusal(operator, ["nonsense"]) == "NOT_FOUND"
    assert await refusal(operator, [global_id("Link", 2**40)]) == "NOT_FOUND"


async def test_one_to_a_thousand_links_may_be_followed(operator: Api, make: Factory, services: Services) -> None:
    last = await make.link()
    await sql(
        services,
        "INSERT INTO links (number, name, network_id, site_id)"
        " SELECT 1000000 + n, 'Link', network_id, site_id"
        f" FROM links, generate_series(1, {MOST_FOLLOWED}) AS n",
    )
    async with services.database.connection() as connection:
        found = await connection.exec_driver_sql("SELECT id FROM links ORDER BY id")
        ids = [global_id("Link", id) for (id,) in found]

    assert await refusal(operator, []) == "BAD_USER_INPUT"
    assert await refusal(operator, ids) == "BAD_USER_INPUT"
    async with operator.socket() as socket:
        await socket.subscribe(WATCH, links=ids[:MOST_FOLLOWED])
        await record_levels(operator, last, levels(-41.0))

        assert await next_of(socket) == new(last, levels(-41.0))


# ---------------------------------------------------------------- falling behind, and leaving


async def test_a_slow_reader_is_told_that_it_lags_and_the_others_go_on(api: Api, operator: Api, link: Link) -> None:
    api.services.live.queue_length = 2
    slow = api.services.live.follow(frozenset({link.id}))
    reading = asyncio.ensure_future(anext(slow))
    await until(lambda: len(api.services.live._followers) == 1)

    async with following(operator, link) as socket:
        for number in range(5):
            await record_levels(operator, link, levels(-41.0, first=number))
            assert await next_of(socket) == new(link, levels(-41.0, first=number))
        read = [await reading, await anext(slow), await anext(slow)]
        with pytest.raises(Lagged) as lagged:
            await anext(slow)

    assert [times(one) for one in read] == [[ms(START) + 1000 * number] for number in range(3)]
    assert lagged.value.resume_after is None


def times(stored: list[NewSamples]) -> list[int]:
    return [at for one in stored for at in one.series.times.tolist()]


async def test_a_client_that_falls_behind_may_subscribe_again(operator: Api, link: Link) -> None:
    async with following(operator, link) as socket:
        operator.services.live.queue_length = 0  # one look is one too many
        await record_levels(operator, link, levels(-41.0))
        lagged = await socket.receive()
    operator.services.live.queue_length = QUEUE_LENGTH

    async with following(operator, link) as socket:
        await record_levels(operator, link, levels(-42.0, first=1))

        assert (lagged["type"], lagged["payload"][0]["extensions"]) == ("error", {"code": "LAGGED"})
        assert "`series`" in lagged["payload"][0]["message"]
        assert await next_of(socket) == new(link, levels(-42.0, first=1))


async def test_who_could_not_be_told_for_longer_than_batches_are_kept_is_told_so(operator: Api, link: Link) -> None:
    async with following(operator, link) as socket:
        operator.services.live._read_at -= KEPT.total_seconds() + 1
        await record_levels(operator, link, levels(-41.0))

        lagged = await socket.receive()

    assert lagged["payload"][0]["extensions"] == {"code": "LAGGED"}


async def test_nothing_is_kept_for_who_has_left(operator: Api, make: Factory, link: Link) -> None:
    followers = operator.services.live._followers
    async with following(operator, link) as socket, following(operator, await make.link()):
        await record_levels(operator, link, levels(-41.0))
        await socket.next()
        await socket.send(type="complete", id="1")
        await until(lambda: len(followers) == 1)
    await until(lambda: not followers)


async def test_what_is_stored_while_nobody_follows_is_not_told_of_later(operator: Api, link: Link) -> None:
    await record_levels(operator, link, levels(-41.0))

    async with following(operator, link) as socket:
        await record_levels(operator, link, levels(-42.0, first=1))
        first = await next_of(socket)
    await until(lambda: not operator.services.live._followers)
    await record_levels(operator, link, levels(-43.0, first=2))
    async with following(operator, link) as socket:
        assert first == new(link, levels(-42.0, first=1))
        assert await nothing_but(socket, operator, link)


# ---------------------------------------------------------------- housekeeping, and outages


async def test_batches_are_forgotten_after_five_minutes(operator: Api, make: Factory, services: Services) -> None:
    old, fresh = await make.link(), await make.link()
    for one in (old, fresh):
        await record_levels(operator, one, levels(-41.0))
    for one, age in ((old, "5 minutes 1 second"), (fresh, "4 minutes")):
        await sql(
            services, f"UPDATE stored_batches SET stored_at = now() - interval '{age}' WHERE links = '{{{one.id}}}'"
        )

    await maintain(services)

    async with services.database.connection() as connection:
        kept = [links for (links,) in await connection.exec_driver_sql("SELECT links FROM stored_batches")]
    assert kept == [[fresh.id]]


async def test_what_is_recorded_during_an_outage_arrives_once(
    server: Server, services: Services, make: Factory
) -> None:
    link, fence = await make.link(), await make.link()
    async with server() as here, server() as there:
        viewer, operator = await here.as_(Role.VIEWER), await there.as_(Role.OPERATOR)
        async with following(viewer, link, fence) as socket:
            await record_levels(operator, link, levels(-41.0))
            before = await next_of(socket)

            with capture_logs():
                async with services.database.connection() as connection:
                    ended = await connection.exec_driver_sql(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                    )
                    assert ended.rowcount >= 2
                await persist(operator, link, levels(-42.0, -43.0, first=1))
                during = await next_of(socket)

            await record_levels(operator, link, levels(-44.0, first=3))
            after = await next_of(socket)

            assert (before, during) == (new(link, levels(-41.0)), new(link, levels(-42.0, -43.0, first=1)))
            assert after == new(link, levels(-44.0, first=3))
            assert await nothing_but(socket, operator, fence)


async def test_what_a_look_failed_to_read_is_read_by_the_next(operator: Api, link: Link, services: Services) -> None:
    await on_storing(services, link, "PERFORM pg_advisory_xact_lock(4711)")

    async with following(operator, link) as socket:
        async with holding(services, "SELECT pg_advisory_xact_lock(4711)"):
            recording = asyncio.create_task(record_levels(operator, link, levels(-41.0)))
            await until_one_waits_for(services, "advisory")
            locking = asyncio.create_task(interrupt_the_next_reader(services))
            await until_one_waits_for(services, "relation")
        await asyncio.gather(recording, locking)

        assert await next_of(socket) == new(link, levels(-41.0))


async def interrupt_the_next_reader(services: Services) -> None:
    """Have it wait for the samples, which it has just been told of, and lose its connection over it."""
    waiting = "FROM pg_locks WHERE locktype = 'relation' AND NOT granted AND relation = 'link_samples'::regclass"
    async with holding(services, "LOCK TABLE link_samples") as session:

        async def ended() -> bool:
            return (await session.execute(text(f"SELECT pg_terminate_backend(pid) {waiting}"))).first() is not None

        await until(ended)


async def persist(operator: Api, link: Link, levels: dict[datetime, float]) -> None:
    """Record them again and again until it succeeds; each attempt may meet a connection that was lost."""
    for _ in range(50):
        with suppress(GraphQLFailed):
            await record_levels(operator, link, levels)
            return
    raise AssertionError("the database stays away")
