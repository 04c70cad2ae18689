"""Wake-ups by PostgreSQL's NOTIFY and LISTEN. Each process keeps one connection to listen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from resolvers.base.errors import ClientError
from resolvers.store.events.wakeups import Channel, Ended, Listener, Notifier
from resolvers.store.postgres.connection import send_heartbeats

if TYPE_CHECKING:
    from resolvers.store.postgres.database import Database


class PostgresWakeups:
    """A wake-up is part of its transaction."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._listeners: dict[Channel, Listener] = {}
        self._notifier = Notifier(self._send)

    def listen(self, channel: Channel, listener: Listener) -> None:
        self._listeners[channel] = listener

    @asynccontextmanager
    async def listening(self, ended: Listener) -> AsyncIterator[Ended]:
        async with self._database.connection() as connection:
            raw: Any = (await connection.get_raw_connection()).driver_connection
            raw.add_termination_listener(lambda *_: ended())
            for channel, listener in self._listeners.items():
                await raw.add_listener(_name_channel(channel), lambda *_, listener=listener: listener())
                listener()
            beating = asyncio.create_task(send_heartbeats(raw), name="heartbeat of the listener")
            try:
                yield raw.is_closed
            finally:
                beating.cancel()

    @asynccontextmanager
    async def notifying(self, session: AsyncSession, channel: Channel) -> AsyncIterator[None]:
        await session.execute(text(f"NOTIFY {_name_channel(channel)}"))
        yield

    def notify(self, channel: Channel) -> None:
        self._notifier.notify(channel)

    async def close(self) -> None:
        await self._notifier.close()

    async def _send(self, channel: Channel) -> None:
        with suppress(ClientError):  # listeners poll then
            async with self._database.driver() as connection:
                await connection.execute(f"NOTIFY {_name_channel(channel)}")


def _name_channel(channel: Channel) -> str:
    return f"bcom_{channel}"
