"""Live events straight to their sockets: executed once, then written to one subscriber after the other.

A task for each subscriber costs more to wake than a socket to write to. So whoever has caught up hands its source over:
events are pushed from then on, gathered by what is asked of them, executed once, and sent in one loop. A socket that
takes no more for now holds nobody up: a task of its own goes on sending, and what comes meanwhile waits behind that.
The source bounds how much that may become.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Generator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

Answer = TypeVar("Answer")
Send = Callable[[Any], Coroutine[Any, Any, None]]


@runtime_checkable
class CaughtUp(Protocol):
    """What a source yields once, when nothing waits in it any more: it may be taken over then."""

    def take_over(
        self, receive: Callable[[str, Callable[[], Any]], None], lose: Callable[[Exception], None]
    ) -> Callable[[], None]:
        """Have events pushed, and the error that ends them, last. The result is to be called when one is done with.

        Of each event come its cursor, which tells it from others, and what makes its value.
        """


class Member(Generic[Answer]):
    """A subscriber; `over` ends when nothing can be sent to it any more, with the reason."""

    def __init__(self, send: Callable[[Answer], Coroutine[Any, Any, None]]) -> None:
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.done: Callable[[], None] = lambda: None
        self._send = send
        self._waiting = deque[Callable[[], Awaitable[Answer]]]()  # not answers: a thousand may be of any size
        self._sending: asyncio.Task[None] | None = None

    def offer(self, answer: Answer, again: Callable[[], Awaitable[Answer]]) -> None:
        """Send it, now if the socket takes it, else when it does; `again` makes the answer anew."""
        if self.over.done():
            return
        if self._sending is not None:
            self._waiting.append(again)
            return
        try:
            unfinished = begun(self._send(answer))
        except Exception as error:  # noqa: BLE001  it is this subscriber's, who is waiting for it
            self.over.set_exception(error)
            return
        if unfinished is None:
            self.done()
        else:
            self._sending = asyncio.create_task(self._go_on(unfinished))

    def end(self, why: Exception) -> None:
        """Behind what waits already, and before all that comes later."""
        if self._sending is not None:
            self._waiting.append(partial(_fail, why))
        elif not self.over.done():
            self.over.set_exception(why)

    def leave(self) -> None:
        self.over.cancel()
        if self._sending is not None:
            self._sending.cancel()

    async def _go_on(self, unfinished: Awaitable[None]) -> None:
        try:
            await unfinished
            self.done()
            while self._waiting:
                await self._send(await self._waiting.popleft()())
                self.done()
        except Exception as error:  # noqa: BLE001  as above
            if not self.over.done():
                self.over.set_exception(error)
        self._sending = None


async def _fail(why: Exception) -> Any:
    raise why


@dataclass
class Batch(Generic[Answer]):
    """An event, what makes an answer of it, and to whom that is to be sent."""

    event: object
    work: Callable[[], Awaitable[Answer]]
    members: list[Member[Answer]] = field(default_factory=list)


class Group(Generic[Answer]):
    """All who ask the same; events go through it one by one, in order."""

    def __init__(self) -> None:
        self.members = 0
        self._batches = deque[Batch[Answer]]()
        self._task: asyncio.Task[None] | None = None

    def add(self, event: object, member: Member[Answer], work: Callable[[], Awaitable[Answer]]) -> None:
        """For one more member; `event` tells events apart. All are told of it before anybody is of the next."""
        if not self._batches or self._batches[-1].event != event:
            self._batches.append(Batch(event, work))
        self._batches[-1].members.append(member)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="broadcast")

    def end(self, member: Member[Answer], why: Exception) -> None:
        """Behind the events that it was told of."""
        self.add(why, member, partial(_fail, why))

    async def _run(self) -> None:
        while self._batches:
            await self._tell(self._batches[0])  # whoever else gets the event may still be added
            await asyncio.sleep(0)  # a thousand sockets take their time: others go in between
        self._task = None

    async def _tell(self, batch: Batch[Answer]) -> None:
        why: Exception | None = None
        try:
            answer = await batch.work()
        except Exception as error:  # noqa: BLE001  whoever waits for it is told, and it is logged where it is our fault
            why = error
        self._batches.popleft()
        for member in batch.members:
            if why is None:
                member.offer(answer, batch.work)
            else:
                member.end(why)


# ---------------------------------------------------------------- coroutines that have begun


def begun(coroutine: Coroutine[Any, Any, None]) -> Awaitable[None] | None:
    """Run it as far as it goes without waiting: None where that is all, else its rest. Raises what it raises."""
    try:
        waits_for = coroutine.send(None)
    except StopIteration:
        return None
    return _Rest(coroutine, waits_for)


@dataclass(frozen=True)
class _Rest:
    """A coroutine that waits for a future: the task that awaits this waits for that first."""

    coroutine: Coroutine[Any, Any, None]
    waits_for: Any

    def __await__(self) -> Generator[Any, Any, None]:
        yield self.waits_for
        yield from self.coroutine.__await__()
