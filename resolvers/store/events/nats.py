"""Wake-ups by NATS: no process keeps a PostgreSQL connection to listen, and no commit waits for a NOTIFY.

A message is empty, and published after the commit. While NATS is away every process polls. After it is back, each reads
once, as messages may have been missed, and publishes once what it could not.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

import structlog

from resolvers.base.worker import Worker
from resolvers.store.events.wakeups import PATIENCE, Channel, Ended, Listener, Notifier

if TYPE_CHECKING:
    from nats.aio.client import Client
    from sqlalchemy.ext.asyncio import AsyncSession

PREFIX: Final = "bcom"
LOOKS_LIKE: Final = "must look like nats://user:password@host:4222/prefix, or tls://…, with commas between servers"
PING_SECONDS: Final = 10  # two that stay unanswered end the connection
ANSWER_SECONDS: Final = 2
RETRY_SECONDS: Final = 1.0

logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Server:
    """The address and the credentials of a server."""

    url: str
    credentials: Mapping[str, str] = field(repr=False)  # user and password, a token, or nothing

    @property
    def encrypted(self) -> bool:
        return self.url.startswith("tls:")


def parse(urls: str) -> tuple[list[Server], str]:
    """Returns the servers and the prefix of subjects, the last URL's path. Raises ValueError without the secrets."""
    try:
        *others, last = [urlsplit(url.strip()) for url in urls.split(",")]
        prefix = last.path.strip("/") or PREFIX
        servers = [_server(each) for each in (*others, last)]
    except ValueError:
        raise ValueError(LOOKS_LIKE) from None
    if any(each.path for each in others) or not re.fullmatch(r"[\w-]+(\.[\w-]+)*", prefix, re.ASCII):
        raise ValueError(LOOKS_LIKE)
    return servers, prefix


def _server(url: SplitResult) -> Server:
    if url.scheme not in ("nats", "tls") or not url.hostname or url.port == 0 or url.query or url.fragment:
        raise ValueError
    where = f"{url.scheme}://{url.netloc.rpartition('@')[2]}"
    if url.username is None:
        return Server(where, {})
    if url.password is None:
        return Server(where, {"token": unquote(url.username)})
    return Server(where, {"user": unquote(url.username), "password": unquote(url.password)})


