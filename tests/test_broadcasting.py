"""Broadcasts: in order to each, nobody held up by another, and an end behind what was still to be sent."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from bcom_graphql.graphql.broadcasting import Group, Member, begun


class Reader:
    """A subscriber who reads when it is open."""

    def __init__(self, *, opened: bool = True, breaks_at: str | None = None) -> None:
        self.read: list[str] = []
        self.open = asyncio.Event()
        if opened:
            self.open.set()
        self._breaks_at = breaks_at
        self.member = Member[str](self.send)
        self.member.done = self._count
        self.done = 0

    async def send(self, answer: str) -> None:
        if answer == self._breaks_at:
            raise ConnectionError(answer)
        await self.open.wait()
        self.read.append(answer)

    def _count(self) -> None:
        self.done += 1


def gives(answer: str) -> Callable[[], Awaitable[str]]:
    async def work() -> str:
        await asyncio.sleep(0)
        return answer

    return work


def tell(group: Group[str], answers: str, *readers: Reader) -> None:
    for answer in answers:
        for reader in readers:
            group.add(answer, reader.member, gives(answer))


async def settle() -> None:
    for _ in range(100):
        await asyncio.sleep(0)


async def test_all_get_everything_in_order() -> None:
    group, readers = Group[str](), [Reader() for _ in range(3)]

    tell(group, "abc", *readers)
    await settle()
    tell(group, "de", *readers)
    await settle()

    assert [reader.read for reader in readers] == [[*"abcde"]] * 3
    assert [reader.done for reader in readers] == [5, 5, 5]


async def test_an_event_is_worked_out_once_for_all() -> None:
    group, readers, worked = Group[str](), [Reader() for _ in range(3)], 0

    async def work() -> str:
        nonlocal worked
        worked += 1
        return "a"

    for reader in readers:
        group.add(1, reader.member, work)
    await settle()

    assert worked == 1


async def test_who_does_not_read_holds_nobody_up_and_misses_nothing() -> None:
    group, slow, quick = Group[str](), Reader(opened=False), Reader()

    tell(group, "abc", slow, quick)
    await settle()
    before = [*slow.read], [*quick.read], slow.done
    slow.open.set()
    await settle()
    tell(group, "d", slow, quick)
    await settle()

    assert before == ([], [*"abc"], 0)
    assert slow.read == quick.read == [*"abcd"]
    assert slow.done == 4


async def test_the_end_comes_behind_what_was_told_before() -> None:
    group, slow, quick = Group[str](), Reader(opened=False), Reader()

    tell(group, "ab", slow, quick)
    for reader in (slow, quick):
        group.end(reader.member, ValueError("lagged"))
    await settle()
    early = slow.member.over.done(), quick.member.over.done()
    slow.open.set()
    await settle()

    assert early == (False, True)
    for reader in (slow, quick):
        assert reader.read == [*"ab"]
        with pytest.raises(ValueError, match="lagged"):
            await reader.member.over


async def test_who_is_behind_gets_nothing_that_comes_after_what_could_not_be_told() -> None:
    group, slow = Group[str](), Reader(opened=False)

    async def fails() -> str:
        raise RuntimeError("away")

    tell(group, "a", slow)
    group.add("b", slow.member, fails)
    tell(group, "c", slow)
    await settle()
    slow.open.set()

    with pytest.raises(RuntimeError):
        await slow.member.over
    assert slow.read == ["a"], "whoever resumed behind c would never see b"


async def test_who_breaks_ends_alone() -> None:
    group, broken, well = Group[str](), Reader(breaks_at="b"), Reader()

    tell(group, "abc", broken, well)
    await settle()

    assert (broken.read, well.read) == (["a"], [*"abc"])
    with pytest.raises(ConnectionError):
        await broken.member.over


async def test_who_breaks_while_it_catches_up_ends_alone_too() -> None:
    group, broken = Group[str](), Reader(opened=False, breaks_at="b")

    tell(group, "abc", broken)
    await settle()
    broken.open.set()

    with pytest.raises(ConnectionError):
        await broken.member.over
    assert broken.read == ["a"]


async def test_what_cannot_be_worked_out_ends_those_who_wait_for_it_and_no_others() -> None:
    group, one, other = Group[str](), Reader(), Reader()

    async def fails() -> str:
        raise RuntimeError("broken")

    group.add(1, one.member, fails)
    group.add(2, other.member, gives("b"))
    await settle()

    with pytest.raises(RuntimeError):
        await one.member.over
    assert other.read == ["b"]
    assert not other.member.over.done()


async def test_who_leaves_is_sent_nothing_more() -> None:
    group, gone, slow = Group[str](), Reader(), Reader(opened=False)
    tell(group, "a", gone, slow)
    await settle()

    for reader in (gone, slow):
        reader.member.leave()
    tell(group, "b", gone, slow)
    slow.open.set()
    await settle()

    assert (gone.read, slow.read) == (["a"], [])


async def test_a_coroutine_goes_as_far_as_it_can_at_once() -> None:
    steps: list[int] = []
    ready = asyncio.Event()

    async def work() -> None:
        steps.append(1)
        await ready.wait()
        steps.append(2)
        await asyncio.sleep(0)
        steps.append(3)

    rest = begun(work())
    early = [*steps]
    ready.set()
    assert rest is not None
    await rest

    assert (early, steps) == ([1], [1, 2, 3])


async def test_a_coroutine_that_waits_for_nothing_is_done_at_once() -> None:
    steps: list[int] = []

    async def work() -> None:
        steps.append(1)

    assert begun(work()) is None
    assert steps == [1]


async def test_a_rest_can_be_cancelled_and_can_fail() -> None:
    never = asyncio.get_running_loop().create_future()
    fails = asyncio.get_running_loop().create_future()

    async def work(waits_for: asyncio.Future[None]) -> None:
        await waits_for

    async def go_on(rest: Awaitable[None] | None) -> None:
        assert rest is not None
        await rest

    cancelled = asyncio.create_task(go_on(begun(work(never))))
    failing = asyncio.create_task(go_on(begun(work(fails))))
    await asyncio.sleep(0)
    cancelled.cancel()
    fails.set_exception(ValueError("failed"))

    with pytest.raises(asyncio.CancelledError):
        await cancelled
    with pytest.raises(ValueError, match="failed"):
        await failing
