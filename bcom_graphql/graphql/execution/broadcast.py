"""Live events straight to their sockets: executed once, then written to one subscriber after the other.

A task for each subscriber costs more to wake than a socket to write to, and more to keep than all else about it. So
whoever has caught up hands its source over, and ends: events are pushed from then on, gathered by what is asked of
them, executed once, and written in one loop. A socket that takes no more for now holds nobody up: a task of its own
goes on sending, and what comes meanwhile waits behind that. The source bounds how much that may become.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from itertools import islice, takewhile
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

import structlog

from bcom_graphql.graphql.execution.operation_metrics import MESSAGES

AT_ONCE: Final = 8  # events that are worked out together
AT_A_STRETCH: Final = 250  # sockets that are written to before others have the event loop

logger = structlog.get_logger(__name__)

Answer = TypeVar("Answer")
Answer_co = TypeVar("Answer_co", covariant=True)
Sent_contra = TypeVar("Sent_contra", contravariant=True)
Tell = Callable[[Any], Any]


class Work(Protocol[Answer_co]):
    """Makes an answer of what makes an event's value, the event, and what events that are worked out together share."""

    def __call__(self, tell: Tell, event: Any, together: Any = None) -> Awaitable[Answer_co]: ...


class Source(Protocol):
    """Where a subscriber's events come from, taken over."""

    def done(self) -> None:
        """With one event more."""

    def leave(self) -> None:
        """No more of them."""


class Receiver(Protocol):
    """Who takes a source over."""

    def receive(self, event: Any, tell: Tell) -> None:
        """An event, the same object for all, and what makes its value."""

    def lose(self, why: Exception) -> None:
        """The error that ends the events, last."""


@runtime_checkable
class CaughtUp(Protocol):
    """What a source yields once, when nothing waits in it any more: it may be taken over then, and closed."""

    def take_over(self, receiver: Receiver) -> Source:
        """Have events pushed, from now on."""


class Outlet(Protocol[Sent_contra]):
    """Where a subscriber's answers go."""

    def write(self, answers: Sequence[Sent_contra]) -> bool:
        """If it takes them right now; else nothing of them is written."""

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

    def receive(self, event: Any, tell: Tell) -> None:
        self._group.add(event, tell, self)

    def lose(self, why: Exception) -> None:
        """Behind the events that it was told of."""
        self._group.add(why, _fail, self)

    def offer(self, batches: "Sequence[Batch[Answer]]") -> None:
        """Send what they are answered with, now if the socket takes it, else when it does."""
        if self.is_over:
            return
        if self._sending is not None:
            self._waiting.extend(batch.work for batch in batches)
            return
        good = [*takewhile(lambda batch: batch.why is None, batches)]
        try:
            written = not good or self._outlet.write([batch.answer for batch in good])
        except Exception as error:  # noqa: BLE001  it is this subscriber's, who is told
            self.end(error)
            return
        if not written:
            self._waiting = deque(batch.work for batch in batches)
            self._sending = asyncio.create_task(self._go_on())
            return
        for _ in good:
            self._source.done()
        if why := next((batch.why for batch in batches if batch.why is not None), None):
            self.end(why)

    def leave(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        if not self.is_over:
            self.is_over = True
            self._source.leave()
            self._group.leave()

    def end(self, why: Exception) -> None:
        """Leaves, and tells why."""
        if not self.is_over:
            self.leave()
            self._ended(why)

    async def _go_on(self) -> None:
        try:
            while self._waiting:
                await self._outlet.send(await self._waiting.popleft()())
                self._source.done()
        except Exception as error:  # noqa: BLE001  as above
            self._sending = None  # it is this task, which must not cancel itself
            self.end(error)
        else:
            self._sending = None


class Abandoned(Exception):
    """The work on an event was cancelled, though nobody wanted the broadcast to end."""


def _fail(why: Exception) -> Any:
    raise why


class Batch(Generic[Answer]):
    """An event and to whom it is to be sent; once it is worked out, its answer, or why there is none.

    `work` makes the answer anew, which whoever cannot be sent it now keeps in its place, as it may be of any size.
    """

    __slots__ = ("answer", "event", "members", "why", "work")

    def __init__(self, event: Any, work: Callable[..., Awaitable[Answer]]) -> None:
        self.event, self.work = event, work
        self.members: list[Member[Answer]] = []
        self.answer: Answer
        self.why: Exception | None = None

    async def work_out(self, together: Any) -> None:
        try:
            self.answer = await self.work(together=together)
        except Exception as error:  # noqa: BLE001  whoever waits for it is told, and it is logged where it is our fault
            self.why = error


class Group(Generic[Answer]):
    """All who ask the same; events are worked out together where several have come, and sent in their order.

    together: makes what those share. empty: called when the last has left.
    """

    def __init__(
        self,
        work: Work[Answer],
        together: Callable[[], Any] = lambda: None,
        empty: Callable[[], object] = lambda: None,
    ) -> None:
        self.members = 0
        self._work, self._together, self._empty = work, together, empty
        self._batches = deque[Batch[Answer]]()
        self._task: asyncio.Task[None] | None = None

    def add(self, event: Any, tell: Tell, member: Member[Answer]) -> None:
        """For one more member. All are told of an event before anybody is of the next."""
        if not self._batches or self._batches[-1].event is not event:
            self._batches.append(Batch(event, partial(self._work, tell, event)))
        self._batches[-1].members.append(member)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="broadcast")

    def leave(self) -> None:
        """One member less."""
        self.members -= 1
        if not self.members:
            self._empty()

    async def _run(self) -> None:
        try:
            while self._batches:
                batches = [*islice(self._batches, AT_ONCE)]
                await self._work_out(batches)
                for _ in batches:  # until now, whoever else gets the last event could be added
                    self._batches.popleft()
                await self._send(batches)
        finally:
            self._task = None

    async def _work_out(self, batches: Sequence[Batch[Answer]]) -> None:
        """Whatever fails here unforeseen is logged, and ends those who would have missed an event."""
        try:
            together = self._together()
            works = (batch.work_out(together) for batch in batches)
            failures: Sequence[BaseException | None]
            failures = await asyncio.gather(*works, return_exceptions=True)  # what is cancelled fails alone
        except Exception as error:
            logger.exception("a broadcast failed; its subscribers are told")
            failures = [error] * len(batches)
        for batch, failure in zip(batches, failures, strict=True):
            if failure is not None:
                batch.why = failure if isinstance(failure, Exception) else Abandoned(repr(failure))

    async def _send(self, batches: Sequence[Batch[Answer]]) -> None:
        """To each member all of its answers in one go: what a write costs hardly depends on how much it writes."""
        by_member: defaultdict[Member[Answer], list[Batch[Answer]]] = defaultdict(list)
        for batch in batches:
            for member in batch.members:
                by_member[member].append(batch)
        for number, (member, own) in enumerate(by_member.items(), 1):
            try:
                member.offer(own)
            except Exception as error:
                logger.exception("a subscriber could not be sent to; it is told")
                member.end(error)
            if number % AT_A_STRETCH == 0:
                await asyncio.sleep(0)
        MESSAGES.inc(sum(len(batch.members) for batch in batches if batch.why is None))