class NatsWakeups:
    """One connection per process, made when it is first needed, and made again whenever it is lost."""

    def __init__(self, urls: str, *, retry_seconds: float = RETRY_SECONDS) -> None:
        """Raises ValueError for invalid URLs, and if the library is missing.

        retry_seconds: between two attempts to connect.
        """
        self._servers, self._prefix = parse(urls)
        self._library = _library()
        self._failures = (OSError, TimeoutError, self._library.errors.Error)
        self._listeners: dict[Channel, Listener] = {}
        self._notifier = Notifier(self._send)
        self._owed: set[Channel] = set()  # not yet accepted by NATS
        self._connection: Client | None = None
        self._next_server = cycle(self._servers)
        self._worker = Worker(
            "NATS",
            self._listen,
            every_seconds=retry_seconds,
            begins_at_once=True,
            first_pause_seconds=retry_seconds,
            outages=self._failures,
        )

    def listen(self, channel: Channel, listener: Listener) -> None:
        self._listeners[channel] = listener

    @asynccontextmanager
    async def listening(self, ended: Listener) -> AsyncIterator[Ended]:
        self._begin()
        yield lambda: False  # it never ends by itself

    @asynccontextmanager
    async def notifying(self, session: "AsyncSession", channel: Channel) -> AsyncIterator[None]:
        yield
        self.notify(channel)

    def notify(self, channel: Channel) -> None:
        self._begin()
        self._notifier.notify(channel)

    async def close(self) -> None:
        await self._notifier.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._owed:  # noqa: ASYNC110  a command has published before it was connected
                    await asyncio.sleep(0.005)
        await self._worker.stop()

    # ---------------------------------------------------------------- sending

    async def _send(self, channel: Channel) -> None:
        self._hear(channel)  # here at once, whatever becomes of NATS
        await self._publish(channel)

    async def _publish(self, channel: Channel) -> None:
        """Publishes now, or when there is another connection."""
        self._owed.add(channel)
        if (connection := self._connection) is None:
            return
        try:
            await connection.publish(self._subject(channel))
            await _taken(connection)
            self._owed.discard(channel)
        except self._failures:
            self._owed.add(channel)
            await self._leave(connection)

    def _subject(self, channel: Channel) -> str:
        return f"{self._prefix}.{channel}"

    # ---------------------------------------------------------------- receiving

    def _hear(self, channel: Channel) -> None:
        if listener := self._listeners.get(channel):
            listener()

    async def _message(self, channel: Channel, _: object) -> None:
        self._hear(channel)

    # ---------------------------------------------------------------- being connected

    def _begin(self) -> None:
        if not self._worker.is_running:
            self._worker.start()

    async def _listen(self) -> None:
        """Stays connected with the next server until that fails. Raises one of `_failures`."""
        async with self._connected(next(self._next_server)) as lost:
            self._worker.recovered()
            await self._catch_up()
            raise await lost

    async def _catch_up(self) -> None:
        for channel in Channel:
            self._hear(channel)
        for channel in tuple(self._owed):
            await self._publish(channel)

    @asynccontextmanager
    async def _connected(self, server: Server) -> "AsyncIterator[asyncio.Future[Exception]]":
        """Connects and subscribes. Yields a future of the error that ends the connection. Raises one of `_failures`."""
        errors = self._library.errors
        lost: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()

        async def failed(error: Exception) -> None:
            if not lost.done():
                lost.set_result(error)

        connection = self._library.NATS()
        try:
            await self._connect(connection, server, failed)
            if lost.done():  # a refused subscription is reported afterwards
                raise lost.result()
            self._connection = connection
            yield lost
        except errors.NoServersError:
            raise (await lost) from None  # which says why
        finally:
            self._connection = None
            await self._leave(connection)

    async def _connect(self, connection: "Client", server: Server, failed: Callable[[Exception], Any]) -> None:
        secrets: dict[str, Any] = {name: partial(self._secret, connection, server, name) for name in server.credentials}
        await connection.connect(
            server.url,
            error_cb=failed,
            closed_cb=partial(failed, self._library.errors.ConnectionClosedError()),
            name="bcom-graphql",
            allow_reconnect=False,  # the library would not say how long it was away, and what it lost
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            ping_interval=PING_SECONDS,
            no_echo=True,
            **secrets,
        )
        self._check_encrypted(connection, server)
        for channel in Channel:
            await connection.subscribe(self._subject(channel), cb=partial(self._message, channel))
        await _taken(connection)

    def _secret(self, connection: "Client", server: Server, name: str) -> str:
        self._check_encrypted(connection, server)
        return server.credentials[name]

    def _check_encrypted(self, connection: "Client", server: Server) -> None:
        """The library encrypts only if the server asks for it, so an impostor would be sent the password."""
        if server.encrypted and not connection._server_info.get("tls_required"):  # noqa: SLF001
            raise self._library.errors.SecureConnRequiredError

    async def _leave(self, connection: "Client") -> None:
        with suppress(*self._failures):
            await connection.close()


async def _taken(connection: "Client") -> None:
    """Waits until the server has everything. Once is not enough: the library's first PING overtakes messages."""
    for _ in range(2):
        await connection.flush(ANSWER_SECONDS)


def _library() -> Any:
    try:
        import nats.errors  # noqa: PLC0415  an extra
    except ImportError as error:
        message = "EVENTS_URL needs the extra `nats`: pip install 'bcom-graphql[nats]'."
        raise ValueError(message) from error
    return nats
