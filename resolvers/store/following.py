"""Somebody who follows a topic: what waits for them, or who takes it over, and how far they are behind."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from resolvers.errors import Lagged
from resolvers.store.events import Event

QUEUE_LENGTH: Final = 1000

Told = TypeVar("Told")


@dataclass(frozen=True, slots=True)
class _Lost:
    """Last in a queue: nothing of its topic behind this position is in it."""

    position: int


class Follower:
    """Somebody who hears of one topic, and what waits for them."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Event | _Lost] = asyncio.Queue()
        self._receive: Callable[[Event], None] = self._queue.put_nowait
        self._lose: Callable[[int], None] = lambda position: self._queue.put_nowait(_Lost(position))
        self._lost = False
        self.behind = 0  # events handed to it that it is not done with

    def hand(self, event: Event, before: int) -> None:
        """`before`: the position up to which it was handed all of its topic."""
        if self._lost:
            return
        if self.behind >= QUEUE_LENGTH:  # a slow reader must neither hold up the others nor fill the memory
            self.lose(before)
        else:
            self.behind += 1
            self._receive(event)

    def lose(self, position: int) -> None:
        """The position is the log's, not the topic's: of a quiet topic the last event may be long forgotten."""
        if not self._lost:
            self._lost = True
            self._lose(position)

    def take_over(self, receive: Callable[[Event], None], lose: Callable[[int], None]) -> None:
        """Instead of the queue."""
        self._receive, self._lose = receive, lose

    def done(self) -> None:
        """With one event more."""
        self.behind -= 1

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


@dataclass(frozen=True)
class CaughtUp:
    """Who follows has seen all there is, and may have what comes pushed instead of asking for it.

    admits: which events it gets. tell: in which form; asked for once per event, by whoever gets it first.
    """

    follower: Follower
    position: int
    admits: Callable[[Event], bool] = _everything
    tell: Callable[[Event], Any] = _as_it_is

    def take_over(
        self, receive: Callable[[str, Callable[[], Any]], None], lose: Callable[[Exception], None]
    ) -> Callable[[], None]:
        """At once, before anything else happens: each event's cursor, and what makes its form."""
        follower = self.follower

        def take(event: Event) -> None:
            try:
                admitted = event.id > self.position and self.admits(event)
            except Exception as error:  # noqa: BLE001  its own: the others must hear of the event
                lose(error)
                return
            if admitted:
                receive(event.cursor, partial(self.tell, event))
            else:
                follower.done()

        follower.take_over(take, lambda position: lose(Lagged(str(max(position, self.position)))))
        return follower.done


Events = AsyncGenerator[Event | CaughtUp, None]


async def admitted(stream: Events, admits: Callable[[Event], bool]) -> Events:
    """What is admitted of a stream; and that it may be taken over, just so."""
    async with aclosing(stream):
        async for one in stream:
            if isinstance(one, CaughtUp):
                yield replace(one, admits=admits)
            elif admits(one):
                yield one


async def told(stream: Events, tell: Callable[[Event], Told]) -> AsyncGenerator[Told | CaughtUp, None]:
    """A stream in another form; and that it may be taken over, just so."""
    async with aclosing(stream):
        async for one in stream:
            yield replace(one, tell=tell) if isinstance(one, CaughtUp) else tell(one)
