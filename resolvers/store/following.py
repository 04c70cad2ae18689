"""Somebody who follows a topic: what waits for them, or who takes it over, and how far they are behind."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from resolvers.errors import Lagged
from resolvers.store.events import Event

QUEUE_LENGTH: Final = 1000

Chosen = TypeVar("Chosen")
Other = TypeVar("Other")


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

    async def events(self, position: int, *, pushes: bool) -> "AsyncGenerator[Event | CaughtUp[Event], None]":
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


@dataclass(frozen=True)
class CaughtUp(Generic[Chosen]):
    """Who follows has seen all there is, and may have what comes pushed instead of asking for it.

    choose: what it is given of an event, None of those that are not for it.
    """

    follower: Follower
    position: int
    choose: Callable[[Event], Chosen | None] = lambda event: event  # type: ignore[assignment,return-value]

    def chosen(self, choose: Callable[[Chosen], Other | None]) -> "CaughtUp[Other]":
        """The same with less, or in another form."""

        def both(event: Event) -> Other | None:
            first = self.choose(event)
            return None if first is None else choose(first)

        return CaughtUp(self.follower, self.position, both)

    def take_over(self, receive: Callable[[Chosen], None], lose: Callable[[Exception], None]) -> Callable[[], None]:
        """At once, before anything else happens. The result is to be called when an event is done with."""
        follower = self.follower

        def take(event: Event) -> None:
            try:
                chosen = self.choose(event) if event.id > self.position else None
            except Exception as error:  # noqa: BLE001  its own: the others must hear of the event
                lose(error)
                return
            if chosen is None:
                follower.done()
            else:
                receive(chosen)

        follower.take_over(take, lambda position: lose(Lagged(str(max(position, self.position)))))
        return follower.done


async def chosen(
    stream: AsyncGenerator[Chosen | CaughtUp[Chosen], None], choose: Callable[[Chosen], Other | None]
) -> AsyncGenerator[Other | CaughtUp[Other], None]:
    """What is chosen of a stream, in its form; and that it may be taken over, just so."""
    async with aclosing(stream):
        async for one in stream:
            if isinstance(one, CaughtUp):
                yield one.chosen(choose)
            elif (found := choose(one)) is not None:
                yield found
