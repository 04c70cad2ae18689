"""How processes wake each other to read a table. A wake-up is a channel's name and nothing else, and may be lost.

The tables are the truth, and every process reads them every few seconds anyway. So a wake-up may come twice, or for
nothing; but never before its commit, or listeners would read too early.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import structlog

if TYPE_CHECKING:  # settings are read without it
    from sqlalchemy.ext.asyncio import AsyncSession

PATIENCE: Final = 2.0  # seconds to send the last ones

logger = structlog.get_logger(__name__)


class Channel(StrEnum):
    """What there is to read."""

    EVENTS = "events"
    SAMPLES = "samples"  # of links


PAUSES: Final = {Channel.EVENTS: 0.01, Channel.SAMPLES: 0.05}  # seconds between two: every listener reads each time

Listener: TypeAlias = Callable[[], None]
Ended: TypeAlias = Callable[[], bool]


class Wakeups(Protocol):
    """How this process sends and receives wake-ups."""

    def listen(self, channel: Channel, listener: Listener) -> None:
        """Has it called on each wake-up, and whenever listening begins, as some may have been missed."""

    def listening(self, ended: Listener) -> AbstractAsyncContextManager[Ended]:
        """Receives wake-ups. Yields whether that has ended by itself; `ended` is called then. Raises Unavailable."""

    def notifying(self, session: "AsyncSession", channel: Channel) -> AbstractAsyncContextManager[None]:
        """Wakes others when this session commits, which is done inside."""

    def notify(self, channel: Channel) -> None:
        """Wakes others soon, for what is committed; several calls meanwhile become one wake-up."""

    async def close(self) -> None:
        """Sends what is still to be sent, within `PATIENCE`."""


class Notifier:
    """Sends wake-ups one after the other, with a pause, in which others become a single one."""

    def __init__(self, send: Callable[[Channel], Awaitable[None]]) -> None:
        self._send = send
        self._due: set[Channel] = set()
        self._sending: dict[Channel, asyncio.Task[None]] = {}

    def notify(self, channel: Channel) -> None:
        self._due.add(channel)
        if channel not in self._sending:
            self._sending[channel] = asyncio.create_task(self._run(channel), name=f"wake-ups of {channel}")

    async def close(self) -> None:
        if tasks := list(self._sending.values()):
            _, late = await asyncio.wait(tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()

    async def _run(self, channel: Channel) -> None:
        try:
            while channel in self._due:
                self._due.discard(channel)
                await self._send(channel)
                await asyncio.sleep(PAUSES[channel])
        except Exception:  # the outermost loop of a worker: log and leave it to the next
            logger.exception("waking other processes failed")
        finally:
            del self._sending[channel]
