"""Pushes live events to many sockets: each event is executed once and written to one subscriber after the other.

Waking a task for each subscriber costs more than writing to its socket, and keeping the task costs more memory than
all else about a subscriber. So a subscriber that has caught up hands over its event source, and its task ends. From
then on events are pushed. A broadcast is all subscribers of the same operation: it collects events, executes each once,
and writes in one loop. A socket that takes no more for now delays nobody: a task of its own goes on sending, and later
events queue behind it. The event source bounds that queue.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from itertools import islice, takewhile
from typing import Any, Final, Generic, Protocol, TypeVar, runtime_checkable

import structlog

from bcom_graphql.graphql.execution.operation_metrics import MESSAGES

EVENTS_PER_ROUND: Final = 8  # executed side by side, in one context
WRITES_PER_TURN: Final = 250  # before other tasks get the event loop

Response = TypeVar("Response")
Response_co = TypeVar("Response_co", covariant=True)
Response_contra = TypeVar("Response_contra", contravariant=True)
MakePayload = Callable[[Any], Any]  # from an event to the value of the subscription's root field

logger = structlog.get_logger(__name__)


class Execute(Protocol[Response_co]):
    """Executes the operation for one event, in the context shared by its round."""

    def __call__(self, make_payload: MakePayload, event: Any, context: Any = None) -> Awaitable[Response_co]: ...


class EventSource(Protocol):
    """A source of events that was taken over."""

    def done(self) -> None:
        """Says that one more event was sent."""

    def leave(self) -> None:
        """Says that no more events are wanted."""


class Receiver(Protocol):
    """Takes a source over."""

    def receive(self, event: Any, make_payload: MakePayload) -> None:
        """Accepts an event, which is the same object for all receivers."""

    def lose(self, why: Exception) -> None:
        """Accepts the error that ends the events."""


@runtime_checkable
class CaughtUp(Protocol):
    """Yielded by a source when it is empty for the first time: it may then be taken over, and closed."""

    def take_over(self, receiver: Receiver) -> EventSource:
        """Pushes events to the receiver from now on."""


class Sink(Protocol[Response_contra]):
    """Where a subscriber's responses go."""

    def write(self, responses: Sequence[Response_contra]) -> bool:
        """Writes all of them and returns True, or nothing and False where it takes no more right now."""

    async def send(self, response: Response_contra) -> None:
        """Sends it as soon as possible."""


