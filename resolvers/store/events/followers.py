"""The followers of a topic: each has a queue of events, or a receiver that they are pushed to.

A follower is whoever reads a topic: a client's subscription, or one of the server's own workers.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from resolvers.base.counters import LAGGED
from resolvers.base.errors import Lagged
from resolvers.store.events.log import Event

Value = TypeVar("Value")


class Receiver(Protocol):
    """Takes a follower's events over: what `broadcast.Receiver` is to the protocol server, which is unknown here."""

    def receive(self, event: Event, tell: Callable[[Event], Any]) -> None:
        """Accepts an event. tell: makes the value that is sent of it."""

    def lose(self, why: Exception) -> None:
        """Accepts the reason why no event follows."""


@dataclass(frozen=True, slots=True)
class _Lost:
    """The last entry of a queue: the follower got no event after this position."""

    position: int


class Follower:
    """A follower of one topic, by a queue until a receiver takes it over."""

    __slots__ = ("_lost", "_on_leave", "_pushed", "_queue", "behind")

    def __init__(self, on_leave: Callable[["Follower"], None]) -> None:
        self._on_leave = on_leave
        self._queue: asyncio.Queue[Event | _Lost] = asyncio.Queue()
        self._pushed: _Pushed | None = None
        self._lost = False
        self.behind = 0  # events that it has not finished

    def hand(self, event: Event, before: int, most: int) -> None:
        """Gives it an event of its topic.

        before: the log's position before this event. most: unfinished events with which it is too far behind.
        """
        if self._lost:
            return
        if self.behind >= most:  # a slow reader must neither hold up the others nor fill the memory
            self.lose(before, event.topic)
            return
        self.behind += 1
        if self._pushed is None:
            self._queue.put_nowait(event)
        elif not self._pushed.take(event):
            self.behind -= 1

    def lose(self, position: int, topic: str) -> None:
        """Ends the follower, and counts it as lagged.

        position: the log's, not the topic's, as the last event of a quiet topic may be deleted already.
        """
        if self._lost:
            return
        self._lost = True
        LAGGED.labels(topic).inc()
        if self._pushed is None:
            self._queue.put_nowait(_Lost(position))
        else:
            self._pushed.lose(position)

    @property
    def is_lost(self) -> bool:
        """Whether it was ended for being too far behind."""
        return self._lost

    def done(self) -> None:
        """Says that one more event is finished."""
        self.behind -= 1

    def leave(self) -> None:
        self._on_leave(self)
        self._pushed = None

    def close(self) -> None:
        """Ends the follower with its stream, unless it was taken over."""
        if self._pushed is None:
            self.leave()

    def push(self, pushed: "_Pushed") -> None:
        """Pushes from now on, instead of queueing."""
        del self._queue
        self._pushed = pushed

    async def events(self, position: int, *, pushes: bool) -> "Events":
        """Yields the events after a position; with `pushes`, once, a `CaughtUp` when the queue is empty.

        An event is finished when the next one is asked for. Raises Lagged.
        """
        while True:
            if pushes and self._queue.empty():
                pushes = False
                yield CaughtUp(self, position)
            entry = await self._queue.get()
            if isinstance(entry, _Lost):
                raise Lagged(str(max(position, entry.position)))
            if entry.id > position:
                position = entry.id
                yield entry
            self.done()


def _everything(_: Event) -> bool:
    return True


def _as_it_is(event: Event) -> Any:
    return event


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Says that a follower has seen everything, and may be taken over by a receiver.

    admits: which events it gets. tell: makes the value of an event, once for all receivers.
    """

    follower: Follower
    position: int
    admits: Callable[[Event], bool] = _everything
    tell: Callable[[Event], Any] = _as_it_is

    def take_over(self, receiver: Receiver) -> Follower:
        """Pushes to the receiver from now on. Call it before anything else is awaited, and `leave` at the end."""
        self.follower.push(_Pushed(receiver, self.position, self.admits, self.tell))
        return self.follower


@dataclass(frozen=True, slots=True)
class _Pushed:
    receiver: Receiver
    position: int
    admits: Callable[[Event], bool]
    tell: Callable[[Event], Any]

    def take(self, event: Event) -> bool:
        """Returns whether the receiver got the event."""
        try:
            admitted = event.id > self.position and self.admits(event)
        except Exception as error:  # noqa: BLE001  its own: the others must hear of the event
            self.receiver.lose(error)
            return True
        if admitted:
            self.receiver.receive(event, self.tell)
        return admitted

    def lose(self, position: int) -> None:
        self.receiver.lose(Lagged(str(max(position, self.position))))


Events = AsyncGenerator[Event | CaughtUp, None]


async def filter_events(stream: Events, admits: Callable[[Event], bool]) -> Events:
    """Yields the events of a stream that are admitted, also once it is taken over."""
    async with aclosing(stream):
        async for event in stream:
            if isinstance(event, CaughtUp):
                yield replace(event, admits=admits)
            elif admits(event):
                yield event


async def map_events(stream: Events, tell: Callable[[Event], Value]) -> AsyncGenerator[Value | CaughtUp, None]:
    """Yields the value that `tell` makes of each event, also once it is taken over."""
    async with aclosing(stream):
        async for event in stream:
            yield replace(event, tell=tell) if isinstance(event, CaughtUp) else tell(event)
