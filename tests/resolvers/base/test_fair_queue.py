"""Who waits for something dear: so many, fairly, and who gives up leaves nothing behind."""

import asyncio
import os
import sys
import threading

import pytest

from resolvers.accounts.passwords import NICENESS, Passwords
from resolvers.base.errors import Busy
from resolvers.base.fair_queue import FairQueue


class Crowd:
    """Takes turns, and notes who came in which order."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self.turns, self.came = FairQueue(at_once, waiting, "Too many wait."), list[str]()

    async def join(self, name: str, group: str | None = None, *, preferred: bool = False) -> "asyncio.Task[None]":
        task = asyncio.create_task(self._wait(name, group or name, preferred=preferred))
        await asyncio.sleep(0)
        return task

    async def _wait(self, name: str, group: str, *, preferred: bool) -> None:
        await self.turns.acquire(group, preferred=preferred)
        self.came.append(name)

    async def empty(self) -> None:
        for _ in range(20):
            self.turns.release()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


async def test_a_crowd_of_one_network_does_not_push_others_back() -> None:
    crowd = Crowd(at_once=1, waiting=10)
    for name in ("a1", "a2", "a3", "a4"):
        await crowd.join(name, "a")
    await crowd.join("b1", "b")
    await crowd.join("c1", "c")

    await crowd.empty()

    assert crowd.came == ["a1", "a2", "b1", "c1", "a3", "a4"]


async def test_who_is_known_comes_first() -> None:
    crowd = Crowd(at_once=1, waiting=200)
    for number in range(150):
        await crowd.join(f"stranger {number}")
    await crowd.join("known", preferred=True)

    await crowd.empty()

    assert crowd.came[:2] == ["stranger 0", "known"]


async def test_beyond_the_queue_the_last_in_rank_is_turned_away() -> None:
    crowd = Crowd(at_once=1, waiting=2)
    await crowd.join("a1", "a")
    await crowd.join("a2", "a")
    third = await crowd.join("a3", "a")
    await crowd.join("b1", "b")
    fifth = await crowd.join("a4", "a")

    with pytest.raises(Busy, match="Try again in 10 s"):
        await third
    with pytest.raises(Busy):
        await fifth
    await crowd.empty()

    assert crowd.came == ["a1", "a2", "b1"]


async def test_who_gives_up_leaves_the_place_to_others() -> None:
    crowd = Crowd(at_once=1, waiting=2)
    await crowd.join("a")
    gone = await crowd.join("gone")
    gone.cancel()
    await asyncio.sleep(0)
    called_and_gone = await crowd.join("called and gone")
    await crowd.join("b")
    crowd.turns.release()
    called_and_gone.cancel()

    await crowd.empty()

    assert crowd.came == ["a", "b"]


async def test_sign_ins_that_are_given_up_do_not_stop_the_others() -> None:
    passwords = Passwords(waiting=50, threads=2)
    hash = await passwords.hash("correct horse")
    given_up = [asyncio.create_task(passwords.match("wrong", hash, str(number))) for number in range(10)]
    await asyncio.sleep(0.01)  # some are hashed, others wait
    for task in given_up:
        task.cancel()

    stopped = await asyncio.gather(*given_up, return_exceptions=True)
    matched = await asyncio.gather(*(passwords.match("correct horse", hash, "home") for _ in range(3)))

    assert {type(each) for each in stopped} == {asyncio.CancelledError}
    assert matched == [True] * 3


@pytest.mark.skipif(sys.platform != "linux", reason="niceness is the process's there")
async def test_passwords_are_hashed_by_threads_that_let_the_event_loop_go_first() -> None:
    before = {thread.ident for thread in threading.enumerate()}
    await Passwords().hash("correct horse")

    hashing = [thread.native_id or 0 for thread in threading.enumerate() if thread.ident not in before]
    assert {_niceness(thread) for thread in hashing} == {min(19, _niceness(0) + NICENESS)}


def _niceness(thread: int) -> int:
    """Of the calling thread for 0."""
    return os.getpriority(os.PRIO_PROCESS, thread)