class Subscriber(Generic[Response]):
    """One of a broadcast. on_end: called with the reason why nothing more can be sent, unless the subscriber left."""

    __slots__ = ("_broadcast", "_on_end", "_sending", "_sink", "_source", "_waiting", "is_over")

    def __init__(
        self, broadcast: "Broadcast[Response]", sink: Sink[Response], on_end: Callable[[Exception], None]
    ) -> None:
        self._broadcast, self._sink, self._on_end = broadcast, sink, on_end
        self._source: EventSource
        self._sending: asyncio.Task[None] | None = None
        self._waiting: deque[Callable[[], Awaitable[Response]]]  # not responses: a thousand may be of any size
        self.is_over = False

    def take(self, source: CaughtUp) -> None:
        """Has the source push its events here."""
        self._broadcast.subscribers += 1
        self._source = source.take_over(self)

    def receive(self, event: Any, make_payload: MakePayload) -> None:
        self._broadcast.add(event, make_payload, self)

    def lose(self, why: Exception) -> None:
        """Ends the subscriber after the events that it received before."""
        self._broadcast.add(why, _fail, self)

    def deliver(self, deliveries: "Sequence[Delivery[Response]]") -> None:
        """Sends their responses: now if the socket takes them, else when it does."""
        if self.is_over:
            return
        if self._sending is not None:
            self._waiting.extend(delivery.execute for delivery in deliveries)
            return
        good = [*takewhile(lambda delivery: delivery.error is None, deliveries)]
        try:
            is_written = not good or self._sink.write([delivery.response for delivery in good])
        except Exception as error:  # noqa: BLE001  it is this subscriber's, who is told
            self.end(error)
            return
        if not is_written:
            self._waiting = deque(delivery.execute for delivery in deliveries)
            self._sending = asyncio.create_task(self._send_waiting())
            return
        for _ in good:
            self._source.done()
        if why := next((delivery.error for delivery in deliveries if delivery.error is not None), None):
            self.end(why)

    def leave(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
        if not self.is_over:
            self.is_over = True
            self._broadcast.leave()
            self._source.leave()

    def end(self, why: Exception) -> None:
        """Leaves, and tells the subscriber why."""
        if not self.is_over:
            try:
                self.leave()
            finally:
                self._on_end(why)

    async def _send_waiting(self) -> None:
        try:
            while self._waiting:
                await self._sink.send(await self._waiting.popleft()())
                self._source.done()
        except Exception as error:  # noqa: BLE001  as above
            self._sending = None  # it is this task, which must not cancel itself
            self.end(error)
        else:
            self._sending = None


class ExecutionCancelled(Exception):
    """The execution for an event was cancelled, though nobody had asked for that."""


def _fail(why: Exception) -> Any:
    raise why


class Delivery(Generic[Response]):
    """An event and who gets it; once it is executed, its response or the error.

    A subscriber that cannot be sent the response now keeps `execute` in its place, as responses may be of any size.
    """

    __slots__ = ("error", "event", "execute", "response", "subscribers")

    def __init__(self, event: Any, execute: Callable[..., Awaitable[Response]]) -> None:
        self.event, self.execute = event, execute
        self.subscribers: list[Subscriber[Response]] = []
        self.response: Response
        self.error: Exception | None = None

    async def prepare(self, context: Any) -> None:
        try:
            self.response = await self.execute(context=context)
        except Exception as error:  # noqa: BLE001  subscribers are told, and it is logged where it is our fault
            self.error = error


class Broadcast(Generic[Response]):
    """All subscribers of the same operation. Events that came together are executed together, and sent in order.

    make_context: makes the context that a round of events shares.
    on_empty: called when the last subscriber has left.
    """

    def __init__(
        self,
        execute: Execute[Response],
        make_context: Callable[[], Any] = lambda: None,
        on_empty: Callable[[], object] = lambda: None,
    ) -> None:
        self.subscribers = 0
        self._execute, self._make_context, self._on_empty = execute, make_context, on_empty
        self._deliveries = deque[Delivery[Response]]()
        self._task: asyncio.Task[None] | None = None

    def add(self, event: Any, make_payload: MakePayload, subscriber: Subscriber[Response]) -> None:
        """Queues the event for one more subscriber. All get an event before any gets the next."""
        if not self._deliveries or self._deliveries[-1].event is not event:
            self._deliveries.append(Delivery(event, partial(self._execute, make_payload, event)))
        self._deliveries[-1].subscribers.append(subscriber)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="broadcast")

    def leave(self) -> None:
        """Counts one subscriber less."""
        self.subscribers -= 1
        if not self.subscribers:
            self._on_empty()

    async def _run(self) -> None:
        try:
            while self._deliveries:
                deliveries = [*islice(self._deliveries, EVENTS_PER_ROUND)]
                await self._prepare(deliveries)
                for _ in deliveries:  # until now, further subscribers could be added to the last event
                    self._deliveries.popleft()
                await self._send(deliveries)
        finally:
            self._task = None

    async def _prepare(self, deliveries: Sequence[Delivery[Response]]) -> None:
        """Executes them side by side. An unforeseen error ends the subscribers that miss an event by it."""
        errors: Sequence[BaseException | None]
        try:
            context = self._make_context()
            executions = (delivery.prepare(context) for delivery in deliveries)
            errors = await asyncio.gather(*executions, return_exceptions=True)  # what is cancelled fails alone
        except Exception as error:
            logger.exception("a broadcast failed; its subscribers are told")
            errors = [error] * len(deliveries)
        for delivery, unforeseen in zip(deliveries, errors, strict=True):
            if unforeseen is not None:
                delivery.error = unforeseen if isinstance(unforeseen, Exception) else ExecutionCancelled()

    async def _send(self, deliveries: Sequence[Delivery[Response]]) -> None:
        """Writes to each subscriber once: a write hardly costs more for several responses than for one."""
        by_subscriber: defaultdict[Subscriber[Response], list[Delivery[Response]]] = defaultdict(list)
        for delivery in deliveries:
            for subscriber in delivery.subscribers:
                by_subscriber[subscriber].append(delivery)
        for number, (subscriber, own) in enumerate(by_subscriber.items(), 1):
            _deliver(subscriber, own)
            if number % WRITES_PER_TURN == 0:
                await asyncio.sleep(0)
        MESSAGES.inc(sum(len(delivery.subscribers) for delivery in deliveries if delivery.error is None))


def _deliver(subscriber: Subscriber[Response], deliveries: Sequence[Delivery[Response]]) -> None:
    """Ends a subscriber whose delivery fails unforeseen; the others still get theirs."""
    try:
        subscriber.deliver(deliveries)
    except Exception as error:
        logger.exception("a subscriber could not be sent its events")
        with suppress(Exception):  # logged above
            subscriber.end(error)
