"""Broadcasts: in order to each, nobody held up by another, and an end behind what was still to be sent."""

import asyncio
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs

from bcom_graphql.graphql.execution.broadcast import EVENTS_PER_ROUND, Broadcast, Receiver, Subscriber


class Reader:
    """A subscriber who reads when it is open: the source of its events, and where its answers go."""

    def __init__(
        self,
        broadcast: Broadcast[str],
        *,
        opened: bool = True,
        at_once: bool = True,
        breaks_at: str = "",
    ) -> None:
        self.read: list[str] = []
        self.open = asyncio.Event()
        if opened:
            self.open.set()
        self._at_once, self._breaks_at = at_once, breaks_at
        self.receiver: Receiver
        self.taken = self.writes = 0
        self.left = False
        self.why: Exception | None = None
        self.subscriber = Subscriber(broadcast, self, self._ended)
        self.subscriber.take(self)

    def take_over(self, receiver: Receiver) -> "Reader":
        self.receiver = receiver
        return self

    def done(self) -> None:
        self.taken += 1

    def leave(self) -> None:
        self.left = True

    def write(self, answers: Sequence[str]) -> bool:
        ready = self._at_once and self.open.is_set()
        if ready:
            self.writes += 1
            for answer in answers:
                self._take(answer)
        return ready

    async def send(self, answer: str) -> None:
        await self.open.wait()
        self._take(answer)

    def _take(self, answer: str) -> None:
        if answer == self._breaks_at:
            raise ConnectionError(answer)
        self.read.append(answer)

    def _ended(self, why: Exception) -> None:
        self.why = why


async def as_it_is(make_payload: Callable[[str], str], event: str, context: object = None) -> str:
    await asyncio.sleep(0)
    return make_payload(event)


def tell(answers: str, *readers: Reader) -> None:
    for answer in answers:
        for reader in readers:
            reader.receiver.receive(answer, str)


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_all_get_everything_in_order() -> None:
    broadcast = Broadcast(as_it_is)
    readers = [Reader(broadcast), Reader(broadcast), Reader(broadcast, at_once=False)]

    tell("abc", *readers)
    await settle()
    tell("de", *readers)
    await settle()

    assert [reader.read for reader in readers] == [[*"abcde"]] * 3
    assert [reader.taken for reader in readers] == [5, 5, 5]


async def test_an_event_is_worked_out_once_for_all() -> None:
    worked = 0

    async def work(make_payload: Callable[[str], str], event: str, context: object = None) -> str:
        nonlocal worked
        worked += 1
        return make_payload(event)

    broadcast = Broadcast(work)

    tell("a", *(Reader(broadcast) for _ in range(3)))
    await settle()

    assert worked == 1


async def test_what_comes_together_is_written_in_one_go_as_far_as_it_can_be_told() -> None:
    def fails(_: str) -> str:
        raise RuntimeError("away")

    broadcast = Broadcast(as_it_is)
    well, unlucky = Reader(broadcast), Reader(broadcast)

    tell("ab", well, unlucky)
    unlucky.receiver.receive("c", fails)
    tell("d", unlucky, well)
    await settle()

    assert (well.read, well.writes) == ([*"abd"], 1)
    assert (unlucky.read, unlucky.writes, unlucky.taken) == ([*"ab"], 1, 2)
    assert str(unlucky.why) == "away"


async def test_however_many_come_they_are_told_in_order() -> None:
    broadcast = Broadcast(as_it_is)
    events = [chr(number) for number in range(200, 200 + 5 * EVENTS_PER_ROUND + 3)]
    reader = Reader(broadcast)

    tell("".join(events), reader)
    await settle()

    assert reader.read == events
    assert reader.writes == 6


async def test_what_is_worked_out_together_shares_what_is_made_for_it() -> None:
    shared: dict[str, object] = {}

    async def work(make_payload: Callable[[str], str], event: str, context: object = None) -> str:
        shared[event] = context
        return make_payload(event)

    broadcast = Broadcast(work, object)

    tell("ab", Reader(broadcast))
    await settle()
    tell("c", Reader(broadcast))
    await settle()

    assert shared["a"] is shared["b"] is not shared["c"]
    assert None not in shared.values()


async def test_who_does_not_read_holds_nobody_up_and_misses_nothing() -> None:
    broadcast = Broadcast(as_it_is)
    slow, quick = Reader(broadcast, opened=False), Reader(broadcast)

    tell("abc", slow, quick)
    await settle()
    before = [*slow.read], [*quick.read], slow.taken
    slow.open.set()
    await settle()
    tell("d", slow, quick)
    await settle()

    assert before == ([], [*"abc"], 0)
    assert slow.read == quick.read == [*"abcd"]
    assert slow.taken == 4


