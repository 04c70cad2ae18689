"""Connections to the database: how one is made, why none can be, and how one whose other end is silent is given up.

A firewall that forgets a connection, or a server that is frozen, resets nothing: whoever waits would wait for ever. So
a statement has a deadline here, too, a little later than the server's own. What is given up, by that or by whoever
asked, is cancelled politely; who does not answer the cancelling is gone, and the connection is cut.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import asyncpg

from resolvers.store.postgres import refusals
from resolvers.store.postgres.database_url import Address, KeepAlive

if TYPE_CHECKING:
    Base = asyncpg.Connection[asyncpg.Record]
else:
    Base = asyncpg.Connection

BEAT_SECONDS: Final = 5.0  # between two looks whether a connection that only listens still hears
ANSWER_SECONDS: Final = 1.0  # for the server's word on a cancelled statement, or on a goodbye
START_UP_PARAMETER: Final = "startup parameter"  # as PgBouncer and its like say it when they take none


class NotConnected(Exception):
    """The message says where to, and why not: for whoever runs the server, not for its clients."""

    def __init__(self, where: Address, error: BaseException) -> None:
        super().__init__(f"The database cannot be reached at {where}: {refusals.explain(error, where)}")
        self.sqlstate: str = getattr(error, "sqlstate", None) or ""


class Connection(Base):
    """One that ends when the other end is silent.

    It overrides two of asyncpg's private methods: the place where every cancelling begins, and the only wait that no
    deadline covers.
    """

    when_silent: Callable[[], None] | None = None
    _loop: asyncio.AbstractEventLoop
    _config: Any
    _transport: Any

    def _cancel_current_command(self, waiter: Any, cancel_waiter: Any = None) -> None:
        super()._cancel_current_command(waiter, cancel_waiter)  # type: ignore[misc]
        self._loop.call_later(ANSWER_SECONDS, self._end_unless, cancel_waiter)

    def _end_unless(self, answered: "asyncio.Future[None]") -> None:
        if not answered.done() and not self.is_closed():
            self.terminate()
            self._tell_of_silence()

    def _tell_of_silence(self) -> None:
        if self.when_silent is not None:
            self.when_silent()

    async def _cleanup_stmts(self) -> None:
        async with asyncio.timeout(self._config.command_timeout):
            await super()._cleanup_stmts()  # type: ignore[misc]

    async def copy_to_table(self, *arguments: Any, **options: Any) -> str:
        """The driver's own deadline does not end a wait for the other end to take more."""
        async with asyncio.timeout(self._config.command_timeout):
            return await super().copy_to_table(*arguments, **options)

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109  asyncpg's
        """Say goodbye, and do not wait long for an answer."""
        try:
            await super().close(timeout=min(timeout or ANSWER_SECONDS, ANSWER_SECONDS))
        except TimeoutError:  # it is cut now
            self._tell_of_silence()


class Connector:
    """Makes connections to one address, with these settings of their sessions."""

    def __init__(self, address: Address, settings: Mapping[str, str], deadline_seconds: float | None) -> None:
        """Without a deadline a statement may take as long as it takes."""
        self.address = address
        self._settings, self._deadline = settings, deadline_seconds
        self._are_sent_at_start = not address.is_behind_pooler

    async def connect(self) -> Connection:
        """Raises NotConnected."""
        try:
            return await self._connected()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, ValueError) as why:
            raise NotConnected(self.address, why) from why

    async def _connected(self) -> Connection:
        if self._are_sent_at_start:
            try:
                return await self._made({**self.address.at_start, **self._settings})
            except asyncpg.PostgresError as error:
                if START_UP_PARAMETER not in str(error):
                    raise
                self._are_sent_at_start = False  # a pooler: it lends one session for all that follows, or is refused
        connection = await self._made(self.address.at_start)
        for name, value in self._settings.items():
            await connection.execute("SELECT set_config($1, $2, false)", name, value)
        return connection

    async def _made(self, at_start: Mapping[str, str]) -> Connection:
        connection: Connection = await asyncpg.connect(
            **self.address.arguments(),
            server_settings=dict(at_start),
            command_timeout=self._deadline,
            connection_class=Connection,
        )
        _keep_alive(connection._transport.get_extra_info("socket"), self.address.keep_alive)  # noqa: SLF001
        return connection


async def send_heartbeats(connection: Connection, every_seconds: float = BEAT_SECONDS) -> None:
    """Until the connection ends: ask now and then, and end it when no answer comes. Nobody else may use it."""
    try:
        while not connection.is_closed():
            await asyncio.sleep(every_seconds)
            await connection.fetchval("SELECT 1", timeout=every_seconds)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
        connection.terminate()


def _keep_alive(of: socket.socket | None, wanted: KeepAlive) -> None:
    """So that the kernel notices that a peer is gone; and firewalls forget nobody who speaks now and then."""
    if of is None or of.family not in (socket.AF_INET, socket.AF_INET6):
        return
    of.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(wanted.is_on))
    options = {
        "TCP_KEEPIDLE": wanted.idle,
        "TCP_KEEPINTVL": wanted.interval,
        "TCP_KEEPCNT": wanted.count,
        "TCP_USER_TIMEOUT": wanted.user_timeout_ms,
    }
    for name, value in options.items():
        if wanted.is_on and hasattr(socket, name):  # not every system has them
            of.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
