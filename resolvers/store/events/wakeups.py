"""How processes tell each other to look: a wake-up is a channel's name and nothing else, and may be lost.

The tables are the truth, and whoever hears nothing looks at them every few seconds. So a wake-up may come twice, or for
nothing; but never before the commit that it tells of, or its hearers would look too early.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import structlog

if TYPE_CHECKING:  # settings are read without it
    from sqlalchemy.ext.asyncio import AsyncSession

PATIENCE: Final = 2.0  # seconds that sending the last ones may take

logger = structlog.get_logger(__name__)


class Channel(StrEnum):
    """What there is to look at."""

    EVENTS = "events"
    SAMPLES = "samples"  # of links


PAUSES: Final = {Channel.EVENTS: 0.01, Channel.SAMPLES: 0.05}  # seconds between two: every hearer looks each time

Listener: TypeAlias = Callable[[], None]
Ended: TypeAlias = Callable[[], bool]


class Wakeups(Protocol):
    """One per process."""

    def listen(self, channel: Channel, listener: Listener) -> None:
        """Have it called on each wake-up, and when listening begins, again too: whatever was missed is looked for."""

    def listening(self, ended: Listener) -> AbstractAsyncContextManager[Ended]:
        """Hear, until it ends; should it end by itself, it is said so. Raises Unavailable."""

    def notifying(self, session: "AsyncSession", channel: Channel) -> AbstractAsyncContextManager[None]:
        """Tell of this session's commit, which is done inside."""

    def notify(self, channel: Channel) -> None:
        """Tell of what is committed: soon, and once for all that is told meanwhile."""

    async def close(self) -> None:
        """Send what is to be sent still, if that takes no longer than `PATIENCE`."""


class Notifier:
    """Sends at once, but one after the other, with a pause: what is told meanwhile becomes a single other one."""

    def __init__(self, send: Callable[[Channel], Awaitable[None]]) -> None:
        self._send = send
        self._due: set[Channel] = set()
        self._sending: dict[Channel, asyncio.Task[None]] = {}

    def notify(self, channel: Channel) -> None:
        self._due.add(channel)
        if channel not in self._sending:
            self._sending[channel] = asyncio.create_task(self._run(channel), name=f"telling of {channel}")

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
            logger.exception("telling other processes failed")
        finally:
            del self._sending[channel]
