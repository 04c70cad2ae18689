"""Live events straight to their sockets: executed once, then written to one subscriber after the other.

A task for each subscriber costs more to wake than a socket to write to, and more to keep than all else about it. So
whoever has caught up hands its source over, and ends: events are pushed from then on, gathered by what is asked of
them, executed once, and written in one loop. A socket that takes no more for now holds nobody up: a task of its own
goes on sending, and what comes meanwhile waits behind that. The source bounds how much that may become.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from bcom_graphql.graphql.meters import MESSAGES

Answer = TypeVar("Answer")
Sent_contra = TypeVar("Sent_contra", contravariant=True)
Tell = Callable[[], Any]


class Source(Protocol):
    """Where a subscriber's events come from, taken over."""

    def done(self) -> None:
        """With one event more."""

    def leave(self) -> None:
        """No more of them."""


class Receiver(Protocol):
    """Who takes a source over."""

    def receive(self, cursor: str, tell: Tell) -> None:
        """An event: its cursor, which tells it from others, and what makes its value."""

    def lose(self, why: Exception) -> None:
        """The error that ends the events, last."""


@runtime_checkable
class CaughtUp(Protocol):
    """What a source yields once, when nothing waits in it any more: it may be taken over then, and closed."""

    def take_over(self, receiver: Receiver) -> Source:
        """Have events pushed, from now on."""


class Outlet(Protocol[Sent_contra]):
    """Where a subscriber's answers go."""

    def write(self, answer: Sent_contra) -> bool:
        """If it takes it right now; else nothing of it is written."""

    async def send(self, answer: Sent_contra) -> None:
        """When it takes it."""


class Member(Generic[Answer]):
    """A subscriber among those who ask the same; `ended` is told why nothing more can be sent, unless it left."""

    __slots__ = ("_ended", "_group", "_outlet", "_sending", "_source", "_waiting", "is_over")

    def __init__(self, group: "Group[Answer]", outlet: Outlet[Answer], ended: Callable[[Exception], None]) -> None:
        self._group, self._outlet, self._ended = group, outlet, ended
        self._source: Source
        self._sending: asyncio.Task[None] | None = None
        self._waiting: deque[Callable[[], Awaitable[Answer]]]  # not answers: a thousand may be of any size
        self.is_over = False

    def take(self, source: CaughtUp) -> None:
        """Its events, from now on."""
        self._group.members += 1
        self._source = source.take_over(self)

    def receive(self, cursor: str, tell: Tell) -> None:
        self._group.add(cursor, tell, self)

    def lose(self, why: Exception) -> None:
        """Behind the events that it was told of."""
        self._group.add(why, partial(_fail, why), self)

    def offer(self, answer: Answer, again: Callable[[], Awaitable[Answer]]) -> None:
        """Send it, now if the socket takes it, else when it does; `again` makes the answer anew."""
        if self.is_over:
            return
        if self._sending is not None:
            self._waiting.append(again)
            return
        try:
            written = self._outlet.write(answer)
        except Exception as error:  # noqa: BLE001  it is this subscriber's, who is told
            self._end(error)
            return
        if written:
            self._source.done()
        else:
            self._waiting = deque()
            self._sending = asyncio.create_task(self._go_on(answer))

    def end(self, why: Exception) -> None:
        """Behind what waits already, and before all that comes later."""
        if self._sending is not None:
            self._waiting.append(partial(_fail_later, why))
        else:
            self._end(why)

    def leave(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        if not self.is_over:
            self.is_over = True
            self._source.leave()
            self._group.leave()

    def _end(self, why: Exception) -> None:
        if not self.is_over:
            self.leave()
            self._ended(why)

    async def _go_on(self, answer: Answer) -> None:
        try:
            await self._outlet.send(answer)
            self._source.done()
            while self._waiting:
                await self._outlet.send(await self._waiting.popleft()())
                self._source.done()
        except Exception as error:  # noqa: BLE001  as above
            self._sending = None  # it is this task, which must not cancel itself
            self._end(error)
        else:
            self._sending = None


def _fail(why: Exception) -> Any:
    raise why


async def _fail_later(why: Exception) -> Any:
    raise why


@dataclass
class Batch(Generic[Answer]):
    """An event, what makes its value, and to whom it is to be sent."""

    event: object
    tell: Tell
    members: list[Member[Answer]] = field(default_factory=list)


class Group(Generic[Answer]):
    """All who ask the same; events go through it one by one, in order.

    work: makes an answer of what makes an event's value. empty: called when the last has left.
    """

    def __init__(self, work: Callable[[Tell], Awaitable[Answer]], empty: Callable[[], object] = lambda: None) -> None:
        self.members = 0
        self._work, self._empty = work, empty
        self._batches = deque[Batch[Answer]]()
        self._task: asyncio.Task[None] | None = None

    def add(self, event: object, tell: Tell, member: Member[Answer]) -> None:
        """For one more member; `event` tells events apart. All are told of it before anybody is of the next."""
        if not self._batches or self._batches[-1].event != event:
            self._batches.append(Batch(event, tell))
        self._batches[-1].members.append(member)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="broadcast")

    def leave(self) -> None:
        """One member less."""
        self.members -= 1
        if not self.members:
            self._empty()

    async def _run(self) -> None:
        while self._batches:
            await self._send(self._batches[0])  # whoever else gets the event may still be added
            await asyncio.sleep(0)  # a thousand sockets take their time: others go in between
        self._task = None

    async def _send(self, batch: Batch[Answer]) -> None:
        why: Exception | None = None
        again = partial(self._work, batch.tell)
        try:
            answer = await again()
        except Exception as error:  # noqa: BLE001  whoever waits for it is told, and it is logged where it is our fault
            why = error
        self._batches.popleft()
        MESSAGES.inc(len(batch.members) if why is None else 0)
        for member in batch.members:
            if why is None:
                member.offer(answer, again)
            else:
                member.end(why)
