"""The pool of connections: what the driver's users give back stays at hand, and is nobody's."""

import asyncio

import pytest
from sqlalchemy import text

from resolvers.base.errors import Unavailable
from resolvers.store.postgres.database import Database


async def drive(database: Database) -> int:
    async with database.driver() as connection:
        pid: int = await connection.fetchval("SELECT pg_backend_pid()")
        return pid


async def ask(database: Database) -> int:
    async with database.read() as session:
        return await session.scalar(text("SELECT pg_backend_pid()")) or 0


async def test_the_driver_s_next_user_gets_the_connection_at_hand(database_url: str) -> None:
    database = Database(database_url, pool_size=2)

    pids = [await drive(database) for _ in range(5)]

    assert len(set(pids)) == 1
    assert (database.pool.open, database.pool.used) == (1, 0)
    await database.close()


async def test_connections_at_hand_are_there_for_sessions_too(database_url: str) -> None:
    database = Database(database_url, pool_size=2)
    driven = {*await asyncio.gather(drive(database), drive(database))}

    async with database.read() as one, database.read() as other:
        pids = {await session.scalar(text("SELECT pg_backend_pid()")) for session in (one, other)}

    assert pids == driven
    await database.close()


async def test_those_who_wait_for_a_connection_get_the_next_that_is_given_back(database_url: str) -> None:
    database = Database(database_url, pool_size=2)

    async with asyncio.timeout(9):  # before the pool gives up
        pids = await asyncio.gather(*(work(database) for _ in range(30) for work in (drive, ask)))

    assert len(set(pids)) == 2
    assert database.pool.used == 0
    await database.close()


async def test_a_connection_that_ended_at_hand_is_given_to_nobody(database_url: str) -> None:
    database = Database(database_url, pool_size=2)
    ended = await drive(database)
    other = Database(database_url)
    async with other.read() as session:
        await session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": ended})
    await asyncio.sleep(0.1)

    assert await drive(database) != ended
    assert database.pool.open == 1
    await database.close()
    await other.close()


async def test_who_waits_for_a_connection_too_long_is_told_so(database_url: str) -> None:
    database = Database(database_url, pool_size=2)
    database.engine.pool._timeout = 0.1  # type: ignore[attr-defined]

    async with database.driver(), database.driver():
        for waiting in (drive, ask):
            with pytest.raises(Unavailable):
                await waiting(database)

    assert {await drive(database), await ask(database)}
    assert database.pool.used == 0
    await database.close()


async def test_who_gives_up_waiting_loses_no_connection(database_url: str) -> None:
    database = Database(database_url, pool_size=2)

    for _ in range(20):
        waiting = [asyncio.create_task(drive(database)) for _ in range(6)]
        await asyncio.sleep(0)
        for task in waiting[1::2]:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)

    assert database.pool.used == 0
    assert len(await asyncio.gather(drive(database), drive(database), ask(database))) == 3
    await database.close()


async def test_who_is_told_of_room_and_leaves_tells_the_next(database_url: str) -> None:
    database = Database(database_url, pool_size=1)

    async with database.read() as session:
        await session.execute(text("SELECT 1"))
        first, second = asyncio.create_task(drive(database)), asyncio.create_task(drive(database))
        await asyncio.sleep(0)
    first.cancel()

    assert await asyncio.wait_for(second, 20)
    assert database.pool.used == 0
    await database.close()


async def test_when_the_database_is_away_nobody_waits_for_a_connection(database_url: str) -> None:
    database = Database(database_url.replace("/test_", "/nowhere_"), pool_size=2)

    async with asyncio.timeout(9):
        failed = await asyncio.gather(*(drive(database) for _ in range(12)), return_exceptions=True)

    assert all(isinstance(one, Exception) for one in failed)
    await database.close()