async def test_the_end_comes_behind_what_was_told_before() -> None:
    broadcast = Broadcast(as_it_is)
    slow, quick = Reader(broadcast, opened=False), Reader(broadcast)

    tell("ab", slow, quick)
    for reader in (slow, quick):
        reader.receiver.lose(ValueError("lagged"))
    await settle()
    early = slow.why, str(quick.why)
    slow.open.set()
    await settle()

    assert early == (None, "lagged")
    for reader in (slow, quick):
        assert reader.read == [*"ab"]
        assert str(reader.why) == "lagged"
        assert reader.left


async def test_who_is_behind_gets_nothing_that_comes_after_what_could_not_be_told() -> None:
    def fails(_: str) -> str:
        raise RuntimeError("away")

    broadcast = Broadcast(as_it_is)
    slow = Reader(broadcast, opened=False)

    tell("a", slow)
    slow.receiver.receive("b", fails)
    tell("c", slow)
    await settle()
    slow.open.set()
    await settle()

    assert str(slow.why) == "away"
    assert slow.read == ["a"], "whoever resumed behind c would never see b"


async def test_who_breaks_ends_alone() -> None:
    broadcast = Broadcast(as_it_is)
    broken, well = Reader(broadcast, breaks_at="b"), Reader(broadcast)

    tell("abc", broken, well)
    await settle()

    assert (broken.read, well.read) == (["a"], [*"abc"])
    assert isinstance(broken.why, ConnectionError)
    assert broken.left


async def test_who_breaks_while_it_catches_up_ends_alone_too() -> None:
    broadcast = Broadcast(as_it_is)
    broken = Reader(broadcast, opened=False, breaks_at="b")

    tell("abc", broken)
    await settle()
    broken.open.set()
    await settle()

    assert broken.read == ["a"]
    assert isinstance(broken.why, ConnectionError)


@pytest.mark.parametrize("opened", [True, False])
async def test_who_leaves_is_told_nothing_more_nor_why(opened: bool) -> None:
    broadcast = Broadcast(as_it_is)
    gone, other = Reader(broadcast, opened=opened), Reader(broadcast)

    tell("a", gone, other)
    await settle()
    before = [*gone.read]
    tell("b", gone, other)
    gone.subscriber.leave()
    gone.open.set()
    await settle()

    assert gone.read == before
    assert (gone.left, gone.why) == (True, None)
    assert other.read == [*"ab"]


async def test_a_broadcast_that_the_last_has_left_is_given_up() -> None:
    given_up: list[bool] = []
    broadcast = Broadcast(as_it_is, on_empty=lambda: given_up.append(True))
    readers = [Reader(broadcast), Reader(broadcast, breaks_at="a")]

    tell("a", *readers)
    await settle()
    before = [*given_up]
    for reader in readers:
        reader.subscriber.leave()
        reader.subscriber.leave()

    assert (before, given_up) == ([], [True])


# ---------------------------------------------------------------- what nobody foresaw


async def test_who_misses_an_event_by_our_fault_is_told_and_those_who_come_later_are_served() -> None:
    shared = iter([RuntimeError("no context"), None])

    def fail_once() -> None:
        if error := next(shared):
            raise error

    broadcast = Broadcast(as_it_is, fail_once)
    first = Reader(broadcast)

    with capture_logs() as logs:
        tell("a", first)
        await settle()
    second = Reader(broadcast)
    tell("b", second)
    await settle()

    assert str(first.why) == "no context"
    assert [log["log_level"] for log in logs] == ["error"]
    assert second.read == ["b"]


async def test_work_that_is_cancelled_ends_its_subscribers_and_nobody_else() -> None:
    async def work(make_payload: Callable[[str], str], event: str, context: object = None) -> str:
        if event == "a":
            raise asyncio.CancelledError
        return make_payload(event)

    broadcast = Broadcast(work)
    first, second = Reader(broadcast), Reader(broadcast)

    tell("a", first)
    await settle()
    tell("b", second)
    await settle()

    assert first.why is not None
    assert second.read == ["b"]


async def test_a_subscriber_whose_source_breaks_mutes_nobody_else() -> None:
    def broken() -> None:
        raise RuntimeError("source")

    broadcast = Broadcast(as_it_is)
    bad, good = Reader(broadcast), Reader(broadcast)
    bad.done = broken  # type: ignore[method-assign]

    with capture_logs() as logs:
        tell("a", bad, good)
        await settle()
        tell("b", good)
        await settle()

    assert str(bad.why) == "source"
    assert [log["log_level"] for log in logs] == ["error"]
    assert good.read == [*"ab"]
