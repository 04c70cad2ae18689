"""Somebody who follows a topic: what waits for them, or to whom it is pushed, and how far they are behind."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol, TypeVar

from resolvers.base.counters import LAGGED
from resolvers.base.errors import Lagged
from resolvers.store.events.log import Event

QUEUE_LENGTH: Final = 1000

Told = TypeVar("Told")


class Receiver(Protocol):
    """To whom events are pushed."""

    def receive(self, event: Event, tell: Callable[[Event], Any]) -> None:
        """An event, and what makes its form."""

    def lose(self, why: Exception) -> None:
        """Last."""


@dataclass(frozen=True, slots=True)
class _Lost:
    """Last in a queue: nothing of its topic behind this position is in it."""

    position: int


class Follower:
    """Somebody who hears of one topic, until they leave: by a queue, until somebody takes it over."""

    __slots__ = ("_left", "_lost", "_pushed", "_queue", "behind")

    def __init__(self, left: Callable[["Follower"], None]) -> None:
        self._left = left
        self._queue: asyncio.Queue[Event | _Lost] = asyncio.Queue()
        self._pushed: _Pushed | None = None
        self._lost = False
        self.behind = 0  # events handed to it that it is not done with

    def hand(self, event: Event, before: int) -> None:
        """`before`: the position up to which it was handed all of its topic."""
        if self._lost:
            return
        if self.behind >= QUEUE_LENGTH:  # a slow reader must neither hold up the others nor fill the memory
            self.lose(before, event.topic)
            return
        self.behind += 1
        if self._pushed is None:
            self._queue.put_nowait(event)
        elif not self._pushed.take(event):
            self.behind -= 1

    def lose(self, position: int, topic: str) -> None:
        """The position is the log's, not the topic's: of a quiet topic the last event may be long forgotten."""
        if self._lost:
            return
        self._lost = True
        LAGGED.labels(topic).inc()
        if self._pushed is None:
            self._queue.put_nowait(_Lost(position))
        else:
            self._pushed.lose(position)

    def done(self) -> None:
        """With one event more."""
        self.behind -= 1

    def leave(self) -> None:
        self._left(self)
        self._pushed = None

    def close(self) -> None:
        """What it was followed by ends, and so does it unless it was taken over."""
        if self._pushed is None:
            self.leave()

    def push(self, pushed: "_Pushed") -> None:
        """Instead of the queue."""
        del self._queue
        self._pushed = pushed

    async def events(self, position: int, *, pushes: bool) -> "Events":
        """Those behind a position; with `pushes` once, when nothing waits, that it may be taken over.

        An event is done with when the next is asked for. Raises Lagged.
        """
        while True:
            if pushes and self._queue.empty():
                pushes = False
                yield CaughtUp(self, position)
            told = await self._queue.get()
            if isinstance(told, _Lost):
                raise Lagged(str(max(position, told.position)))
            if told.id > position:
                position = told.id
                yield told
            self.done()


def _everything(_: Event) -> bool:
    return True


def _as_it_is(event: Event) -> Any:
    return event


@dataclass(frozen=True, slots=True)
class CaughtUp:
    """Who follows has seen all there is, and may have what comes pushed instead of asking for it.

    admits: which events it gets. tell: in which form; asked for once per event, by whoever gets it first.
    """

    follower: Follower
    position: int
    admits: Callable[[Event], bool] = _everything
    tell: Callable[[Event], Any] = _as_it_is

    def take_over(self, receiver: Receiver) -> Follower:
        """At once, before anything else happens. Whoever did so leaves the follower when it has enough."""
        self.follower.push(_Pushed(receiver, self.position, self.admits, self.tell))
        return self.follower


@dataclass(frozen=True, slots=True)
class _Pushed:
    receiver: Receiver
    position: int
    admits: Callable[[Event], bool]
    tell: Callable[[Event], Any]

    def take(self, event: Event) -> bool:
        """Whether it is the receiver's now."""
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
    """What is admitted of a stream; and that it may be taken over, just so."""
    async with aclosing(stream):
        async for one in stream:
            if isinstance(one, CaughtUp):
                yield replace(one, admits=admits)
            elif admits(one):
                yield one


async def map_events(stream: Events, tell: Callable[[Event], Told]) -> AsyncGenerator[Told | CaughtUp, None]:
    """A stream in another form; and that it may be taken over, just so."""
    async with aclosing(stream):
        async for one in stream:
            yield replace(one, tell=tell) if isinstance(one, CaughtUp) else tell(one)
