"""A network that freezes: what is sent arrives nowhere, and nobody is told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Self

from resolvers.store.postgres.database_url import parse


@dataclass
class FreezingProxy:
    """Between a server and its database. Connections are accepted even when frozen: the kernel does that."""

    database_url: str
    port: int = 0
    _gates: list[asyncio.Event] = field(default_factory=list)  # of each connection, open while it flows
    _flows: bool = True
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    @asynccontextmanager
    async def to(cls, database_url: str) -> AsyncIterator[Self]:
        proxy = cls(database_url)
        listener = await asyncio.start_server(proxy._connected, "127.0.0.1", 0)
        proxy.port = listener.sockets[0].getsockname()[1]
        try:
            yield proxy
        finally:
            listener.close()
            for task in proxy._tasks:
                task.cancel()
            await asyncio.gather(*proxy._tasks, return_exceptions=True)

    @property
    def url(self) -> str:
        address = parse(self.database_url)
        return f"postgresql://{address.user}:{address.password or ''}@127.0.0.1:{self.port}/{address.database}"

    def freeze(self) -> None:
        """All of it, new connections included."""
        self._flows = False
        self.forget()

    def forget(self) -> None:
        """The connections that there are, as a firewall does; new ones are well."""
        for gate in self._gates:
            gate.clear()

    def thaw(self) -> None:
        self._flows = True
        for gate in self._gates:
            gate.set()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        gate = asyncio.Event()
        self._gates.append(gate)
        if self._flows:
            gate.set()
        there, to_there = await self._open()
        try:
            with suppress(asyncio.CancelledError):
                await asyncio.gather(self._pump(reader, to_there, gate), self._pump(there, writer, gate))
        finally:
            for end in (writer, to_there):
                end.transport.abort()

    async def _open(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        [(host, port)] = parse(self.database_url).hosts
        if host.startswith("/"):
            return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
        return await asyncio.open_connection(host, port)

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        with suppress(OSError):
            while data := await source.read(65_536):
                await gate.wait()
                target.write(data)
                await target.drain()
            await gate.wait()
            target.close()
