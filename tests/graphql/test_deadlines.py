"""A deadline is `asyncio.timeout`, in everything that somebody could notice."""

import asyncio

import pytest

from bcom_graphql.graphql import deadlines
from bcom_graphql.graphql.deadlines import Deadline


async def test_what_takes_too_long_is_a_timeout_and_its_task_goes_on() -> None:
    with pytest.raises(TimeoutError), Deadline(0.01):
        await asyncio.sleep(10)

    await asyncio.sleep(0)  # nothing is left of the cancellation
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]


async def test_a_long_time_is_up_too() -> None:
    with pytest.raises(TimeoutError), Deadline(0.01, own_timer_below=0.0):
        await asyncio.sleep(10)
    with Deadline(0.01, own_timer_below=0.0):
        await asyncio.sleep(0)

    await asyncio.sleep(2 * deadlines.TICK_SECONDS)
    assert asyncio.get_running_loop() not in deadlines._watched  # nobody looks any more


async def test_what_is_done_in_time_is_left_alone() -> None:
    with Deadline(0.01):
        await asyncio.sleep(0)

    await asyncio.sleep(0.02)


async def test_a_failure_is_its_own() -> None:
    with pytest.raises(LookupError), Deadline(0.01):
        raise LookupError


async def test_a_cancellation_from_elsewhere_is_none_of_its_timeouts() -> None:
    async def work() -> None:
        with Deadline(10):
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_cancellation_from_elsewhere_that_comes_with_the_timeout_wins() -> None:
    async def work() -> None:
        with Deadline(0.01):
            await asyncio.sleep(10)

    task = asyncio.create_task(work())
    asyncio.get_running_loop().call_later(0.01, task.cancel)

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_inner_of_two_deadlines_leaves_the_outer_one_alone() -> None:
    with Deadline(10):
        with pytest.raises(TimeoutError), Deadline(0.01):
            await asyncio.sleep(10)

        await asyncio.sleep(0)
